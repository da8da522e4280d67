package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// AVX2 has registers for the sums of two rows, or of half the columns of four. With more rows a product goes through a panel by groups of 64
// steps, and several times through each group, which is in the first-level cache from the first time on: in passes.

// pass is one way through a group, for some rows from the first on and, in each half of 32 columns, for vectors that begin at the given lanes.
type pass struct {
	first, rows int
	lanes       []int
}

// wholePass goes through all columns at once.
func (g *isa) wholePass(rows int) pass {
	p := pass{rows: rows}
	for lane := 0; lane < 16; lane += g.lanes {
		p.lanes = append(p.lanes, lane)
	}
	return p
}

// passes are those of a product of so many rows.
func (g *isa) passes(rows int) (all []pass) {
	whole := g.wholePass(rows)
	if g.wide() || rows <= 2 {
		return []pass{whole}
	}
	const most = 4 // rows
	parts := (rows + most - 1) / most
	for i := range parts {
		first, end := i*rows/parts, (i+1)*rows/parts
		for l := range whole.lanes {
			all = append(all, pass{first, end - first, whole.lanes[l : l+1]})
		}
	}
	return all
}

// columns are those that the vectors begin at.
func (p pass) columns() (all []int) {
	for half := 0; half < 32; half += 16 {
		for _, lane := range p.lanes {
			all = append(all, half+lane)
		}
	}
	return all
}

// heldGroups writes the products of a few rows with a panel, group by group. Running sums are kept in c meanwhile; those of integers of 24 bits
// are of a group, and added up there.
func (g *isa) heldGroups(e element, n int) {
	what := ""
	if e == int24 {
		what = ", times 2^30, in groups of 64, whose sums are added"
	}
	g.function(fmt.Sprintf("held%s%d", e.name, n), "(k int, a *float32, lda int, b *byte, c *float32, ldc, cols, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of as many rows of a and of k rows of 32\n"+
			"at b%s. %s", n, what, g.aheadDoc(n)))
	k, a, lda, b, ahead := integer("k"), pointer("a"), integer("lda"), pointer("b"), integer("ahead")
	SHLQ(U8(2), lda)
	passes := g.passes(n)
	several := len(passes) > 1
	var all rows
	if !several {
		all = newRows(a, lda, n)
	}
	acc := make([][]reg.VecVirtual, passes[len(passes)-1].rows)
	for i := range acc {
		for range passes[0].columns() {
			acc[i] = append(acc[i], g.zero())
		}
	}
	for _, p := range passes {
		g.eachColumns(p, func(i, j int, m Mem, masked bool) { g.store(acc[i][j], m, masked) })
	}
	quarter := GP64()
	if g.name == "Streams" {
		IMUL3Q(I32((int24Scales+int24Steps/2*int24Pair)/4/(int24Steps/2)), k, quarter)
		SHRQ(U8(1), quarter)
	}
	fetch := g.fetcher(n, b, ahead, quarter)
	through := g.throughGroup(e, b, fetch)

	Label("group")
	steps, scales, start := GP64(), GP64(), GP64()
	MOVQ(U32(int24Steps), steps)
	CMPQ(k, steps)
	CMOVQLT(k, steps)
	SUBQ(steps, k)
	if e == int24 {
		MOVQ(b, scales)
		fetch(int24Scales, 0, 1)
		ADDQ(I32(int24Scales), b)
	}
	if several {
		MOVQ(b, start)
	}
	for number, p := range passes {
		left, count, sums := all, steps, acc[:p.rows]
		if several {
			MOVQ(start, b)
			top := GP64()
			MOVQ(a, top)
			for range p.first {
				ADDQ(lda, top)
			}
			left, count = newRows(top, lda, p.rows), GP64()
			MOVQ(steps, count)
		}
		if e == int24 {
			for i := range sums {
				for _, v := range sums[i] {
					VXORPS(v, v, v)
				}
			}
		} else {
			g.eachColumns(p, func(i, j int, m Mem, masked bool) { g.loadInto(sums[i][j], m, masked) })
		}
		through(p, number, len(passes), left, count, sums)
		if e == int24 {
			for i := range sums {
				for j, column := range p.columns() {
					VMULPS(at(scales).Offset(4*column), sums[i][j], sums[i][j])
				}
			}
		}
		g.eachColumns(p, func(i, j int, m Mem, masked bool) {
			if e == int24 {
				VADDPS(g.load(m, masked), sums[i][j], sums[i][j])
			}
			g.store(sums[i][j], m, masked)
		})
	}
	if several {
		LEAQ(Mem{Base: a, Index: steps, Scale: 4}, a)
	}
	TESTQ(k, k)
	JNE(LabelRef("group"))
	g.end()
}

