package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is one instruction set and the state of the file that is being generated.
type isa struct {
	name   string
	lanes  int          // float32 in a vector
	height int          // rows of a tile of the matrix product
	mask   reg.Register // of the lanes of a tail: an opmask register, or a vector of sign bits
	consts map[uint32]Mem

	tileConfig Mem
	bits       *Mem
}

// Both tiles are two vectors wide.
var isas = map[string]*isa{
	"avx2":   {name: "AVX2", lanes: 8, height: 6, consts: map[uint32]Mem{}},
	"avx512": {name: "AVX512", lanes: 16, height: 14, consts: map[uint32]Mem{}},
	"vnni":   {name: "VNNI", lanes: 16, consts: map[uint32]Mem{}}, // what it adds to AVX-512
	"amx":    {name: "AMX", lanes: 16, consts: map[uint32]Mem{}},  // what it adds to AVX-512
	// what takes the place of AVX-512's and VNNI's where memory is read faster as several streams
	"streams": {name: "Streams", lanes: 16, consts: map[uint32]Mem{}},
}

func (g *isa) wide() bool { return g.lanes == 16 }

func (g *isa) function(name, signature, doc string) {
	TEXT(name+g.name, NOSPLIT, "func"+signature)
	Doc(strings.Split(name+g.name+" "+doc, "\n")...)
	Pragma("noescape")
}

func (g *isa) vec() reg.VecVirtual {
	if g.wide() {
		return ZMM()
	}
	return YMM()
}

func (g *isa) zero() reg.VecVirtual {
	v := g.vec()
	VXORPS(v, v, v)
	return v
}

func pointer(name string) reg.Register { return Load(Param(name), GP64()) }

func integer(name string) reg.Register { return Load(Param(name), GP64()) }

// scaled is an argument, a number of float32, in bytes.
func scaled(name string) reg.Register {
	n := integer(name)
	SHLQ(U8(2), n)
	return n
}

func at(p reg.Register) Mem { return Mem{Base: p} }

// spread is a vector with a float32 argument in every lane.
func (g *isa) spread(name string) reg.VecVirtual {
	x, v := Load(Param(name), XMM()), g.vec()
	VBROADCASTSS(x, v)
	return v
}

// constant is an operand that holds x in every lane.
func (g *isa) constant(x float64) Op { return g.bitsOf(math.Float32bits(float32(x))) }

// bitsOf is an operand that holds the bits x in every lane. With AVX-512 it is a register: the linker brings memory to 32 bytes, and a vector of 64
// that lies in two cache lines takes twice as long to load.
func (g *isa) bitsOf(x uint32) Op {
	if g.wide() {
		return g.set32(x)
	}
	return g.word(x)
}

// word is a place in memory that holds x, with AVX2 as often as there are lanes.
func (g *isa) word(x uint32) Mem {
	m, ok := g.consts[x]
	if !ok {
		m = GLOBL(fmt.Sprintf("all%08x%s", x, g.name), attr.RODATA|attr.NOPTR)
		for i := range g.lanes {
			if i == 0 || !g.wide() {
				DATA(4*i, U32(x))
			}
		}
		g.consts[x] = m
	}
	return m
}

// set is a register with x in every lane.
func (g *isa) set(x float64) reg.VecVirtual { return g.set32(math.Float32bits(float32(x))) }

// set32 is a register with the bits x in every lane.
func (g *isa) set32(x uint32) reg.VecVirtual {
	v := g.vec()
	g.fill(v, x)
	return v
}

// fill sets all lanes of v to the bits x.
func (g *isa) fill(v reg.Register, x uint32) {
	if g.wide() {
		VBROADCASTSS(g.word(x), v)
	} else {
		VMOVUPS(g.word(x), v)
	}
}

