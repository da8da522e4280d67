package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Products of int16 with vectors of 256 bits: the same numbers, in twice as many steps.

var ymm = []reg.Register{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}

// int16PanelsNarrow multiplies four rows by a tile at a time, which stays in the first-level cache while rows pass by.
func (g *isa) int16PanelsNarrow() {
	g.function("int16Panels", panelsSignature, int16PanelsDoc)
	load := func(name string, r reg.Register) { Load(Param(name), r) }
	const rows = 4 // at a time
	load("ldc", reg.R11)
	SHLQ(U8(2), reg.R11)
	load("steps", reg.R13)
	SHLQ(U8(10), reg.R13)
	ADDQ(U8(int16Scales), reg.R13) // bytes of a tile
	load("ahead", reg.R14)
	LEAQ(Mem{Base: reg.R14, Index: reg.R13, Scale: 2}, reg.R15) // its end
	load("b", reg.RDX)
	load("c", reg.R10)
	Label("right")
	load("a", reg.R8)
	load("rows", reg.R12)
	Label("tile")
	XORQ(reg.R9, reg.R9) // bytes of a step's rows before those
	Label("rows")
	MOVQ(reg.R10, reg.RBX) // rows of C to be fetched
	LEAQ(Mem{Base: reg.R8, Index: reg.R9, Scale: 1}, reg.RSI)
	MOVQ(reg.RDX, reg.RDI)
	load("steps", reg.RCX)
	for i := range 2 * rows {
		VPXOR(ymm[i], ymm[i], ymm[i])
	}
	Label("step")
	CMPQ(reg.RCX, U8(2))
	JNE(LabelRef("products"))
	for range rows {
		PREFETCHT0(Mem{Base: reg.RBX})
		ADDQ(reg.R11, reg.RBX)
	}
	Label("products")
	PREFETCHT1(Mem{Base: reg.R14})
	PREFETCHT1(Mem{Base: reg.R14, Disp: 64})
	SUBQ(I8(-128), reg.R14)
	CMPQ(reg.R14, reg.R15)
	CMOVQHI(reg.R15, reg.R14)
	for p := range 16 {
		VMOVDQU(Mem{Base: reg.RDI, Disp: 64 * p}, reg.Y8)
		VMOVDQU(Mem{Base: reg.RDI, Disp: 64*p + 32}, reg.Y9)
		for i := range rows {
			x, first, second := ymm[10+i%2], ymm[12+2*(i%2)], ymm[13+2*(i%2)]
			VPBROADCASTD(Mem{Base: reg.RSI, Disp: 64*i + 4*p}, x)
			VPMADDWD(reg.Y8, x, first)
			VPMADDWD(reg.Y9, x, second)
			VPADDD(first, ymm[2*i], ymm[2*i])
			VPADDD(second, ymm[2*i+1], ymm[2*i+1])
		}
	}
	ADDQ(U32(tileBytes), reg.RSI)
	ADDQ(U32(tileBytes), reg.RDI)
	DECQ(reg.RCX)
	JNE(LabelRef("step"))

	VPXOR(reg.Y15, reg.Y15, reg.Y15) // lanes of C to be added to
	MOVBQZX(NewParamAddr("accumulate", 48), reg.RAX)
	TESTQ(reg.RAX, reg.RAX)
	JE(LabelRef("scale"))
	VPCMPEQD(reg.Y15, reg.Y15, reg.Y15)
	Label("scale")
	MOVQ(reg.R9, reg.RSI)
	SHRQ(U8(4), reg.RSI)
	ADDQ(reg.R8, reg.RSI)
	for i := range rows {
		VBROADCASTSS(Mem{Base: reg.RSI, Disp: 4*i - int16Scales}, reg.Y8)
		for j := range 2 {
			x, y := ymm[2*i+j], ymm[9+j]
			VCVTDQ2PS(x, x)
			VMULPS(Mem{Base: reg.RDX, Disp: 32*j - int16Scales}, x, x)
			VANDPS(Mem{Base: reg.R10, Disp: 32 * j}, reg.Y15, y)
			VFMADD231PS(reg.Y8, x, y)
			VMOVUPS(y, Mem{Base: reg.R10, Disp: 32 * j})
		}
		ADDQ(reg.R11, reg.R10)
	}
	SUBQ(U8(rows), reg.R12)
	JLE(LabelRef("done"))
	ADDQ(U32(64*rows), reg.R9)
	CMPQ(reg.R9, U32(tileBytes))
	JNE(LabelRef("rows"))
	ADDQ(reg.R13, reg.R8)
	JMP(LabelRef("tile"))
	Label("done")
	load("b", reg.RAX)
	CMPQ(reg.RAX, reg.RDX)
	JNE(LabelRef("end"))
	ADDQ(reg.R13, reg.RDX)
	load("c", reg.R10)
	ADDQ(U8(64), reg.R10)
	JMP(LabelRef("right"))
	Label("end")
	g.end()
}

