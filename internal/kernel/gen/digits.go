package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A chunk of a panel: 16 scales, and for each of two steps of 64 a tile of the first digits, one of the second, one of the third.
const (
	digitSteps  = 2
	digitScales = 4 * 16
	digitChunk  = digitScales + digitSteps*3*tileBytes
	digitBias   = 0x808080
	digitTop    = 0x7fffff - 0x7efefe // what a mantissa above the largest of three digits lacks to the next exponent
	digitLeast  = 22                  // the smallest exponent whose factor is finite
)

// tileDotInt8 is TDPBSSD: c += a·b of 16 rows of 16 fours of int8 and 16 fours of rows of 16 columns, in int32.
func tileDotInt8(c, a, b uint8) {
	vex38(prefixF2, b, 0, 0)
	emit(0x5e, 0xc0|c<<3|a)
}

// pad are instructions that do nothing. Where another thread keeps the same core busy, instructions on tiles take as little as three
// fifths of the time if others come between them; where none does they take as long.
func pad() {
	for range 8 {
		emit(0x90)
	}
}

// digitTiles multiplies digits. Four tiles sum up the products of each order, from first by first to second by third, and are stored; while
// the next block is multiplied, vectors add the four up, times the scales, to C.
func (g *isa) digitTiles() {
	g.function("digitTiles", "(a, b *byte, chunks int, c *float32, ldc, rows, cols int, accumulate bool, scratch *float32, ahead *byte)",
		`multiplies so many panels of A by so many of B, as cutRows and cutColumns make them, to as many times 16 rows and columns
of c. scratch has room for 2·4·16×16. The panels of B should fit half of the first-level cache with one chunk each.
Meanwhile it fetches what ahead points to into the second-level cache: 512 bytes for each of the blocks of 16×16×128.`)
	load := func(name string, r reg.Register) { Load(Param(name), r) }
	small, scaleB := reg.Z29, reg.Z30
	rowsLeft, chunksLeft, chunkA, chunkB := AllocLocal(8), AllocLocal(8), AllocLocal(8), AllocLocal(8)
	rowC := AllocLocal(8)

	LEAQ(g.tileConfig, reg.RAX)
	tileConfigure(rax)
	load("ldc", reg.R11)
	SHLQ(U8(2), reg.R11)
	load("chunks", reg.R9)
	MOVQ(reg.R9, chunksLeft)
	IMUL3Q(U32(digitChunk), reg.R9, reg.R15)
	load("scratch", reg.R13)
	LEAQ(Mem{Base: reg.R13, Disp: 4096}, reg.RAX)
	load("a", reg.RDI)
	MOVQ(reg.RDI, chunkA)
	load("b", reg.RBX)
	MOVQ(reg.RBX, chunkB)
	load("c", reg.RCX)
	MOVQ(U32(64), reg.RDX)
	g.fill(small, math.Float32bits(1.0/256))
	// There is no block yet whose sums wait to be added: what is there is not stored.
	KXORW(reg.K1, reg.K1, reg.K1)
	KXORW(reg.K2, reg.K2, reg.K2)
	KXORW(reg.K3, reg.K3, reg.K3)
	KXNORW(reg.K4, reg.K4, reg.K4)
	MOVBQZX(NewParamAddr("accumulate", 56), reg.R10)
	TESTQ(reg.R10, reg.R10)
	JE(LabelRef("start"))
	KMOVW(reg.K4, reg.K3)
	Label("start")
	load("ahead", reg.R9)

	zmm := []reg.VecPhysical{reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27}
	next := 0
	vector := func() reg.VecPhysical { next++; return zmm[next%len(zmm)] }
	// add adds a row of sums to C.
	add := func(row int) {
		sum := func(order int) Mem { return Mem{Base: reg.RAX, Disp: tileBytes*order + 64*row} }
		x := vector()
		VCVTDQ2PS(sum(3), x)
		for order := 2; order >= 0; order-- {
			y := vector()
			VCVTDQ2PS(sum(order), y)
			VFMADD231PS(small, x, y)
			x = y
		}
		t, c := vector(), vector()
		VMULPS_BCST(Mem{Base: reg.RDI, Disp: 4 * row}, scaleB, t)
		VMOVUPS_Z(Mem{Base: reg.RCX}, reg.K1, c)
		VFMADD231PS(t, x, c)
		VMOVUPS(c, reg.K2, Mem{Base: reg.RCX})
		PREFETCHT0(Mem{Base: reg.RCX, Disp: 64})
		ADDQ(reg.R11, reg.RCX)
	}

	Label("chunk")
	MOVQ(chunkA, reg.RSI)
	load("c", reg.R10)
	MOVQ(reg.R10, rowC)
	load("rows", reg.R12)
	MOVQ(reg.R12, rowsLeft)
	Label("row")
	LEAQ(Mem{Base: reg.RSI, Index: reg.R15, Scale: 1}, reg.R8) // to be fetched
	MOVQ(chunkB, reg.RBX)
	load("cols", reg.R12)
	Label("block")
	for t := range uint8(4) {
		tileZero(t)
	}
	slot := 0
	dot := func(c, a, b uint8) {
		tileDotInt8(c, a, b)
		add(slot)
		PREFETCHT0(Mem{Base: reg.R8, Disp: 128 * slot})
		PREFETCHT0(Mem{Base: reg.R8, Disp: 128*slot + 64})
		if slot%2 == 0 {
			PREFETCHT1(Mem{Base: reg.R9, Disp: 32 * slot})
		}
		slot++
	}
	for step := range digitSteps {
		place := func(digit int) int { return digitScales + (3*step+digit)*tileBytes }
		a := func(t uint8, digit int) { tileStream(t, rsi, place(digit), rdx); pad() }
		b := func(t uint8, digit int) { tileLoad(t, rbx, place(digit), rdx); pad() }
		// A's digits stay in their tiles, B's come one after the other. Products of one order, which are added up in one tile, are three apart:
		// so they need not wait for one another, which on some processors they would not do either way.
		for d := range 3 {
			a(4+uint8(d), d)
		}
		for digit, orders := range [][2][]uint8{{{2, 0, 1}, {0, 2, 1}}, {{2, 3, 1}, {3, 2, 1}}, {{2, 3}, {3, 2}}} {
			b(7, digit)
			for _, order := range orders[step] {
				dot(order, 4+order-uint8(digit), 7)
			}
		}
	}
	for t := range uint8(4) {
		tileStore(t, r13, int(t)*tileBytes, rdx)
		pad()
	}
	XCHGQ(reg.RAX, reg.R13)
	MOVQ(reg.R10, reg.RCX)
	MOVQ(reg.RSI, reg.RDI)
	VMOVUPS(Mem{Base: reg.RBX}, scaleB)
	KMOVW(reg.K3, reg.K1)
	KMOVW(reg.K4, reg.K2)
	ADDQ(U32(2048), reg.R8)
	ADDQ(U32(512), reg.R9)
	ADDQ(reg.R15, reg.RBX)
	ADDQ(U32(64), reg.R10)
	DECQ(reg.R12)
	JNE(LabelRef("block"))
	ADDQ(reg.R15, reg.RSI)
	MOVQ(reg.R11, reg.R10)
	SHLQ(U8(4), reg.R10)
	ADDQ(rowC, reg.R10)
	MOVQ(reg.R10, rowC)
	DECQ(rowsLeft)
	JNE(LabelRef("row"))
	KMOVW(reg.K4, reg.K3)
	ADDQ(U32(digitChunk), chunkA)
	ADDQ(U32(digitChunk), chunkB)
	DECQ(chunksLeft)
	JNE(LabelRef("chunk"))
	for row := range 16 {
		add(row)
	}
	tileRelease()
	VZEROUPPER()
	RET()
}