// setMask selects the first n lanes, 0 ≤ n ≤ lanes.
func (g *isa) setMask(n reg.Register) {
	if g.wide() {
		g.mask = g.opmask(n)
		return
	}
	if g.bits == nil {
		m := GLOBL("lanes"+g.name, attr.RODATA|attr.NOPTR)
		for i := range 2 * g.lanes {
			if i < g.lanes {
				DATA(4*i, U32(0xffffffff))
			} else {
				DATA(4*i, U32(0))
			}
		}
		g.bits = &m
	}
	table, v := GP64(), YMM()
	LEAQ(g.bits.Offset(4*g.lanes), table)
	skip := GP64()
	MOVQ(n, skip)
	NEGQ(skip)
	VMOVUPS(Mem{Base: table, Index: skip, Scale: 4}, v)
	g.mask = v
}

func (g *isa) opmask(n reg.Register) reg.Register {
	b, k := GP64(), K()
	MOVQ(U64(math.MaxUint64), b)
	BZHIQ(n, b, b)
	KMOVD(b.As32(), k)
	return k
}

// load reads the lanes of m, or when masked those of the mask, and zero elsewhere.
func (g *isa) load(m Mem, masked bool) reg.VecVirtual {
	v := g.vec()
	g.loadInto(v, m, masked)
	return v
}

func (g *isa) loadInto(v reg.Register, m Mem, masked bool) {
	switch {
	case !masked:
		VMOVUPS(m, v)
	case g.wide():
		VMOVUPS_Z(m, g.mask, v)
	default:
		VMASKMOVPS(m, g.mask, v)
	}
}

func (g *isa) store(v reg.Register, m Mem, masked bool) {
	switch {
	case !masked:
		VMOVUPS(v, m)
	case g.wide():
		VMOVUPS(v, g.mask, m)
	default:
		VMASKMOVPS(v, g.mask, m)
	}
}

// clearTail zeroes the lanes outside the mask.
func (g *isa) clearTail(v reg.Register) {
	if g.wide() {
		VMOVAPS_Z(v, g.mask, v)
	} else {
		VANDPS(v, g.mask, v)
	}
}

// each runs body over n elements, a vector at a time, and once masked for the rest. load and store address the vector's elements
// from p on.
func (g *isa) each(n reg.Register, body func(load func(p reg.Register) reg.VecVirtual, store func(v, p reg.Register), masked bool)) {
	g.eachOf(n, 1, func(_ int, at func(p reg.Register) Mem, masked bool) {
		body(func(p reg.Register) reg.VecVirtual { return g.load(at(p), masked) }, func(v, p reg.Register) { g.store(v, at(p), masked) }, masked)
	})
}

// eachOf is each for a body that need not wait for itself: so many vectors, at addresses at(p), follow one another without a branch, numbered
// from zero. What is left at the end has number zero.
func (g *isa) eachOf(n reg.Register, together int, body func(number int, at func(p reg.Register) Mem, masked bool)) {
	i := GP64()
	XORQ(i, i)
	run := func(number int, masked bool) {
		body(number, func(p reg.Register) Mem { return Mem{Base: p, Index: i, Scale: 4, Disp: 4 * g.lanes * number} }, masked)
	}
	left := GP64()
	MOVQ(n, left)
	loop := func(together int) {
		loop, after := label("loop"), label("after")
		SUBQ(U8(together*g.lanes), left)
		JL(LabelRef(after))
		Label(loop)
		for number := range together {
			run(number, false)
		}
		ADDQ(U8(together*g.lanes), i)
		SUBQ(U8(together*g.lanes), left)
		JGE(LabelRef(loop))
		Label(after)
		ADDQ(U8(together*g.lanes), left)
	}
	if together > 1 {
		loop(together)
	}
	loop(1)
	done := label("done")
	JE(LabelRef(done))
	g.setMask(left)
	run(0, true)
	Label(done)
}

var labels int

func label(name string) string {
	labels++
	return fmt.Sprint(name, labels)
}

