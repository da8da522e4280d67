package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A tile of int16 has a scale for each of 16 lanes, and then for each step 16 rows of 16 pairs.
const (
	int16Scales = 64
	int16Norm   = 32750   // of a lane's integers at most: none is above 32767, and no sum of products of two lanes above 2³¹
	int16Magic  = 3 << 22 // added to a number, it leaves the nearest integer in the lower bits
	int16Least  = 27 << 23
	int16Share  = float64(1<<30) / (int16Norm * int16Norm)
	int16Most   = 227 << 23 // 2^-100 and 2^100: sums of squares whose norm is exact enough
)

// What is written once for each width of vectors.
const (
	int16PanelsDoc = `multiplies tiles of A, of 16 rows, by a panel of B, two tiles, to 32 columns of c: so many rows, and more to a
multiple of 8. Meanwhile it fetches what ahead points to into the second-level cache.`
	int16FactorsSignature = "(scales, factors, sums *float32) bool"
	int16FactorsDoc       = `sets 16 scales and factors, powers of two, to those of lanes with such sums of squares. It reports whether there is a sum
from which they cannot be told, and sets them to zero.`
	int16SquaresSignature = "(sums, x *float32, row, steps int)"
	int16SquaresDoc       = `adds to 16 sums the squares of 16 rows, row bytes apart, of so many times 32 numbers.`
	int16RoundSignature   = "(to *byte, src *float32, row, second, step, steps int, factors *float32, next int)"
)

// addPairProducts is VPDPWSSD: sum += x·w for 16 pairs of int16. x is a register, or a pair in memory.
func addPairProducts(x Op, w, sum reg.Register) {
	operands := []Op{x, w, sum}
	i := &ir.Instruction{Opcode: "VPDPWSSD", Operands: operands, Inputs: operands, Outputs: []Op{sum}, ISA: []string{"AVX512_VNNI"}}
	if IsMem(x) {
		i.Suffixes = []string{"BCST"}
	}
	Instruction(i)
}

// int16s writes the products of int16, and what makes their panels.
func (g *isa) int16s() {
	panels, factors, squares, round := g.int16Panels, g.int16Factors, g.int16Squares, g.int16Round
	if !g.wide() {
		panels, factors, squares, round = g.int16PanelsNarrow, g.int16FactorsNarrow, g.int16SquaresNarrow, g.int16RoundNarrow
	}
	panels()
	factors()
	squares()
	g.int16SquaresAcross()
	round("int16Round", `fills one tile of each step with 16 rows of 32, each times its factor and rounded to the nearest integer. The first 16 of a row are
at src, the others second bytes later; the next row is row bytes after, the next step's step bytes. 16 factors are at factors,
those of the next row next bytes after.`, false)
	round("int16RoundTurned", "is int16Round, and then turns the tile: its first row has the first pairs of all rows.", true)
}

