package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An element of a held matrix.
type element struct {
	name  string
	bytes int
}

var elements = []element{{"Float32", 4}, {"BFloat16", 2}}

// mostHeld is the largest number of rows that there is a product for.
const mostHeld = 8

// held writes the products of a few rows with a panel of 32 columns.
func (g *isa) held() {
	for _, e := range elements {
		for rows := 1; rows <= mostHeld; rows++ {
			if len(g.passes(rows)) > 1 {
				g.heldGroups(e, rows)
			} else {
				g.heldPanel(e, rows)
			}
		}
	}
	for rows := 1; rows <= mostHeld; rows++ {
		g.heldGroups(int24, rows)
	}
}

// fetchNear is up to how many rows a kernel fetches into the first-level cache. With more it takes longer than memory does: what is fetched
// early enough would drive out the rows.
const fetchNear = 2

// soon is how many bytes ahead a kernel that reads memory as streams fetches from the second-level cache.
const soon = 4096

// aheadDoc says what a kernel for so many rows fetches.
func (g *isa) aheadDoc(rows int) string {
	if g.name == "Streams" {
		return "Meanwhile it fetches into the second-level cache what is so many bytes ahead, as four streams, a quarter of it each:\n" +
			"one alone does not keep memory busy. What it reads soon it fetches into the first-level cache."
	}
	if rows > fetchNear {
		return "Meanwhile it fetches b into the second-level cache so many bytes ahead."
	}
	return "It fetches b so many bytes ahead."
}

func (g *isa) heldPanel(e element, rows int) {
	g.function(fmt.Sprintf("held%s%d", e.name, rows), "(k int, a *float32, lda int, b *byte, c *float32, ldc, cols, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of as many rows of a and of k rows of 32\n"+
			"at b. %s", rows, g.aheadDoc(rows)))
	k, a, lda, b, ahead := integer("k"), pointer("a"), integer("lda"), pointer("b"), integer("ahead")
	SHLQ(U8(2), lda)
	left := newRows(a, lda, rows)
	vectors := 32 / g.lanes
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], g.zero())
		}
	}
	row := 32 * e.bytes
	var split func(m Mem) [2]reg.VecVirtual
	if e.name == "BFloat16" {
		split = g.bfloat16Splitter()
	}
	step := func(p int) {
		x := make([]reg.VecVirtual, rows)
		add := func(j int, v reg.VecVirtual) {
			for i := range rows {
				if x[i] == nil || !g.wide() {
					x[i] = g.vec()
					VBROADCASTSS(left.at(i, 4*p), x[i])
				}
				VFMADD231PS(x[i], v, acc[i][j])
			}
		}
		for j := range vectors {
			from := Mem{Base: b, Disp: p*row + j*4*g.lanes}
			switch {
			case e.name == "Float32":
				v := g.vec()
				VMOVUPS(from, v)
				add(j, v)
			case j < vectors/2:
				w := split(from)
				add(j, w[0])
				add(j+vectors/2, w[1])
			}
		}
	}
	const unroll = 4
	fetch := g.fetcher(rows, b, ahead, g.quarter(k, row))
	SUBQ(U8(unroll), k)
	JL(LabelRef("rest"))
	Label("loop")
	fetch(unroll*row, 0, 1)
	for p := range unroll {
		step(p)
	}
	ADDQ(I32(unroll*row), b)
	left.advance(4 * unroll)
	SUBQ(U8(unroll), k)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), k)
	JE(LabelRef("store"))
	Label("single")
	step(0)
	ADDQ(I32(row), b)
	left.advance(4)
	DECQ(k)
	JNE(LabelRef("single"))

	Label("store")
	g.storeColumns(acc)
}

// rows are those of a matrix, ld bytes apart.
type rows struct {
	thirds []reg.Register // the first, the fourth, …
	ld     reg.Register
}

func newRows(first, ld reg.Register, n int) rows {
	r := rows{[]reg.Register{first}, ld}
	for i := 3; i < n; i += 3 {
		next := GP64()
		LEAQ(Mem{Base: r.thirds[len(r.thirds)-1], Index: ld, Scale: 2}, next)
		ADDQ(ld, next)
		r.thirds = append(r.thirds, next)
	}
	return r
}

