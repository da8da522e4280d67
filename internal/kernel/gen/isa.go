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
	bits   *Mem
}

// Both tiles are two vectors wide.
var isas = map[string]*isa{
	"avx2":   {name: "AVX2", lanes: 8, height: 6, consts: map[uint32]Mem{}},
	"avx512": {name: "AVX512", lanes: 16, height: 14, consts: map[uint32]Mem{}},
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

func at(p reg.Register) Mem { return Mem{Base: p} }

// spread is a vector with a float32 argument in every lane.
func (g *isa) spread(name string) reg.VecVirtual {
	x, v := Load(Param(name), XMM()), g.vec()
	VBROADCASTSS(x, v)
	return v
}

// constant is a memory operand that holds x in every lane.
func (g *isa) constant(x float64) Mem { return g.bitsOf(math.Float32bits(float32(x))) }

func (g *isa) bitsOf(x uint32) Mem {
	m, ok := g.consts[x]
	if !ok {
		m = GLOBL(fmt.Sprintf("all%08x%s", x, g.name), attr.RODATA|attr.NOPTR)
		for i := range g.lanes {
			DATA(4*i, U32(x))
		}
		g.consts[x] = m
	}
	return m
}

// set is a register with x in every lane.
func (g *isa) set(x float64) reg.VecVirtual {
	v := g.vec()
	VMOVUPS(g.constant(x), v)
	return v
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

// each runs body over n elements at the pointers, a vector at a time, and once masked for the rest. load and store
// address the i-th pointer.
func (g *isa) each(n reg.Register, pointers []reg.Register, body func(load func(i int) reg.VecVirtual, store func(v reg.Register, i int), masked bool)) {
	label := newLabel()
	run := func(masked bool) {
		body(func(i int) reg.VecVirtual { return g.load(at(pointers[i]), masked) },
			func(v reg.Register, i int) { g.store(v, at(pointers[i]), masked) }, masked)
	}
	Label("loop" + label)
	CMPQ(n, I32(g.lanes))
	JL(LabelRef("tail" + label))
	run(false)
	for _, p := range pointers {
		ADDQ(I32(4*g.lanes), p)
	}
	SUBQ(I32(g.lanes), n)
	JMP(LabelRef("loop" + label))
	Label("tail" + label)
	TESTQ(n, n)
	JE(LabelRef("done" + label))
	g.setMask(n)
	run(true)
	Label("done" + label)
}

var labels int

func newLabel() string {
	labels++
	return fmt.Sprint(labels)
}
