package pytorch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
)

// Limits for a hostile or damaged pickle. A tensor takes about 40 operations and 200 bytes, so they suffice for a
// hundred thousand.
const (
	maxOperations = 4 << 20
	maxPickle     = 64 << 20 // bytes
)

// What a pickle holds is nil, bool, int64, *big.Int, float64, string, []byte, one of the following, or what the host
// makes of a global.
type (
	tuple  []any
	list   struct{ items []any }
	dict   struct{ pairs []pair } // in the order of insertion; keys may repeat, the last one counts
	pair   struct{ key, value any }
	global string // module.name, one that the host has allowed
)

// host decides what a pickle may name, and what becomes of it.
type host interface {
	global(name string) error               // nil allows it
	call(f global, args tuple) (any, error) // f(*args)
	persistent(id any) (any, error)         // an object that is stored elsewhere
	build(object, state any) error          // object.__setstate__(state)
}

// unpickler runs the instructions of a pickle: a stack machine with a memo
// (https://github.com/python/cpython/blob/main/Lib/pickletools.py). It has those of protocols 2 to 5 that torch.save
// emits. It never runs code that the file names: whatever is no plain data goes to the host.
type unpickler struct {
	r      *bufio.Reader
	offset int64 // bytes read
	host   host
	stack  []any
	marks  []int // sizes of the stack when they were set
	memo   map[uint32]any
	err    error // the first one; from then on nothing happens
}

func newUnpickler(r io.Reader, h host) *unpickler {
	return &unpickler{r: bufio.NewReader(r), host: h}
}

// load reads one pickle. Another may follow it.
func (u *unpickler) load() (any, error) {
	u.stack, u.marks, u.memo = nil, nil, map[uint32]any{}
	for range maxOperations {
		op := u.byte()
		if op == '.' {
			if v := u.pop(); u.err == nil {
				return v, nil
			}
		}
		if u.err == nil {
			u.step(op)
		}
		if u.err != nil {
			return nil, fmt.Errorf("pickle, byte %d: %w", u.offset, u.err)
		}
	}
	return nil, fmt.Errorf("pickle: more than %d operations", maxOperations)
}

func (u *unpickler) step(op byte) {
	switch op {
	case 0x80: // PROTO
		if v := u.byte(); v < 2 || v > 5 {
			u.fail("protocol %d, expected 2 to 5", v)
		}
	case 0x95: // FRAME
		u.bytes(8)

	case 'N': // NONE
		u.push(nil)
	case 0x88: // NEWTRUE
		u.push(true)
	case 0x89: // NEWFALSE
		u.push(false)
	case 'K': // BININT1
		u.push(int64(u.byte()))
	case 'M': // BININT2
		u.push(int64(u.uint(2)))
	case 'J': // BININT
		u.push(int64(int32(u.uint(4))))
	case 0x8a: // LONG1
		u.push(integer(u.bytes(uint64(u.byte()))))
	case 'G': // BINFLOAT
		u.push(math.Float64frombits(binary.BigEndian.Uint64(u.fixed(8))))
	case 'X': // BINUNICODE
		u.push(string(u.bytes(u.uint(4))))
	case 0x8c, 'U': // SHORT_BINUNICODE, SHORT_BINSTRING
		u.push(string(u.bytes(uint64(u.byte()))))
	case 0x8d: // BINUNICODE8
		u.push(string(u.bytes(u.uint(8))))
	case 'C': // SHORT_BINBYTES
		u.push(u.bytes(uint64(u.byte())))
	case 'B': // BINBYTES
		u.push(u.bytes(u.uint(4)))

	case '(': // MARK
		u.marks = append(u.marks, len(u.stack))
	case '0': // POP
		u.pop()
	case ')': // EMPTY_TUPLE
		u.push(tuple{})
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		u.push(tuple(u.popN(int(op - 0x84))))
	case 't': // TUPLE
		u.push(tuple(u.popMark()))
	case ']': // EMPTY_LIST
		u.push(&list{})
	case 'a': // APPEND
		u.extend(u.popN(1))
	case 'e': // APPENDS
		u.extend(u.popMark())
	case '}': // EMPTY_DICT
		u.push(&dict{})
	case 's': // SETITEM
		u.set(u.popN(2))
	case 'u': // SETITEMS
		u.set(u.popMark())

	case 'q': // BINPUT
		u.put(uint64(u.byte()))
	case 'r': // LONG_BINPUT
		u.put(u.uint(4))
	case 0x94: // MEMOIZE
		u.put(uint64(len(u.memo)))
	case 'h': // BINGET
		u.get(uint64(u.byte()))
	case 'j': // LONG_BINGET
		u.get(u.uint(4))

	case 'c': // GLOBAL
		module, name := u.line(), u.line()
		u.global(module, name)
	case 0x93: // STACK_GLOBAL
		names := u.popN(2)
		if u.err == nil {
			module, ok := names[0].(string)
			name, ok2 := names[1].(string)
			if !ok || !ok2 {
				u.fail("a global named by %T and %T, expected text", names[0], names[1])
			}
			u.global(module, name)
		}
	case 'R', 0x81: // REDUCE, NEWOBJ
		u.call(u.popN(2))
	case 'b': // BUILD
		state := u.pop()
		if object := u.top(); u.err == nil {
			u.err = u.host.build(object, state)
		}
	case 'Q': // BINPERSID
		if id := u.pop(); u.err == nil {
			var v any
			v, u.err = u.host.persistent(id)
			u.push(v)
		}
	default:
		u.fail("instruction %#02x is not one that torch.save emits", op)
	}
}