func (r rows) at(i, disp int) Mem {
	m := Mem{Base: r.thirds[i/3], Disp: disp}
	if i%3 > 0 {
		m.Index, m.Scale = r.ld, uint8(i%3)
	}
	return m
}

func (r rows) advance(bytes int) {
	for _, p := range r.thirds {
		ADDQ(I32(bytes), p)
	}
}

// quarter is that of the bytes of so many steps, if it is needed.
func (g *isa) quarter(steps reg.Register, bytes int) reg.Register {
	q := GP64()
	if g.name == "Streams" {
		IMUL3Q(I32(bytes/4), steps, q)
	}
	return q
}

// fetcher gives what fetches as many bytes as a loop for so many rows reads of b, of which there are four times quarter: of its lines one of so
// many, or all.
func (g *isa) fetcher(rows int, b, ahead, quarter reg.Register) func(n, which, of int) {
	if g.name != "Streams" {
		prefetch := PREFETCHT0
		if rows > fetchNear {
			prefetch = PREFETCHT1
		}
		return func(n, which, of int) {
			for line := 64 * which; line < n; line += 64 * of {
				prefetch(Mem{Base: b, Index: ahead, Scale: 1, Disp: line})
			}
		}
	}
	last := GP64()
	ADDQ(b, ahead)
	LEAQ(Mem{Base: ahead, Index: quarter, Scale: 2}, last)
	ADDQ(quarter, last)
	return func(n, _, _ int) {
		for line := 0; line < n/4; line += 64 {
			PREFETCHT1(Mem{Base: ahead, Disp: line})
			PREFETCHT1(Mem{Base: ahead, Index: quarter, Scale: 1, Disp: line})
			PREFETCHT1(Mem{Base: ahead, Index: quarter, Scale: 2, Disp: line})
			PREFETCHT1(Mem{Base: last, Disp: line})
		}
		for line := 0; line < n; line += 64 {
			PREFETCHT0(Mem{Base: b, Disp: soon + line})
		}
		ADDQ(I32(n/4), ahead)
		ADDQ(I32(n/4), last)
	}
}

// storeColumns stores the first cols columns of rows of vectors side by side at c, and ends the function.
func (g *isa) storeColumns(rows [][]reg.VecVirtual) {
	g.eachColumns(g.wholePass(len(rows)), func(i, j int, m Mem, masked bool) { g.store(rows[i][j], m, masked) })
	g.end()
}

// eachColumns calls f for a pass's vectors of c; it is to use the mask for those of which not all is there. With AVX2, whose masked stores
// take long, whole panels do without.
func (g *isa) eachColumns(p pass, f func(i, j int, m Mem, masked bool)) {
	c, ldc, cols := pointer("c"), integer("ldc"), integer("cols")
	SHLQ(U8(2), ldc)
	for range p.first {
		ADDQ(ldc, c)
	}
	var part, done string
	if !g.wide() {
		part, done = label("part"), label("done")
		CMPQ(cols, U8(32))
		JNE(LabelRef(part))
		to := GP64()
		MOVQ(c, to)
		for i := range p.rows {
			for j, column := range p.columns() {
				f(i, j, at(to).Offset(4*column), false)
			}
			ADDQ(ldc, to)
		}
		JMP(LabelRef(done))
		Label(part)
	}
	for j, column := range p.columns() {
		left, limit, zero := GP64(), GP64(), GP64()
		MOVQ(cols, left)
		if column > 0 {
			SUBQ(U8(column), left)
		}
		MOVQ(U32(g.lanes), limit)
		CMPQ(left, limit)
		CMOVQGT(limit, left)
		XORQ(zero, zero)
		TESTQ(left, left)
		CMOVQLT(zero, left)
		g.setMask(left)
		to := GP64()
		MOVQ(c, to)
		for i := range p.rows {
			f(i, j, at(to).Offset(4*column), true)
			if i < p.rows-1 {
				ADDQ(ldc, to)
			}
		}
	}
	if !g.wide() {
		Label(done)
	}
}