// throughGroup gives what adds the products of one of so many passes through a group at b to sums. It advances b and left. Each pass fetches a
// part of the lines, so that memory is busy all the time.
func (g *isa) throughGroup(e element, b reg.Register, fetch func(bytes, which, of int)) func(p pass, number, of int, left rows, steps reg.Register, sums [][]reg.VecVirtual) {
	const unroll = 4
	two := 2 * 32 * e.bytes // bytes of two steps
	load := g.pairLoader(e)
	return func(p pass, number, of int, left rows, steps reg.Register, sums [][]reg.VecVirtual) {
		name := func(s string) string {
			if number > 0 {
				s += fmt.Sprint(number)
			}
			return s
		}
		pair := func(q, steps int) {
			for l, lane := range p.lanes {
				columns := load(at(b).Offset(two*q), lane)
				for step := range steps {
					w := columns(step)
					for i := range p.rows {
						x := g.vec()
						VBROADCASTSS(left.at(i, 4*(2*q+step)), x)
						for half := range w {
							VFMADD231PS(x, w[half], sums[i][half*len(p.lanes)+l])
						}
					}
				}
			}
		}
		SUBQ(U8(2*unroll), steps)
		JL(LabelRef(name("rest")))
		Label(name("loop"))
		fetch(unroll*two, number, of)
		for q := range unroll {
			pair(q, 2)
		}
		ADDQ(I32(unroll*two), b)
		left.advance(4 * 2 * unroll)
		SUBQ(U8(2*unroll), steps)
		JGE(LabelRef(name("loop")))
		Label(name("rest"))
		ADDQ(U8(2*unroll-2), steps)
		JL(LabelRef(name("last")))
		Label(name("pair"))
		pair(0, 2)
		ADDQ(I32(two), b)
		left.advance(4 * 2)
		SUBQ(U8(2), steps)
		JGE(LabelRef(name("pair")))
		Label(name("last"))
		ADDQ(U8(2), steps)
		JE(LabelRef(name("add")))
		pair(0, 1)
		Label(name("add"))
	}
}

// pairLoader gives what reads two steps at m and gives what makes float32 of one: the columns from lane on, and those 16 after them.
func (g *isa) pairLoader(e element) func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
	switch e.name {
	case "Int24":
		masks := g.int24Masks()
		return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
			v := g.int24Vectors(m, lane)
			return func(step int) (w [2]reg.VecVirtual) {
				for half := range w {
					w[half] = g.int24Of(v, 2*step+half, masks)
				}
				return w
			}
		}
	case "BFloat16":
		split := g.bfloat16Splitter()
		return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
			return func(step int) [2]reg.VecVirtual { return split(m.Offset(64*step + 4*lane)) }
		}
	}
	return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
		return func(step int) (w [2]reg.VecVirtual) {
			for half := range w {
				w[half] = g.load(m.Offset(4*(32*step+16*half+lane)), false)
			}
			return w
		}
	}
}

// bfloat16Splitter gives what makes float32 of two bfloat16 in each lane.
func (g *isa) bfloat16Splitter() func(m Mem) [2]reg.VecVirtual {
	high := g.vec()
	VMOVUPS(g.bitsOf(0xffff0000), high)
	return func(m Mem) [2]reg.VecVirtual {
		v, w := g.vec(), g.vec()
		VMOVUPS(m, w)
		VPSLLD(U8(16), w, v)
		VANDPS(high, w, w)
		return [2]reg.VecVirtual{v, w}
	}
}