func (g *isa) int16Panels() {
	g.function("int16Panels", panelsSignature, int16PanelsDoc)
	// Where another thread keeps the same core busy, fewer instructions help: half of the pairs are spread by the products themselves.
	load := func(name string, r reg.Register) { Load(Param(name), r) }
	const rows = 8 // at a time
	load("a", reg.R8)
	load("c", reg.R10)
	load("ldc", reg.R11)
	SHLQ(U8(2), reg.R11)
	load("rows", reg.R12)
	load("ahead", reg.R14)
	load("steps", reg.R13)
	SHLQ(U8(10), reg.R13)
	ADDQ(U8(int16Scales), reg.R13) // bytes of a tile
	KXORW(reg.K1, reg.K1, reg.K1)
	MOVBQZX(NewParamAddr("accumulate", 48), reg.RAX)
	TESTQ(reg.RAX, reg.RAX)
	JE(LabelRef("tile"))
	KXNORW(reg.K1, reg.K1, reg.K1)
	Label("tile")
	XORQ(reg.R9, reg.R9) // the first half of a step's rows
	Label("half")
	MOVQ(reg.R10, reg.RBX) // rows of C to be fetched
	LEAQ(Mem{Base: reg.R8, Index: reg.R9, Scale: 1}, reg.RSI)
	load("b", reg.RDI)
	load("steps", reg.RCX)
	for i := range 2 * rows {
		VPXORD(zmm[i], zmm[i], zmm[i])
	}
	Label("step")
	CMPQ(reg.RCX, U8(2))
	JNE(LabelRef("dots"))
	for range rows {
		PREFETCHT0(Mem{Base: reg.RBX})
		PREFETCHT0(Mem{Base: reg.RBX, Disp: 64})
		ADDQ(reg.R11, reg.RBX)
	}
	Label("dots")
	for p := range 16 {
		VMOVUPS(Mem{Base: reg.RDI, Disp: 64 * p}, reg.Z16)
		VMOVUPS(Mem{Base: reg.RDI, Index: reg.R13, Scale: 1, Disp: 64 * p}, reg.Z17)
		for i := range rows {
			var x Op = Mem{Base: reg.RSI, Disp: 64*i + 4*p}
			if i%2 == 0 { // not all, as two loads a cycle are what many processors do
				v := zmm[18+i/2]
				VPBROADCASTD(x, v)
				x = v
			}
			addPairProducts(x, reg.Z16, zmm[2*i])
			addPairProducts(x, reg.Z17, zmm[2*i+1])
		}
		if p%4 == 0 {
			PREFETCHT1(Mem{Base: reg.R14, Disp: dotAheadBytes / 16 * p})
		}
	}
	ADDQ(U32(dotAheadBytes), reg.R14)
	ADDQ(U32(tileBytes), reg.RSI)
	ADDQ(U32(tileBytes), reg.RDI)
	DECQ(reg.RCX)
	JNE(LabelRef("step"))
	load("b", reg.RDI)
	VMOVUPS(Mem{Base: reg.RDI, Disp: -int16Scales}, reg.Z16)
	VMOVUPS(Mem{Base: reg.RDI, Index: reg.R13, Scale: 1, Disp: -int16Scales}, reg.Z17)
	MOVQ(reg.R9, reg.RSI)
	SHRQ(U8(4), reg.RSI)
	ADDQ(reg.R8, reg.RSI)
	for i := range rows {
		for j, scale := range []reg.Register{reg.Z16, reg.Z17} {
			x, y := zmm[2*i+j], zmm[18+(2*i+j)%8]
			VCVTDQ2PS(x, x)
			VMULPS(scale, x, x)
			VMOVUPS_Z(Mem{Base: reg.R10, Disp: 64 * j}, reg.K1, y)
			VFMADD231PS_BCST(Mem{Base: reg.RSI, Disp: 4*i - int16Scales}, x, y)
			VMOVUPS(y, Mem{Base: reg.R10, Disp: 64 * j})
		}
		ADDQ(reg.R11, reg.R10)
	}
	SUBQ(U8(rows), reg.R12)
	JLE(LabelRef("done"))
	XORQ(U32(64*rows), reg.R9)
	JNE(LabelRef("half"))
	ADDQ(reg.R13, reg.R8)
	JMP(LabelRef("tile"))
	Label("done")
	g.end()
}

func (g *isa) int16Factors() {
	g.function("int16Factors", int16FactorsSignature, int16FactorsDoc)
	scales, factors, sums := pointer("scales"), pointer("factors"), pointer("sums")
	v := g.load(at(sums), false)
	fit, known := K(), K()
	VCMPPS(U8(13), g.bitsOf(int16Least), v, fit) // not less, no NaN
	VCMPPS(U8(2), g.bitsOf(int16Most), v, fit, known)
	// A sum of 2^e to 2^(e+1) times the square of the factor is less than the square of the norm with a factor of 2^⌊(29-e)/2⌋.
	VMULPS(g.constant(int16Share), v, v)
	VPSRLD(U8(23), v, v)
	e, scale := g.set32(29+127), g.set32(127)
	VPSUBD(v, e, e)
	VPSRAD(U8(1), e, e)
	factor := g.vec()
	VPADDD(e, scale, factor)
	VPSUBD(e, scale, scale)
	VPSLLD_Z(U8(23), factor, known, factor)
	VPSLLD_Z(U8(23), scale, known, scale)
	VMOVUPS(scale, at(scales))
	VMOVUPS(factor, at(factors))
	flags, unknown := GP32(), GP8()
	KMOVW(known, flags)
	CMPL(flags, U32(0xffff))
	SETNE(unknown)
	Store(unknown, ReturnIndex(0))
	g.end()
}

func (g *isa) int16Squares() {
	g.function("int16Squares", int16SquaresSignature, int16SquaresDoc)
	Load(Param("x"), reg.RSI)
	Load(Param("row"), reg.R8)
	Load(Param("steps"), reg.R11)
	for i := range 16 {
		VPXORD(zmm[i], zmm[i], zmm[i])
	}
	Label("step")
	MOVQ(reg.RSI, reg.RAX)
	for i := range 16 {
		x, y := zmm[16+2*(i%4)], zmm[17+2*(i%4)]
		VMOVUPS(Mem{Base: reg.RAX}, x)
		VMOVUPS(Mem{Base: reg.RAX, Disp: 64}, y)
		PREFETCHT0(Mem{Base: reg.RAX, Disp: 128})
		PREFETCHT0(Mem{Base: reg.RAX, Disp: 192})
		VFMADD231PS(x, x, zmm[i])
		VFMADD231PS(y, y, zmm[i])
		if i < 15 {
			ADDQ(reg.R8, reg.RAX)
		}
	}
	ADDQ(U32(128), reg.RSI)
	DECQ(reg.R11)
	JNE(LabelRef("step"))
	turn()
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			VADDPS(zmm[i+n], zmm[i], zmm[i])
		}
	}
	Load(Param("sums"), reg.RDI)
	VADDPS(Mem{Base: reg.RDI}, reg.Z0, reg.Z0)
	VMOVUPS(reg.Z0, Mem{Base: reg.RDI})
	g.end()
}