// heldInt8 writes the products of a few rows of two digits with a panel of int8.
func (g *isa) heldInt8(rows int) {
	g.function(fmt.Sprintf("heldInt8%d", rows),
		"(blocks int, a *byte, lda int, b *byte, c *float32, ldc, cols int, scale *float32, rows *int32, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of a, in which each row has its first\n"+
			"digits and, lda bytes after them, its second ones, and of so many blocks of 32 columns at b, each of four bytes\n"+
			"without a sign. Sums begin with those of rows; column j is multiplied by scale[j], row i by its step.\n%s", rows, g.aheadDoc(rows)))
	blocks, a, lda, b := integer("blocks"), pointer("a"), integer("lda"), pointer("b")
	head, ahead := pointer("rows"), integer("ahead")
	left := newRows(a, lda, 2*rows)
	vectors := 32 / g.lanes
	digits := [2][][]reg.VecVirtual{make([][]reg.VecVirtual, rows), make([][]reg.VecVirtual, rows)}
	for d := range digits {
		for i := range rows {
			for range vectors {
				v := g.vec()
				VPBROADCASTD(at(head).Offset(12*i+4*d), v)
				digits[d][i] = append(digits[d][i], v)
			}
		}
	}
	const block = 32 * 4
	step := func(p int) {
		if g.wide() {
			g.int8Bytes(digits, left, p, at(b).Offset(p*block))
		} else {
			g.int8Words(digits, left, p, at(b).Offset(p*block))
		}
	}
	const unroll = 4
	fetch := g.fetcher(rows, b, ahead, g.quarter(blocks, block))
	SUBQ(U8(unroll), blocks)
	JL(LabelRef("rest"))
	Label("loop")
	fetch(unroll*block, 0, 1)
	for p := range unroll {
		step(p)
	}
	ADDQ(I32(unroll*block), b)
	left.advance(4 * unroll)
	SUBQ(U8(unroll), blocks)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), blocks)
	JE(LabelRef("finish"))
	Label("single")
	step(0)
	ADDQ(I32(block), b)
	left.advance(4)
	DECQ(blocks)
	JNE(LabelRef("single"))

	Label("finish")
	scale := pointer("scale")
	for i := range rows {
		for j, v := range digits[0][i] {
			w := digits[1][i][j]
			VCVTDQ2PS(v, v)
			VCVTDQ2PS(w, w)
			t := g.vec()
			VBROADCASTSS(g.constant(256), t)
			VMULPS(t, v, v)
			VADDPS(w, v, v)
			VBROADCASTSS(at(head).Offset(12*i+8), t)
			VMULPS(t, v, v)
			VMULPS(at(scale).Offset(4*j*g.lanes), v, v)
		}
	}
	g.storeColumns(digits[0])
}

// heldBytes writes those for which there are instructions.
func (g *isa) heldBytes() {
	for rows := range 4 {
		g.heldInt8(rows + 1)
	}
}

// int8Bytes adds the products of four bytes in each lane, block p of the rows at a.
func (g *isa) int8Bytes(digits [2][][]reg.VecVirtual, a rows, p int, b Mem) {
	w := make([]reg.VecVirtual, len(digits[0][0]))
	for j := range w {
		w[j] = g.vec()
		VMOVDQU32(b.Offset(64*j), w[j])
	}
	for i := range digits[0] {
		for d := range digits {
			x := g.vec()
			VPBROADCASTD(a.at(2*i+d, 4*p), x)
			for j, sum := range digits[d][i] {
				addByteProducts(x, w[j], sum)
			}
		}
	}
}

// addByteProducts adds the products of x's bytes, with a sign, and w's, without one. Go's assembler knows the instruction, avo does not.
func addByteProducts(x, w, sum reg.VecVirtual) {
	operands := []Op{x, w, sum}
	Instruction(&ir.Instruction{Opcode: "VPDPBUSD", Operands: operands, Inputs: operands, Outputs: []Op{sum}, ISA: []string{"AVX512_VNNI"}})
}