func (u *unpickler) fail(format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf(format, args...)
	}
}

func (u *unpickler) byte() byte { return u.fixed(1)[0] }

// uint reads a little-endian number of n bytes.
func (u *unpickler) uint(n int) uint64 {
	var b [8]byte
	copy(b[:], u.fixed(n))
	return binary.LittleEndian.Uint64(b[:])
}

// fixed reads n bytes; they are zero after an error.
func (u *unpickler) fixed(n int) []byte {
	if b := u.bytes(uint64(n)); u.err == nil {
		return b
	}
	return make([]byte, n)
}

// bytes reads n bytes, nil after an error. It allocates no more than the file has.
func (u *unpickler) bytes(n uint64) []byte {
	if u.err != nil {
		return nil
	}
	if n > maxPickle {
		u.fail("a text of %d bytes", n)
		return nil
	}
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for uint64(len(b)) < n {
		start := len(b)
		b = slices.Grow(b, int(min(n-uint64(start), step)))
		b = b[:min(n, uint64(cap(b)))]
		k, err := io.ReadFull(u.r, b[start:])
		u.offset += int64(k)
		if err != nil {
			u.err = noEOF(err)
			return nil
		}
	}
	return b
}

// line reads up to a newline, which it drops.
func (u *unpickler) line() string {
	var b []byte
	for u.err == nil {
		c := u.byte()
		if c == '\n' {
			break
		}
		if b = append(b, c); len(b) > 1024 {
			u.fail("a name of more than 1024 bytes")
		}
	}
	return string(b)
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// bottom is how far the stack can be popped: to the last mark.
func (u *unpickler) bottom() int {
	if len(u.marks) == 0 {
		return 0
	}
	return u.marks[len(u.marks)-1]
}

// popN removes the n topmost values, in the order in which they were pushed; nil after an error.
func (u *unpickler) popN(n int) []any {
	if u.err == nil && len(u.stack)-n < u.bottom() {
		u.fail("the stack is empty")
	}
	if u.err != nil {
		return nil
	}
	at := len(u.stack) - n
	values := slices.Clone(u.stack[at:])
	u.stack = u.stack[:at]
	return values
}

func (u *unpickler) pop() any {
	v := u.top()
	if u.err == nil {
		u.stack = u.stack[:len(u.stack)-1]
	}
	return v
}

func (u *unpickler) top() any {
	if u.err == nil && len(u.stack) == u.bottom() {
		u.fail("the stack is empty")
	}
	if u.err != nil {
		return nil
	}
	return u.stack[len(u.stack)-1]
}

// popMark removes what was pushed since the last mark, and the mark.
func (u *unpickler) popMark() []any {
	if u.err == nil && len(u.marks) == 0 {
		u.fail("no mark")
	}
	if u.err != nil {
		return nil
	}
	values := u.popN(len(u.stack) - u.bottom())
	u.marks = u.marks[:len(u.marks)-1]
	return values
}

func (u *unpickler) put(key uint64) {
	if v := u.top(); u.err == nil {
		u.memo[uint32(key)] = v
	}
}

func (u *unpickler) get(key uint64) {
	v, ok := u.memo[uint32(key)]
	if !ok {
		u.fail("nothing is remembered as %d", key)
	}
	u.push(v)
}

// extend appends to the list on top of the stack.
func (u *unpickler) extend(values []any) {
	top := u.top()
	if l, ok := top.(*list); ok {
		l.items = append(l.items, values...)
		return
	}
	u.fail("append to %T, expected a list", top)
}

// set puts keys and values into the dict on top of the stack.
func (u *unpickler) set(values []any) {
	top := u.top()
	d, ok := top.(*dict)
	if !ok || len(values)%2 != 0 {
		u.fail("set %d keys and values of %T, expected pairs and a dict", len(values), top)
		return
	}
	for i := 0; i < len(values); i += 2 {
		d.pairs = append(d.pairs, pair{values[i], values[i+1]})
	}
}

func (u *unpickler) global(module, name string) {
	if u.err != nil {
		return
	}
	full := module + "." + name
	u.err = u.host.global(full)
	u.push(global(full))
}

func (u *unpickler) call(values []any) {
	if u.err != nil {
		return
	}
	f, ok := values[0].(global)
	args, ok2 := values[1].(tuple)
	if !ok || !ok2 {
		u.fail("call of %T with %T, expected a global and a tuple", values[0], values[1])
		return
	}
	var v any
	v, u.err = u.host.call(f, args)
	u.push(v)
}

// integer decodes a little-endian two's complement number: an int64, or a *big.Int if it has more than 8 bytes.
func integer(b []byte) any {
	if len(b) <= 8 {
		var v int64
		for i, c := range b {
			v |= int64(c) << (8 * i)
		}
		if shift := 64 - 8*len(b); len(b) > 0 {
			v = v << shift >> shift // extends the sign
		}
		return v
	}
	b = slices.Clone(b)
	slices.Reverse(b)
	v := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return v
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