// digits writes what makes panels of float32.
func (g *isa) digits() {
	g.cutRows()
	g.cutColumns()
}

// digitMasks are opmasks that select each second word, and each second byte.
func digitMasks() (words, bytes reg.Register) {
	r := GP64()
	MOVQ(U64(0xaaaaaaaaaaaaaaaa), r)
	words, bytes = K(), K()
	KMOVD(r.As32(), words)
	KMOVQ(r, bytes)
	return words, bytes
}

// exponents are, of the bits of largest numbers, what the exponents of their factors and of their scales are made of.
func (g *isa) exponents(largest reg.VecVirtual) (factor, scale reg.VecVirtual) {
	e := g.vec()
	VPADDD(g.bitsOf(digitTop), largest, e)
	VPSRLD(U8(23), e, e)
	VPMAXSD(g.bitsOf(digitLeast), e, e)
	factor, scale = g.vec(), g.vec()
	g.fill(factor, 22+2*127)
	VPSUBD(e, factor, factor)
	VPSLLD(U8(23), factor, factor)
	VPSUBD(g.bitsOf(22-16), e, scale)
	VPSLLD(U8(23), scale, scale)
	return factor, scale
}

// cut stores the three digits of four vectors, each times factor and rounded to an integer.
func (g *isa) cut(v [4]reg.VecVirtual, factor, bias, signs reg.VecVirtual, words, bytes reg.Register, to Mem) {
	for _, x := range v {
		VMULPS(factor, x, x)
		VCVTPS2DQ(x, x)
		VPADDD(bias, x, x)
	}
	// The lower words and the upper words of two vectors each, side by side.
	var lower, upper [2]reg.VecVirtual
	for i := range 2 {
		x, y := v[2*i], v[2*i+1]
		lower[i], upper[i] = g.vec(), g.vec()
		VPSLLD(U8(16), y, lower[i])
		VPBLENDMW(lower[i], x, words, lower[i])
		VPSRLD(U8(16), x, upper[i])
		VPBLENDMW(y, upper[i], words, upper[i])
	}
	store := func(even, odd reg.Register, digit int) {
		d := g.vec()
		VPBLENDMB(odd, even, bytes, d)
		VPXORD(signs, d, d)
		VMOVUPS(d, to.Offset(digit*tileBytes))
	}
	shifted := g.vec()
	VPSLLD(U8(8), upper[1], shifted)
	store(upper[0], shifted, 0)
	shifted = g.vec()
	VPSRLD(U8(8), lower[0], shifted)
	store(shifted, lower[1], 1)
	shifted = g.vec()
	VPSLLD(U8(8), lower[1], shifted)
	store(lower[0], shifted, 2)
}