// int8Words does the same for one row with words, the even bytes of a lane and the odd ones.
func (g *isa) int8Words(digits [2][][]reg.VecVirtual, a rows, p int, b Mem) {
	var even, odd [2]reg.VecVirtual
	for d := range digits {
		even[d], odd[d] = g.vec(), g.vec()
		VPBROADCASTD(a.at(d, 4*p), odd[d])
		VPSLLW(U8(8), odd[d], even[d])
		VPSRAW(U8(8), even[d], even[d])
		VPSRAW(U8(8), odd[d], odd[d])
	}
	for j := range digits[0][0] {
		high, low, product := g.vec(), g.vec(), g.vec()
		VMOVDQU(b.Offset(32*j), high)
		VPAND(g.bitsOf(0x00ff00ff), high, low)
		VPSRLW(U8(8), high, high)
		for d := range digits {
			sum := digits[d][0][j]
			VPMADDWD(low, even[d], product)
			VPADDD(product, sum, sum)
			VPMADDWD(high, odd[d], product)
			VPADDD(product, sum, sum)
		}
	}
}

// quantize writes what rounds the rows of A.
func (g *isa) quantize() {
	g.function("largestBits", "(x *float32, n int) uint32", "is the largest of x without their signs, seen as whole numbers.")
	x, n := pointer("x"), integer("n")
	top, sign := g.zero(), g.vec()
	VMOVUPS(g.bitsOf(1<<31), sign)
	g.each(n, func(load func(p reg.Register) reg.VecVirtual, _ func(v, p reg.Register), _ bool) {
		v := load(x)
		VANDNPS(v, sign, v)
		VPMAXUD(v, top, top)
	})
	result := GP32()
	VMOVD(g.fold(top, func(ops ...Op) { VPMAXUD(ops[0], ops[1], ops[2]) }), result)
	g.result(result)

	g.function("quantize", "(first, second *byte, x *float32, n int, inverse float32, sums *[2]int32)",
		"sets first and second to the digits of x·inverse, rounded to the nearest, ties to even, and sums to the sums of the\n"+
			"digits. As many elements of either are written as whole vectors have.")
	first, second := pointer("first"), pointer("second")
	x, n = pointer("x"), integer("n")
	inverse := g.spread("inverse")
	magic, half := g.vec(), g.vec()
	VMOVUPS(g.constant(3<<22), magic)
	VMOVUPS(g.bitsOf(128), half)
	totals := []reg.VecVirtual{g.zero(), g.zero()}
	var bytes reg.VecVirtual
	if !g.wide() {
		bytes = YMM()
		table := GLOBL("firstBytes"+g.name, attr.RODATA|attr.NOPTR)
		for i := range 32 {
			DATA(i, U8(4*i|i&4<<5|i&8<<4)) // the first bytes of four lanes, then nothing
		}
		VMOVDQU(table, bytes)
	}
	g.each(n, func(load func(p reg.Register) reg.VecVirtual, _ func(v, p reg.Register), _ bool) {
		q, a := load(x), g.vec()
		VMULPS(inverse, q, q)
		VADDPS(magic, q, q)
		VPSUBD(magic, q, q)
		VPADDD(half, q, a)
		VPSRAD(U8(8), a, a)
		b := g.vec()
		VPSLLD(U8(8), a, b)
		VPSUBD(b, q, b)
		VPADDD(a, totals[0], totals[0])
		VPADDD(b, totals[1], totals[1])
		for i, v := range []reg.VecVirtual{a, b} {
			to := []reg.Register{first, second}[i]
			if g.wide() {
				VPMOVDB(v, at(to))
			} else {
				VPSHUFB(bytes, v, v)
				upper := XMM()
				VEXTRACTI128(U8(1), v, upper)
				VPUNPCKLDQ(upper, v.AsX(), upper)
				VMOVQ(upper, at(to))
			}
			ADDQ(U8(g.lanes), to)
		}
	})
	sums := pointer("sums")
	for i, v := range totals {
		VMOVD(g.fold(v, func(ops ...Op) { VPADDD(ops[0], ops[1], ops[2]) }), at(sums).Offset(4*i))
	}
	g.end()
}