func (g *isa) int16SquaresAcross() {
	g.function("int16SquaresAcross", "(sums, x *float32, row, steps, vectors int)",
		`adds to so many times 16 sums the squares of that many columns, of so many times 32 rows, row bytes apart.`)
	sums, x, row, steps, vectors := pointer("sums"), pointer("x"), integer("row"), integer("steps"), integer("vectors")
	row2, row3, row4 := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: row, Index: row, Scale: 1}, row2)
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	LEAQ(Mem{Base: row2, Index: row2, Scale: 1}, row4)
	SHLQ(U8(6), vectors)
	SHLQ(U8(3), steps)
	Label("rows")
	i, from := GP64(), GP64()
	XORQ(i, i)
	MOVQ(x, from)
	Label("vector")
	t := g.vec()
	for k, m := range []Mem{at(from), {Base: from, Index: row, Scale: 1}, {Base: from, Index: row2, Scale: 1}, {Base: from, Index: row3, Scale: 1}} {
		v := g.load(m, false)
		if k == 0 {
			VMULPS(v, v, t)
		} else {
			VFMADD231PS(v, v, t)
		}
	}
	next := GP64()
	LEAQ(Mem{Base: from, Index: row4, Scale: 1}, next)
	for _, m := range []Mem{at(next), {Base: next, Index: row, Scale: 1}, {Base: next, Index: row2, Scale: 1}, {Base: next, Index: row3, Scale: 1}} {
		PREFETCHT0(m)
	}
	VADDPS(Mem{Base: sums, Index: i, Scale: 1}, t, t)
	VMOVUPS(t, Mem{Base: sums, Index: i, Scale: 1})
	ADDQ(U8(4*g.lanes), from)
	ADDQ(U8(4*g.lanes), i)
	CMPQ(i, vectors)
	JNE(LabelRef("vector"))
	ADDQ(row4, x)
	DECQ(steps)
	JNE(LabelRef("rows"))
	g.end()
}

func (g *isa) int16Round(name, doc string, turned bool) {
	g.function(name, int16RoundSignature, doc)
	Load(Param("to"), reg.RDI)
	Load(Param("src"), reg.RSI)
	Load(Param("row"), reg.R8)
	Load(Param("second"), reg.R9)
	Load(Param("step"), reg.R10)
	Load(Param("steps"), reg.R11)
	Load(Param("next"), reg.R12)
	MOVL(U32(0xaaaaaaaa), reg.EAX)
	KMOVD(reg.EAX, reg.K1)
	Label("step")
	g.fill(reg.Z31, math.Float32bits(int16Magic))
	Load(Param("factors"), reg.RDX)
	MOVQ(reg.RSI, reg.RAX)
	LEAQ(Mem{Base: reg.RSI, Index: reg.R9, Scale: 1}, reg.RBX)
	for i := range 16 {
		low, high := zmm[23+i%4], zmm[27+i%4]
		VMOVUPS(Mem{Base: reg.RDX}, low)
		VMOVAPS(low, high)
		VFMADD132PS(Mem{Base: reg.RAX}, reg.Z31, low)
		VFMADD132PS(Mem{Base: reg.RBX}, reg.Z31, high)
		VPSLLD(U8(16), high, high)
		VPBLENDMW(high, low, reg.K1, zmm[i])
		if !turned {
			VMOVUPS(zmm[i], Mem{Base: reg.RDI, Disp: 64 * i})
		}
		PREFETCHT0(Mem{Base: reg.RAX, Index: reg.R10, Scale: 1}) // of the next step
		PREFETCHT0(Mem{Base: reg.RBX, Index: reg.R10, Scale: 1})
		if i < 15 {
			ADDQ(reg.R8, reg.RAX)
			ADDQ(reg.R8, reg.RBX)
			ADDQ(reg.R12, reg.RDX)
		}
	}
	if turned {
		turn()
		for i := range 16 {
			VMOVUPS(zmm[i], Mem{Base: reg.RDI, Disp: 64 * i})
		}
	}
	ADDQ(reg.R10, reg.RSI)
	ADDQ(U32(tileBytes), reg.RDI)
	DECQ(reg.R11)
	JNE(LabelRef("step"))
	g.end()
}

// vendor is what CPUID says of the processor's maker.
func (g *isa) vendor() {
	g.function("vendor", "() (b, d, c uint32)", "is the name of the processor's maker, four letters each.")
	XORL(reg.EAX, reg.EAX)
	XORL(reg.ECX, reg.ECX)
	CPUID()
	Store(reg.EBX, ReturnIndex(0))
	Store(reg.EDX, ReturnIndex(1))
	Store(reg.ECX, ReturnIndex(2))
	RET()
}