// whereNegative sets the lanes of dst where x is negative to those of v.
func (g *isa) whereNegative(x, v, dst reg.Register) {
	if g.wide() {
		k := K()
		VPMOVD2M(x, k)
		VMOVAPS(v, k, dst)
	} else {
		VBLENDVPS(x, v, dst, dst)
	}
}

// keepWhere zeroes the lanes of v where a comparison with x does not hold: predicate is that of VCMPPS, x on the left.
func (g *isa) keepWhere(predicate uint8, x reg.Register, y Op, v reg.Register) {
	if g.wide() {
		k := K()
		VCMPPS(U8(predicate), y, x, k)
		VMOVAPS_Z(v, k, v)
	} else {
		m := g.vec()
		VCMPPS(U8(predicate), y, x, m)
		VANDPS(m, v, v)
	}
}

// sums are running sums that do not wait for one another.
func (g *isa) sums() [4]reg.VecVirtual {
	return [4]reg.VecVirtual{g.zero(), g.zero(), g.zero(), g.zero()}
}

// sum adds them up in the first.
func (g *isa) sum(sums [4]reg.VecVirtual) reg.VecVirtual {
	VADDPS(sums[1], sums[0], sums[0])
	VADDPS(sums[3], sums[2], sums[2])
	VADDPS(sums[2], sums[0], sums[0])
	return sums[0]
}

// fold combines the lanes of v with a vector operation; the result is in the lowest lane.
func (g *isa) fold(v reg.VecVirtual, op func(ops ...Op)) reg.VecVirtual {
	if g.wide() {
		high := YMM()
		VEXTRACTF64X4(U8(1), v, high)
		op(high, v.AsY(), high)
		v = high
	}
	high, low := XMM(), XMM()
	VEXTRACTF128(U8(1), v.AsY(), high)
	op(high, v.AsX(), low)
	VMOVHLPS(low, low, high)
	op(high, low, low)
	VMOVSHDUP(low, high)
	op(high, low, low)
	return low
}

// widen adds the lanes of v to two vectors of float64.
func (g *isa) widen(v reg.VecVirtual, sums [2]reg.VecVirtual) {
	a, b := g.doubles(v)
	VADDPD(a, sums[0], sums[0])
	VADDPD(b, sums[1], sums[1])
}

// multiplyWide adds the lanes of x·y to two vectors of float64.
func (g *isa) multiplyWide(x, y reg.VecVirtual, sums [2]reg.VecVirtual) {
	a, b := g.doubles(x)
	c, d := g.doubles(y)
	VFMADD231PD(a, c, sums[0])
	VFMADD231PD(b, d, sums[1])
}

// doubles are the lower and the upper lanes of v as float64.
func (g *isa) doubles(v reg.VecVirtual) (a, b reg.VecVirtual) {
	a, b = g.vec(), g.vec()
	if g.wide() {
		VCVTPS2PD(v.AsY(), a)
		high := YMM()
		VEXTRACTF64X4(U8(1), v, high)
		VCVTPS2PD(high, b)
	} else {
		VCVTPS2PD(v.AsX(), a)
		high := XMM()
		VEXTRACTF128(U8(1), v, high)
		VCVTPS2PD(high, b)
	}
	return a, b
}

// total is the sum of all lanes of two vectors of float64, in the lowest lane.
func (g *isa) total(sums [2]reg.VecVirtual) reg.VecVirtual {
	v := sums[0]
	VADDPD(sums[1], v, v)
	if g.wide() {
		high := YMM()
		VEXTRACTF64X4(U8(1), v, high)
		VADDPD(high, v.AsY(), high)
		v = high
	}
	high, low := XMM(), XMM()
	VEXTRACTF128(U8(1), v.AsY(), high)
	VADDPD(high, v.AsX(), low)
	VMOVHLPS(low, low, high)
	VADDSD(high, low, low)
	return low
}

func (g *isa) result(v reg.Register) {
	Store(v, ReturnIndex(0))
	g.end()
}

func (g *isa) end() {
	VZEROUPPER()
	RET()
}