// quantizeColumns writes what rounds the weights of a panel.
func (g *isa) quantizeColumns() {
	const columns = 32
	row := 4 * columns
	g.function("largestOfColumns", "(largest, x *float32, k int)", "sets largest, of 32 columns, to the largest of k rows of x [k, 32] without their signs.")
	largest, x, k := pointer("largest"), pointer("x"), integer("k")
	sign := g.vec()
	VMOVUPS(g.bitsOf(1<<31), sign)
	tops := make([]reg.VecVirtual, columns/g.lanes)
	for j := range tops {
		tops[j] = g.zero()
	}
	Label("rows")
	for j, top := range tops {
		v := g.vec()
		VANDNPS(at(x).Offset(4*j*g.lanes), sign, v)
		VMAXPS(v, top, top)
	}
	ADDQ(I32(row), x)
	DECQ(k)
	JNE(LabelRef("rows"))
	for j, top := range tops {
		VMOVUPS(top, at(largest).Offset(4*j*g.lanes))
	}
	g.end()

	g.function("quantizeColumns", "(to *byte, x *float32, blocks int, inverse *float32)",
		"sets so many blocks of 32 columns at to, each of four bytes, to 128 more than x·inverse of the rows of x [4·blocks, 32],\n"+
			"rounded to the nearest, ties to even. There are 32 of inverse.")
	to, x, blocks, inverse := pointer("to"), pointer("x"), integer("blocks"), pointer("inverse")
	factors := make([]reg.VecVirtual, columns/g.lanes)
	for j := range factors {
		factors[j] = g.vec()
		VMOVUPS(at(inverse).Offset(4*j*g.lanes), factors[j])
	}
	low, zero := g.vec(), g.vec()
	VMOVUPS(g.bitsOf(0xff), low)
	VMOVUPS(g.bitsOf(0x80808080), zero)
	Label("blocks")
	for j, factor := range factors {
		all := g.vec()
		for r := range 4 {
			v := g.vec()
			VMULPS(at(x).Offset(r*row+4*j*g.lanes), factor, v)
			VCVTPS2DQ(v, v)
			if r < 3 {
				VANDPS(low, v, v)
			}
			if r == 0 {
				all = v
				continue
			}
			VPSLLD(U8(8*r), v, v)
			VORPS(v, all, all)
		}
		VXORPS(zero, all, all)
		VMOVUPS(all, at(to).Offset(4*j*g.lanes))
	}
	ADDQ(I32(4*row), x)
	ADDQ(I32(row), to)
	DECQ(blocks)
	JNE(LabelRef("blocks"))
	g.end()
}

// roundPairs writes what makes a panel of bfloat16.
func (g *isa) roundPairs() {
	g.function("roundPairs", "(to *byte, x *float32, steps int)",
		"sets to to steps of 32 elements of x, rounded to the nearest bfloat16, ties to even: element j beside 16+j.")
	to, x, steps := pointer("to"), pointer("x"), integer("steps")
	one, half, high, quiet := g.bitsOf(1), g.bitsOf(0x7fff), g.bitsOf(0xffff0000), g.bitsOf(0x00400000)
	rounded := func(from Mem) reg.VecVirtual {
		v, r, nan := g.vec(), g.vec(), g.vec()
		VMOVUPS(from, v)
		VPSRLD(U8(16), v, r)
		VANDPS(one, r, r)
		VPADDD(v, r, r)
		VPADDD(half, r, r)
		VORPS(quiet, v, nan)
		if g.wide() {
			k := K()
			VCMPPS(U8(3), v, v, k) // unordered
			VMOVAPS(nan, k, r)
		} else {
			m := g.vec()
			VCMPPS(U8(3), v, v, m)
			VBLENDVPS(m, nan, r, r)
		}
		return r
	}
	Label("loop")
	for j := 0; j < 16; j += g.lanes {
		low, up := rounded(at(x).Offset(4*j)), rounded(at(x).Offset(4*(16+j)))
		VPSRLD(U8(16), low, low)
		VANDPS(high, up, up)
		VORPS(low, up, up)
		VMOVUPS(up, at(to).Offset(4*j))
	}
	ADDQ(I32(128), x)
	ADDQ(I32(64), to)
	DECQ(steps)
	JNE(LabelRef("loop"))
	g.end()
}