// wild stores whether a number among the largest cannot be cut.
func (g *isa) wild(largest reg.VecVirtual) {
	k, flags, found := K(), GP32(), GP8()
	VPCMPD(U8(5), g.bitsOf((127+69)<<23), largest, k) // not less
	KMOVW(k, flags)
	TESTL(flags, flags)
	SETNE(found)
	Store(found, ReturnIndex(0))
	g.end()
}

func (g *isa) cutRows() {
	g.function("cutRows", "(to *byte, src *float32, row, chunks int) bool",
		`cuts 16 rows, so many bytes apart, of 128 numbers a chunk: for each of them one scale for each row, and of each row three digits
to each number, in a tile of each step. Chunks of a panel follow one another. It reports whether there is a
number that is too large, infinite or a NaN.`)
	to, src, row, chunks := pointer("to"), pointer("src"), integer("row"), integer("chunks")
	words, bytes := digitMasks()
	abs, bias, signs, most := g.set32(0x7fffffff), g.set32(digitBias), g.set32(0x80808080), g.zero()
	Label("chunk")
	p, at, scales, n := GP64(), GP64(), GP64(), GP64()
	MOVQ(src, p)
	LEAQ(Mem{Base: to, Disp: digitScales}, at)
	MOVQ(to, scales)
	MOVQ(U32(16), n)
	Label("row")
	var v [8]reg.VecVirtual
	largest := g.vec()
	for i := range v {
		v[i] = g.vec()
		VMOVUPS(Mem{Base: p, Disp: 64 * i}, v[i])
		if i == 0 {
			VPANDD(abs, v[i], largest)
		} else {
			t := g.vec()
			VPANDD(abs, v[i], t)
			VPMAXSD(t, largest, largest)
		}
	}
	VPMAXSD(largest, most, most)
	for _, imm := range []uint8{0x4e, 0xb1} { // halves, quarters
		t := g.vec()
		VSHUFI32X4(U8(imm), largest, largest, t)
		VPMAXSD(t, largest, largest)
	}
	for _, imm := range []uint8{0x4e, 0xb1} {
		t := g.vec()
		VPSHUFD(U8(imm), largest, t)
		VPMAXSD(t, largest, largest)
	}
	factor, scale := g.exponents(largest)
	VMOVSS(scale.AsX(), Mem{Base: scales})
	for step := range digitSteps {
		g.cut([4]reg.VecVirtual(v[4*step:4*step+4]), factor, bias, signs, words, bytes, Mem{Base: at, Disp: step * 3 * tileBytes})
	}
	ADDQ(row, p)
	ADDQ(U32(64), at)
	ADDQ(U32(4), scales)
	DECQ(n)
	JNE(LabelRef("row"))
	ADDQ(U32(digitSteps*64*4), src)
	ADDQ(U32(digitChunk), to)
	DECQ(chunks)
	JNE(LabelRef("chunk"))
	g.wild(most)
}