// int16FactorsNarrow is int16Factors for eight lanes at a time.
func (g *isa) int16FactorsNarrow() {
	g.function("int16Factors", int16FactorsSignature, int16FactorsDoc)
	scales, factors, sums := pointer("scales"), pointer("factors"), pointer("sums")
	least, most := g.set32(int16Least), g.set32(int16Most)
	share := g.set(int16Share)
	e0, scale0 := g.set32(29+127), g.set32(127)
	all := g.vec()
	VPCMPEQD(all, all, all)
	for i := range 2 {
		v, known, low := g.load(at(sums).Offset(32*i), false), g.vec(), g.vec()
		VCMPPS(U8(13), least, v, known) // not less, no NaN
		VCMPPS(U8(2), most, v, low)
		VANDPS(low, known, known)
		VANDPS(known, all, all)
		VMULPS(share, v, v)
		VPSRLD(U8(23), v, v)
		e := g.vec()
		VPSUBD(v, e0, e)
		VPSRAD(U8(1), e, e)
		factor, scale := g.vec(), g.vec()
		VPADDD(e, scale0, factor)
		VPSUBD(e, scale0, scale)
		for _, c := range []struct {
			x  reg.Register
			to Mem
		}{{scale, at(scales)}, {factor, at(factors)}} {
			VPSLLD(U8(23), c.x, c.x)
			VANDPS(known, c.x, c.x)
			VMOVUPS(c.x, c.to.Offset(32*i))
		}
	}
	flags, unknown := GP32(), GP8()
	VMOVMSKPS(all, flags)
	CMPL(flags, U32(0xff))
	SETNE(unknown)
	Store(unknown, ReturnIndex(0))
	g.end()
}

// int16SquaresNarrow takes eight rows at a time.
func (g *isa) int16SquaresNarrow() {
	g.function("int16Squares", int16SquaresSignature, int16SquaresDoc)
	Load(Param("x"), reg.RDX)
	Load(Param("row"), reg.R8)
	Load(Param("sums"), reg.RDI)
	MOVQ(U32(2), reg.RCX)
	Label("half")
	Load(Param("steps"), reg.R11)
	MOVQ(reg.RDX, reg.RSI)
	for i := range 8 {
		VXORPS(ymm[i], ymm[i], ymm[i])
	}
	Label("step")
	MOVQ(reg.RSI, reg.RAX)
	for i := range 8 {
		for j := range 4 {
			VMOVUPS(Mem{Base: reg.RAX, Disp: 32 * j}, ymm[8+(4*i+j)%8])
		}
		PREFETCHT0(Mem{Base: reg.RAX, Disp: 128})
		PREFETCHT0(Mem{Base: reg.RAX, Disp: 192})
		for j := range 4 {
			x := ymm[8+(4*i+j)%8]
			VFMADD231PS(x, x, ymm[i])
		}
		ADDQ(reg.R8, reg.RAX)
	}
	SUBQ(I8(-128), reg.RSI)
	DECQ(reg.R11)
	JNE(LabelRef("step"))
	LEAQ(Mem{Base: reg.RDX, Index: reg.R8, Scale: 8}, reg.RDX)
	// Neighbours are added until a vector has the sums of all rows.
	for n := 4; n > 1; n /= 2 {
		for i := range n {
			VHADDPS(ymm[2*i+1], ymm[2*i], ymm[i])
		}
	}
	VPERM2F128(U8(0x20), reg.Y1, reg.Y0, reg.Y2)
	VPERM2F128(U8(0x31), reg.Y1, reg.Y0, reg.Y3)
	VADDPS(reg.Y3, reg.Y2, reg.Y2)
	VADDPS(Mem{Base: reg.RDI}, reg.Y2, reg.Y2)
	VMOVUPS(reg.Y2, Mem{Base: reg.RDI})
	ADDQ(U8(32), reg.RDI)
	DECQ(reg.RCX)
	JNE(LabelRef("half"))
	g.end()
}

// int16RoundNarrow makes a tile of four blocks, of eight rows and eight pairs of each.
func (g *isa) int16RoundNarrow(name, doc string, turned bool) {
	g.function(name, int16RoundSignature, doc)
	to, src, row, second, step, steps, next := pointer("to"), pointer("src"), integer("row"), integer("second"), integer("step"), integer("steps"), integer("next")
	Label("step")
	factors := pointer("factors")
	x, y := GP64(), GP64()
	MOVQ(src, x)
	LEAQ(Mem{Base: src, Index: second, Scale: 1}, y)
	for block := range 2 { // of eight rows
		var after [3]reg.Register // them
		for half := range 2 {     // of their pairs
			for i, p := range []reg.Register{factors, x, y} {
				after[i] = GP64()
				MOVQ(p, after[i])
			}
			rows := make([]reg.VecVirtual, 8)
			for i := range rows {
				rows[i] = g.int16Pairs(after[0], after[1], after[2], 32*half)
				g.int16Next(after[0], after[1], after[2], row, step, next, half == 0)
			}
			r, column := block, half
			if turned {
				rows, r, column = g.transpose(rows), half, block
			}
			for i, v := range rows {
				VMOVUPS(v, Mem{Base: to, Disp: 64*(8*r+i) + 32*column})
			}
		}
		for i, p := range []reg.Register{factors, x, y} {
			MOVQ(after[i], p)
		}
	}
	ADDQ(step, src)
	ADDQ(U32(tileBytes), to)
	DECQ(steps)
	JNE(LabelRef("step"))
	g.end()
}

// int16Pairs are eight pairs of integers: numbers at x and at y, so many bytes on, times their factors.
func (g *isa) int16Pairs(factors, x, y reg.Register, offset int) reg.VecVirtual {
	low, high := g.load(at(factors).Offset(offset), false), g.vec()
	magic := g.set(int16Magic)
	VMOVAPS(low, high)
	VFMADD132PS(at(x).Offset(offset), magic, low)
	VFMADD132PS(at(y).Offset(offset), magic, high)
	VPSLLD(U8(16), high, high)
	VPBLENDW(U8(0xaa), high, low, low)
	return low
}

// int16Next goes to the next row, and fetches those of the next step.
func (g *isa) int16Next(factors, x, y, row, step, next reg.Register, fetch bool) {
	if fetch {
		PREFETCHT0(Mem{Base: x, Index: step, Scale: 1})
		PREFETCHT0(Mem{Base: y, Index: step, Scale: 1})
	}
	ADDQ(row, x)
	ADDQ(row, y)
	ADDQ(next, factors)
}
