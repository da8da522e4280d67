package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An element of a held matrix.
type element struct {
	name   string
	unit   int  // steps that lie together
	bytes  int  // of these
	groups bool // of 64 steps, with a scale for each column
}

var elements = []element{{"Float32", 1, 128, false}, {"BFloat16", 1, 64, false}, int24, bfloat12}

// mostHeld is the largest number of rows that there is a product for.
const mostHeld = 8

// held writes the products of a few rows with a panel of 32 columns.
func (g *isa) held() {
	for _, e := range elements {
		for rows := 1; rows <= mostHeld; rows++ {
			switch {
			case g.inPasses(rows):
				g.heldPasses(e, rows)
			case e.groups:
				g.heldGroups(e, rows)
			default:
				g.heldPanel(e, rows)
			}
		}
	}
}

// fetchesNear reports whether a kernel for so many rows fetches into the first-level cache. With AVX2 and more than two it takes longer than
// memory does: what is fetched early enough would drive out the rows.
func (g *isa) fetchesNear(rows int) bool { return g.wide() || rows <= 2 }

// soon is how many bytes ahead a kernel that reads memory as streams fetches from the second-level cache.
const soon = 4096

// aheadDoc says what a kernel for so many rows fetches.
func (g *isa) aheadDoc(rows int) string {
	if g.name == "Streams" {
		return "Meanwhile it fetches into the second-level cache what is so many bytes ahead, as four streams, a quarter of it each:\n" +
			"one alone does not keep memory busy. What it reads soon it fetches into the first-level cache."
	}
	if !g.fetchesNear(rows) {
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
	row := e.bytes
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

// fetcher gives what fetches as many bytes as a loop for so many rows reads of b, of which there are four times quarter, in so many parts: with
// AVX2 each has its lines, with AVX-512 the first has all.
func (g *isa) fetcher(rows int, b, ahead, quarter reg.Register) func(n, which, of int) {
	if g.name != "Streams" {
		prefetch := PREFETCHT0
		if !g.fetchesNear(rows) {
			prefetch = PREFETCHT1
		}
		return func(n, which, of int) {
			if g.wide() {
				if which > 0 {
					return
				}
				of = 1
			}
			for line := 64 * which; line < n; line += 64 * of {
				prefetch(Mem{Base: b, Index: ahead, Scale: 1, Disp: line})
			}
		}
	}
	last := GP64()
	ADDQ(b, ahead)
	LEAQ(Mem{Base: ahead, Index: quarter, Scale: 2}, last)
	ADDQ(quarter, last)
	return func(n, which, _ int) {
		if which > 0 {
			return
		}
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
	g.eachColumn(len(rows), func(i, j int, m Mem, masked bool) { g.store(rows[i][j], m, masked) })
	g.end()
}

// eachColumn calls f for the vectors of rows of c.
func (g *isa) eachColumn(rows int, f func(i, j int, m Mem, masked bool)) {
	c, ldc, cols := pointer("c"), integer("ldc"), integer("cols")
	SHLQ(U8(2), ldc)
	g.eachColumnOf(rows, c, ldc, cols, g.columns(), f)
}

// eachColumnOf calls f for the vectors of rows of c that begin at some of its columns, of which there are cols; it is to use the mask for those of
// which not all is there. With AVX2, whose masked stores take long, whole panels do without.
func (g *isa) eachColumnOf(rows int, c, ldc, cols reg.Register, columns []int, f func(i, j int, m Mem, masked bool)) {
	var part, done string
	if !g.wide() {
		part, done = label("part"), label("done")
		CMPQ(cols, U8(columns[len(columns)-1]+g.lanes))
		JLT(LabelRef(part))
		to := GP64()
		MOVQ(c, to)
		for i := range rows {
			for j, column := range columns {
				f(i, j, at(to).Offset(4*column), false)
			}
			if i < rows-1 {
				ADDQ(ldc, to)
			}
		}
		JMP(LabelRef(done))
		Label(part)
	}
	for j, column := range columns {
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
		for i := range rows {
			f(i, j, at(to).Offset(4*column), true)
			if i < rows-1 {
				ADDQ(ldc, to)
			}
		}
	}
	if !g.wide() {
		Label(done)
	}
}

// A row of A for products with int8 has 8 bytes for each four steps: two digits of each, the first ones before the second ones, or where there
// are products of words alone, words, those of even steps before those of odd ones.
const (
	int8Block = 32 * 4 // bytes of four steps of a panel
	int8Part  = 8      // and of a row of A
)

// heldInt8 writes the products of a few rows with a panel of int8.
func (g *isa) heldInt8(rows int) {
	elements := "two digits for each step"
	if !g.wide() {
		elements = "a word for each step"
	}
	g.function(fmt.Sprintf("heldInt8%d", rows),
		"(blocks int, a *int16, lda int, b *byte, c *float32, ldc, cols int, scale *float32, rows *float64, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of a, in which each row has %s,\n"+
			"and of so many blocks of 32 columns at b, each of four bytes without a sign. Sums begin with those of rows and are rounded\n"+
			"once; column j is multiplied by scale[j], row i by its step.\n%s", rows, elements, g.aheadDoc(rows)))
	blocks, a, lda, b := integer("blocks"), pointer("a"), integer("lda"), pointer("b")
	head, ahead := pointer("rows"), integer("ahead")
	SHLQ(U8(1), lda)
	left := newRows(a, lda, rows)
	fetch := g.fetcher(rows, b, ahead, g.quarter(blocks, int8Block))
	if g.wide() {
		g.int8Bytes(rows, left, blocks, b, head, fetch)
	} else {
		g.int8Words(rows, left, blocks, b, head, fetch)
	}
}

// heldBytes writes those for which there are instructions.
func (g *isa) heldBytes() {
	for rows := range 4 {
		g.heldInt8(rows + 1)
	}
}

// heldWords writes those for which there are none: of two rows the sums are in registers.
func (g *isa) heldWords() {
	for rows := range 2 {
		g.heldInt8(rows + 1)
	}
}

// eachInt8Block calls step for so many blocks, for the p-th from b and from the rows on.
func (g *isa) eachInt8Block(left rows, blocks, b reg.Register, fetch func(n, which, of int), step func(p int)) {
	const unroll = 4
	SUBQ(U8(unroll), blocks)
	JL(LabelRef("rest"))
	Label("loop")
	for p := range unroll {
		fetch(unroll*int8Block, p, unroll)
		step(p)
	}
	ADDQ(I32(unroll*int8Block), b)
	left.advance(unroll * int8Part)
	SUBQ(U8(unroll), blocks)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(U8(unroll), blocks)
	JE(LabelRef("finish"))
	Label("single")
	step(0)
	ADDQ(I32(int8Block), b)
	left.advance(int8Part)
	DECQ(blocks)
	JNE(LabelRef("single"))
	Label("finish")
}

// zeros are sums of rows of 32 columns.
func (g *isa) zeros(rows int) [][]reg.VecVirtual {
	sums := make([][]reg.VecVirtual, rows)
	for i := range sums {
		for range 32 / g.lanes {
			sums[i] = append(sums[i], g.zero())
		}
	}
	return sums
}

// int8Bytes multiplies digits: each four of a row, in every lane, with a column's four bytes.
func (g *isa) int8Bytes(n int, left rows, blocks, b, head reg.Register, fetch func(n, which, of int)) {
	digits := [2][][]reg.VecVirtual{g.zeros(n), g.zeros(n)}
	g.eachInt8Block(left, blocks, b, fetch, func(p int) {
		w := make([]reg.VecVirtual, 32/g.lanes)
		for j := range w {
			w[j] = g.vec()
			VMOVDQU32(at(b).Offset(p*int8Block+64*j), w[j])
		}
		for i := range n {
			for d := range digits {
				x := g.vec()
				VPBROADCASTD(left.at(i, int8Part*p+4*d), x)
				for j, sum := range digits[d][i] {
					addByteProducts(x, w[j], sum)
				}
			}
		}
	})
	scale, base := pointer("scale"), g.vec()
	if g.wide() {
		VCVTDQ2PD_BCST(g.word(256), base)
	} else {
		VCVTDQ2PD(g.word(256), base)
	}
	for i := range n {
		for j, v := range digits[0][i] {
			var halves [2]reg.VecVirtual
			for h := range halves {
				low, high := g.vec(), g.vec()
				g.doublesOf(v, h, high)
				g.doublesOf(digits[1][i][j], h, low)
				VFMADD213PD(low, base, high)
				VBROADCASTSD(at(head).Offset(16*i), low)
				VADDPD(low, high, high)
				VCVTPD2PS(high, high.AsY())
				halves[h] = high
			}
			VINSERTF64X4(U8(1), halves[1].AsY(), halves[0], v)
			g.int8Scale(v, at(head).Offset(16*i+8), at(scale).Offset(4*j*g.lanes))
		}
	}
	g.storeColumns(digits[0])
}

// doublesOf sets to to the lower (0) or upper (1) half of whole numbers as float64.
func (g *isa) doublesOf(v reg.VecVirtual, half int, to reg.VecVirtual) {
	switch {
	case g.wide() && half == 0:
		VCVTDQ2PD(v.AsY(), to)
	case g.wide():
		VEXTRACTI64X4(U8(1), v, to.AsY())
		VCVTDQ2PD(to.AsY(), to)
	case half == 0:
		VCVTDQ2PD(v.AsX(), to)
	default:
		VEXTRACTI128(U8(1), v, to.AsX())
		VCVTDQ2PD(to.AsX(), to)
	}
}

func (g *isa) int8Scale(v reg.VecVirtual, step, scale Mem) {
	t := g.vec()
	VBROADCASTSS(step, t)
	VMULPS(t, v, v)
	VMULPS(scale, v, v)
}

// addByteProducts adds the products of x's bytes, with a sign, and w's, without one. Go's assembler knows the instruction, avo does not.
func addByteProducts(x, w, sum reg.VecVirtual) {
	operands := []Op{x, w, sum}
	Instruction(&ir.Instruction{Opcode: "VPDPBUSD", Operands: operands, Inputs: operands, Outputs: []Op{sum}, ISA: []string{"AVX512_VNNI"}})
}

// int8Words multiplies words: two of a row with a column's even bytes, and two with its odd ones. Two such products are below 2^24, so after
// 64 blocks the sums are added to those in float64, which are exact.
func (g *isa) int8Words(n int, left rows, blocks, b, head reg.Register, fetch func(n, which, of int)) {
	const most = 64
	vectors := 32 / g.lanes
	totals := AllocLocal(n * 32 * 8)
	total := func(i, j, half int) Mem { return totals.Offset(8 * (32*i + g.lanes*j + g.lanes/2*half)) }
	sums, t := g.zeros(n), g.vec()
	for i := range n {
		VBROADCASTSD(at(head).Offset(16*i), t)
		for j := range vectors {
			VMOVUPD(t, total(i, j, 0))
			VMOVUPD(t, total(i, j, 1))
		}
	}
	Label("stretch")
	now := GP64()
	MOVQ(U32(most), now)
	CMPQ(blocks, now)
	CMOVQLT(blocks, now)
	SUBQ(now, blocks)
	g.eachInt8Block(left, now, b, fetch, func(p int) {
		even, odd := make([]reg.VecVirtual, n), make([]reg.VecVirtual, n)
		for i := range n {
			even[i], odd[i] = g.vec(), g.vec()
			VPBROADCASTD(left.at(i, int8Part*p), even[i])
			VPBROADCASTD(left.at(i, int8Part*p+4), odd[i])
		}
		for j := range vectors {
			high, low, product := g.vec(), g.vec(), g.vec()
			VMOVDQU(at(b).Offset(p*int8Block+32*j), high)
			VPAND(g.bitsOf(0x00ff00ff), high, low)
			VPSRLW(U8(8), high, high)
			for i := range n {
				VPMADDWD(low, even[i], product)
				VPADDD(product, sums[i][j], sums[i][j])
				VPMADDWD(high, odd[i], product)
				VPADDD(product, sums[i][j], sums[i][j])
			}
		}
	})
	for i := range n {
		for j, v := range sums[i] {
			for half := range 2 {
				g.doublesOf(v, half, t)
				VADDPD(total(i, j, half), t, t)
				VMOVUPD(t, total(i, j, half))
			}
			VXORPS(v, v, v)
		}
	}
	TESTQ(blocks, blocks)
	JNE(LabelRef("stretch"))
	scale := pointer("scale")
	for i := range n {
		for j, v := range sums[i] {
			VCVTPD2PSY(total(i, j, 0), v.AsX())
			VCVTPD2PSY(total(i, j, 1), t.AsX())
			VINSERTF128(U8(1), t.AsX(), v, v)
			g.int8Scale(v, at(head).Offset(16*i+8), at(scale).Offset(4*j*g.lanes))
		}
	}
	g.storeColumns(sums)
}

// quantize writes what rounds the rows of A.
func (g *isa) quantize() {
	g.function("largestBits", "(x *float32, n int) uint32", "is the largest of x without their signs, seen as whole numbers.")
	x, n := pointer("x"), integer("n")
	top, sign := g.zero(), g.vec()
	g.fill(sign, 1<<31)
	g.each(n, func(load func(p reg.Register) reg.VecVirtual, _ func(v, p reg.Register), _ bool) {
		v := load(x)
		VANDNPS(v, sign, v)
		VPMAXUD(v, top, top)
	})
	result := GP32()
	VMOVD(g.fold(top, func(ops ...Op) { VPMAXUD(ops[0], ops[1], ops[2]) }), result)
	g.result(result)

	what := "the digits of x·inverse, rounded to the nearest, ties to even, of four steps the first ones before the second ones"
	if !g.wide() {
		what = "x·inverse, rounded to the nearest, ties to even, of four steps the even ones before the odd ones"
	}
	g.function("quantize", "(to *int16, x *float32, n int, inverse float32) int32",
		"sets to to "+what+".\n"+
			"As many elements are written as whole vectors have. It returns the sum of the rounded numbers.")
	to := pointer("to")
	x, n = pointer("x"), integer("n")
	inverse := g.spread("inverse")
	magic, total := g.vec(), g.zero()
	g.fill(magic, math.Float32bits(3<<22))
	half, order := g.vec(), g.vec()
	if g.wide() {
		g.fill(half, 128)
	} else {
		table := GLOBL("evenWords"+g.name, attr.RODATA|attr.NOPTR)
		for i, from := range [16]uint8{0, 1, 8, 9, 4, 5, 12, 13, 0, 1, 8, 9, 4, 5, 12, 13} {
			DATA(i, U8(from))
		}
		VBROADCASTI128(table, order)
	}
	g.each(n, func(load func(p reg.Register) reg.VecVirtual, _ func(v, p reg.Register), _ bool) {
		q := load(x)
		VMULPS(inverse, q, q)
		VADDPS(magic, q, q)
		VPSUBD(magic, q, q)
		VPADDD(q, total, total)
		if !g.wide() {
			VPSHUFB(order, q, q)
			upper := XMM()
			VEXTRACTI128(U8(1), q, upper)
			VPUNPCKLQDQ(upper, q.AsX(), upper)
			VMOVDQU(upper, at(to))
			ADDQ(U8(2*g.lanes), to)
			return
		}
		a := g.vec()
		VPADDD(half, q, a)
		VPSRAD(U8(8), a, a)
		first, second, upper := XMM(), XMM(), XMM()
		VPMOVDB(a, first)
		VPMOVDB(q, second) // 256 times the first digit is nothing in a byte
		VPUNPCKHDQ(second, first, upper)
		VPUNPCKLDQ(second, first, first)
		VMOVDQU(first, at(to))
		VMOVDQU(upper, at(to).Offset(16))
		ADDQ(U8(2*g.lanes), to)
	})
	sum := GP32()
	VMOVD(g.fold(total, func(ops ...Op) { VPADDD(ops[0], ops[1], ops[2]) }), sum)
	g.result(sum)
}

// quantizeColumns writes what rounds the weights of a panel.
func (g *isa) quantizeColumns() {
	const columns = 32
	row := 4 * columns
	g.function("largestOfColumns", "(largest, x *float32, k int)", "sets largest, of 32 columns, to the largest of k rows of x [k, 32] without their signs.")
	largest, x, k := pointer("largest"), pointer("x"), integer("k")
	sign := g.vec()
	g.fill(sign, 1<<31)
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
	g.fill(low, 0xff)
	g.fill(zero, 0x80808080)
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

// roundBits has the upper half of the bfloat16 that is nearest to finite v, ties to even; its lower half is of no use.
func (g *isa) roundBits(v reg.VecVirtual) reg.VecVirtual {
	r := g.vec()
	VPSRLD(U8(16), v, r)
	VANDPS(g.bitsOf(1), r, r)
	VPADDD(v, r, r)
	VPADDD(g.bitsOf(0x7fff), r, r)
	return r
}

// roundPairs writes what makes a panel of bfloat16.
func (g *isa) roundPairs() {
	g.function("roundPairs", "(to *byte, x *float32, steps int)",
		"sets to to steps of 32 elements of x, rounded to the nearest bfloat16, ties to even: element j beside 16+j.")
	to, x, steps := pointer("to"), pointer("x"), integer("steps")
	high, quiet := g.bitsOf(0xffff0000), g.bitsOf(0x00400000)
	rounded := func(from Mem) reg.VecVirtual {
		v, nan := g.load(from, false), g.vec()
		r := g.roundBits(v)
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