func (g *isa) cutColumns() {
	g.function("cutColumns", "(to *byte, src *float32, row, chunks int) bool",
		`is cutRows of the transpose: 16 columns of 128 rows a chunk, into tiles for the right side.`)
	to, src, row, chunks := pointer("to"), pointer("src"), integer("row"), integer("chunks")
	words, bytes := digitMasks()
	abs, bias, signs, most := g.set32(0x7fffffff), g.set32(digitBias), g.set32(0x80808080), g.zero()
	row16, row48 := GP64(), GP64()
	MOVQ(row, row16)
	SHLQ(U8(4), row16)
	LEAQ(Mem{Base: row16, Index: row16, Scale: 2}, row48)
	Label("chunk")
	p, n := GP64(), GP64()
	MOVQ(src, p)
	MOVQ(U32(64), n)
	tops := [2]reg.VecVirtual{g.zero(), g.zero()}
	Label("largest")
	for _, top := range tops {
		t := g.vec()
		VPANDD(at(p), abs, t)
		VPMAXSD(t, top, top)
		ADDQ(row, p)
	}
	DECQ(n)
	JNE(LabelRef("largest"))
	VPMAXSD(tops[1], tops[0], tops[0])
	VPMAXSD(tops[0], most, most)
	factor, scale := g.exponents(tops[0])
	VMOVUPS(scale, at(to))
	for step := range digitSteps {
		name := []string{"step0", "step1"}[step]
		place, n := GP64(), GP64()
		LEAQ(Mem{Base: to, Disp: digitScales + step*3*tileBytes}, place)
		MOVQ(U32(16), n)
		Label(name)
		var v [4]reg.VecVirtual
		for i, m := range []Mem{at(src), {Base: src, Index: row16, Scale: 1}, {Base: src, Index: row16, Scale: 2}, {Base: src, Index: row48, Scale: 1}} {
			v[i] = g.vec()
			VMOVUPS(m, v[i])
		}
		g.cut(v, factor, bias, signs, words, bytes, at(place))
		ADDQ(row, src)
		ADDQ(U32(64), place)
		DECQ(n)
		JNE(LabelRef(name))
		ADDQ(row48, src)
	}
	ADDQ(U32(digitChunk), to)
	DECQ(chunks)
	JNE(LabelRef("chunk"))
	g.wild(most)
}
