package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Panels of some elements are in groups: 32 scales, and then units of steps, each of three vectors of 16 lanes; see heldgroups.go.
//
// AVX2 has registers for the sums of two rows, or of half the columns of four. With more rows a product goes through a panel by groups of 64
// steps, and several times through each group, which is in the first-level cache from the first time on: in passes, each for up to four rows
// and, of each half of 32 columns, one vector.
const (
	groupSteps  = 64
	groupScales = 4 * 32 // bytes
	groupUnit   = 3 * 64 // bytes
)

// columns are those that vectors begin at.
func (g *isa) columns() (all []int) {
	for column := 0; column < 32; column += g.lanes {
		all = append(all, column)
	}
	return all
}

// inPasses reports whether a product of so many rows is made in passes.
func (g *isa) inPasses(rows int) bool { return !g.wide() && rows > 2 }

// heldFunction begins a product of a few rows with a panel, group by group.
func (g *isa) heldFunction(e element, n int) (k, a, lda, b, ahead reg.Register) {
	what := ""
	if e.groups {
		what = fmt.Sprintf(", numbers times scales in groups of %d; k is a multiple of %d", groupSteps, e.unit)
	}
	g.function(fmt.Sprintf("held%s%d", e.name, n), "(k int, a *float32, lda int, b *byte, c *float32, ldc, cols, ahead int)",
		fmt.Sprintf("sets the first cols (1 to 32) columns of %d rows of c to the product of as many rows of a and of k rows of 32\n"+
			"at b%s. %s", n, what, g.aheadDoc(n)))
	k, a, lda, b, ahead = integer("k"), pointer("a"), integer("lda"), pointer("b"), integer("ahead")
	SHLQ(U8(2), lda)
	return k, a, lda, b, ahead
}

// nextGroup sets steps to those of a group, which it takes off k.
func nextGroup(steps reg.Register, k Op) {
	MOVQ(U32(groupSteps), steps)
	CMPQ(k, steps)
	CMOVQLT(k, steps)
	SUBQ(steps, k)
}

// heldGroups writes the product with a panel in groups, whose sums are added to those in c.
func (g *isa) heldGroups(e element, n int) {
	k, a, lda, b, ahead := g.heldFunction(e, n)
	left, sums := newRows(a, lda, n), g.zeros(n)
	g.eachColumn(n, func(i, j int, m Mem, masked bool) { g.store(sums[i][j], m, masked) })
	quarter := GP64()
	if g.name == "Streams" {
		units := groupSteps / e.unit
		IMUL3Q(I32((groupScales+units*e.bytes)/4/units), k, quarter)
		SHRQ(U8(bits.TrailingZeros(uint(e.unit))), quarter)
	}
	fetch := g.fetcher(n, b, ahead, quarter)
	through := g.throughGroup(e, b, g.columns()[:16/g.lanes], func(bytes int) { fetch(bytes, 0, 1) })

	Label("group")
	steps, scales := GP64(), GP64()
	nextGroup(steps, k)
	MOVQ(b, scales)
	fetch(groupScales, 0, 1)
	ADDQ(I32(groupScales), b)
	for i := range sums {
		for _, v := range sums[i] {
			VXORPS(v, v, v)
		}
	}
	through("", left, steps, sums)
	g.eachColumn(n, func(i, j int, m Mem, masked bool) {
		VFMADD132PS(at(scales).Offset(4*g.lanes*j), g.load(m, masked), sums[i][j])
		g.store(sums[i][j], m, masked)
	})
	TESTQ(k, k)
	JNE(LabelRef("group"))
	g.end()
}

// heldPasses writes the product in passes. Running sums are kept in c meanwhile; those of groups with scales are added up there.
// Each pass fetches a part of the lines, so that memory is busy all the time.
func (g *isa) heldPasses(e element, n int) {
	const most = 4 // rows of a pass
	k, a, lda, b, ahead := g.heldFunction(e, n)
	local := func(from Op) Mem {
		m := AllocLocal(8)
		MOVQ(from, m)
		return m
	}
	after, first := local(k), local(a) // steps after this group, where its first of a are

	row, rows, zero := pointer("c"), GP64(), g.zero()
	MOVQ(U32(n), rows)
	Label("zero")
	g.eachColumnOf(1, row, scaled("ldc"), integer("cols"), g.columns(), func(_, _ int, m Mem, masked bool) { g.store(zero, m, masked) })
	ADDQ(scaled("ldc"), row)
	DECQ(rows)
	JNE(LabelRef("zero"))

	parts := (n + most - 1) / most
	passes := parts * 16 / g.lanes
	fetch := g.fetcher(n, b, ahead, nil)
	p := &heldPass{
		isa: g, e: e, b: b, lda: lda, ahead: ahead, now: AllocLocal(8),
		through: g.throughGroup(e, b, []int{0}, func(bytes int) { fetch(bytes, 0, passes) }),
	}
	Label("group")
	p.steps, p.start, p.top, p.c = GP64(), GP64(), GP64(), pointer("c")
	nextGroup(p.steps, after)
	MOVQ(p.steps, p.now)
	MOVQ(b, p.start)
	MOVQ(first, p.top)
	if e.groups {
		fetch(groupScales, 0, 1)
	}
	if n%parts == 0 && parts > 1 {
		left := local(U32(parts))
		Label("part")
		p.write("", n/parts)
		DECQ(left)
		JNE(LabelRef("part"))
	} else {
		for i := range parts {
			p.write(fmt.Sprint(i), (i+1)*n/parts-i*n/parts)
		}
	}
	SUBQ(U32(64*passes), ahead)
	SUBQ(U8(4*g.lanes), b) // which is at the second vector
	MOVQ(p.now, p.steps)
	SHLQ(U8(2), p.steps)
	ADDQ(p.steps, first)
	CMPQ(after, U8(0))
	JNE(LabelRef("group"))
	g.end()
}

// heldPass is what writes the passes for some rows.
type heldPass struct {
	*isa
	e                                   element
	b, start, lda, ahead, top, c, steps reg.Register // start: of the group; top and c: the rows
	now                                 Mem          // steps of the group
	through                             func(name string, left rows, steps reg.Register, sums [][]reg.VecVirtual)
}

// write adds the products of so many rows from top on to those of c, and moves both on. Its labels end with a name.
func (p *heldPass) write(name string, rows int) {
	again, vector := "vector"+name, GP64()
	XORQ(vector, vector) // where it begins in each half, in bytes
	Label(again)
	each := func(f func(i, j int, m Mem, masked bool)) {
		to, ldc, cols, before := GP64(), scaled("ldc"), integer("cols"), GP64()
		LEAQ(Mem{Base: p.c, Index: vector, Scale: 1}, to)
		MOVQ(vector, before)
		SHRQ(U8(2), before)
		SUBQ(before, cols)
		p.eachColumnOf(rows, to, ldc, cols, []int{0, 16}, f)
	}
	sums := make([][]reg.VecVirtual, rows)
	for i := range sums {
		sums[i] = []reg.VecVirtual{p.vec(), p.vec()}
	}
	from, data := GP64(), Mem{Base: p.start, Index: vector, Scale: 1}
	MOVQ(p.top, from)
	MOVQ(p.now, p.steps)
	if p.e.groups {
		LEAQ(data.Offset(groupScales), p.b)
		for _, row := range sums {
			for _, v := range row {
				VXORPS(v, v, v)
			}
		}
		p.through(name, newRows(from, p.lda, rows), p.steps, sums)
		each(func(i, j int, m Mem, masked bool) {
			VFMADD132PS(data.Offset(64*j), p.load(m, masked), sums[i][j])
			p.store(sums[i][j], m, masked)
		})
	} else {
		LEAQ(data, p.b)
		each(func(i, j int, m Mem, masked bool) { p.loadInto(sums[i][j], m, masked) })
		p.through(name, newRows(from, p.lda, rows), p.steps, sums)
		each(func(i, j int, m Mem, masked bool) { p.store(sums[i][j], m, masked) })
	}
	ADDQ(U8(64), p.ahead) // the next line is for the next pass
	XORQ(U8(4*p.lanes), vector)
	JNE(LabelRef(again))
	ldc := scaled("ldc")
	for range rows {
		ADDQ(p.lda, p.top)
		ADDQ(ldc, p.c)
	}
}

// throughGroup gives what adds the products of a group at b to sums, of vectors that begin at the given lanes of each half of 32 columns. It
// advances b and left, and fetches as many bytes as it reads, or some of them. Its labels end with a name.
func (g *isa) throughGroup(e element, b reg.Register, lanes []int, fetch func(bytes int)) func(name string, left rows, steps reg.Register, sums [][]reg.VecVirtual) {
	unroll := e.unroll()
	load := g.unitLoader(e)
	return func(name string, left rows, steps reg.Register, sums [][]reg.VecVirtual) {
		unit := func(q int) {
			for l, lane := range lanes {
				columns := load(at(b).Offset(e.bytes*q), lane)
				for step := range e.unit {
					w := columns(step)
					for i := range sums {
						x := g.vec()
						VBROADCASTSS(left.at(i, 4*(e.unit*q+step)), x)
						for half := range w {
							VFMADD231PS(x, w[half], sums[i][half*len(lanes)+l])
						}
					}
				}
			}
		}
		advance := func(units int) {
			ADDQ(I32(units*e.bytes), b)
			left.advance(4 * units * e.unit)
			SUBQ(U8(units*e.unit), steps)
		}
		loop, rest, single, end := "loop"+name, "rest"+name, "unit"+name, "add"+name
		SUBQ(U8(unroll*e.unit), steps)
		JL(LabelRef(rest))
		Label(loop)
		fetch(unroll * e.bytes)
		for q := range unroll {
			unit(q)
		}
		advance(unroll)
		JGE(LabelRef(loop))
		Label(rest)
		ADDQ(U8(unroll*e.unit), steps)
		JE(LabelRef(end))
		Label(single)
		unit(0)
		advance(1)
		JNE(LabelRef(single))
		Label(end)
	}
}

// unroll is how many units a loop takes at once: at least eight steps, and of each quarter of a panel whole lines.
func (e element) unroll() int {
	for units := 1; ; units++ {
		if units*e.unit >= 8 && units*e.bytes%(4*64) == 0 {
			return units
		}
	}
}

// unitLoader gives what reads a unit at m and gives what makes float32 of one of its steps: the columns from lane on, and those 16 after them.
func (g *isa) unitLoader(e element) func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
	switch e.name {
	case "Int24":
		return g.int24Loader()
	case "BFloat12":
		return g.bfloat12Loader()
	case "BFloat16":
		split := g.bfloat16Splitter()
		return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
			return func(int) [2]reg.VecVirtual { return split(m.Offset(4 * lane)) }
		}
	}
	return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
		return func(int) (w [2]reg.VecVirtual) {
			for half := range w {
				w[half] = g.load(m.Offset(4*(16*half+lane)), false)
			}
			return w
		}
	}
}

// unitVectors are the three vectors of a unit at m, of the lanes from the given one on.
func (g *isa) unitVectors(m Mem, lane int) (v [3]reg.VecVirtual) {
	for q := range v {
		v[q] = g.load(m.Offset(64*q+4*lane), false)
	}
	return v
}

// bfloat16Splitter gives what makes float32 of two bfloat16 in each lane.
func (g *isa) bfloat16Splitter() func(m Mem) [2]reg.VecVirtual {
	high := g.vec()
	g.fill(high, 0xffff0000)
	return func(m Mem) [2]reg.VecVirtual {
		v, w := g.vec(), g.vec()
		VMOVUPS(m, w)
		VPSLLD(U8(16), w, v)
		VANDPS(high, w, w)
		return [2]reg.VecVirtual{v, w}
	}
}

// cutFunction begins what makes a group of a panel. It gives where the steps go, the rows of x and how many units they are, and of each vector
// of columns the largest without signs, seen as whole numbers.
func (g *isa) cutFunction(e element, what string) (to, x, units reg.Register, tops []reg.VecVirtual) {
	g.function("cut"+e.name, "(to *byte, x *float32, units int) bool",
		fmt.Sprintf("makes a group of a panel of 1 to %d times %d rows of x [%d·units, 32], each element %s.\n"+
			"It reports whether there is one that cannot be held.", groupSteps/e.unit, e.unit, e.unit, what))
	to, x, units = pointer("to"), pointer("x"), integer("units")
	p, n, abs := GP64(), GP64(), g.set32(0x7fffffff)
	MOVQ(x, p)
	MOVQ(units, n)
	for range 32 / g.lanes {
		tops = append(tops, g.zero())
	}
	Label("largest")
	for i := range e.unit * len(tops) {
		v := g.vec()
		VANDPS(at(p).Offset(4*i*g.lanes), abs, v)
		VPMAXSD(v, tops[i%len(tops)], tops[i%len(tops)])
	}
	ADDQ(I32(e.unit*4*32), p)
	DECQ(n)
	JNE(LabelRef("largest"))
	return to, x, units, tops
}

// cutUnits writes the loop over units, and the result: whether there is anything in wild above most.
func (g *isa) cutUnits(e element, to, x, units reg.Register, wild reg.VecVirtual, most uint32, cut func(lane int)) {
	Label("units")
	for lane := 0; lane < 16; lane += g.lanes {
		cut(lane)
	}
	ADDQ(I32(e.unit*4*32), x)
	ADDQ(I32(groupUnit), to)
	DECQ(units)
	JNE(LabelRef("units"))
	flags, found := GP32(), GP8()
	if g.wide() {
		k := K()
		VPCMPD(U8(6), g.bitsOf(most), wild, k) // greater
		KMOVW(k, flags)
	} else {
		VPCMPGTD(g.bitsOf(most), wild, wild)
		VMOVMSKPS(wild, flags)
	}
	TESTL(flags, flags)
	SETNE(found)
	Store(found, ReturnIndex(0))
	g.end()
}

// floatsOfGroup writes what takes a group of a panel apart; A is multiplied by one for products with it.
func (g *isa) floatsOfGroup(e element, one float64) {
	g.function("floatsOf"+e.name, "(x *float32, b *byte, units int)",
		fmt.Sprintf("sets %d·units rows of x [%d·units, 32] to those of a group of a panel.", e.unit, e.unit))
	x, b, units := pointer("x"), pointer("b"), integer("units")
	load := g.unitLoader(e)
	scale, factor := make([]reg.VecVirtual, 32/g.lanes), g.set(one)
	for j := range scale {
		scale[j] = g.load(at(b).Offset(4*j*g.lanes), false)
	}
	ADDQ(I32(groupScales), b)
	Label("loop")
	for lane := 0; lane < 16; lane += g.lanes {
		columns := load(at(b), lane)
		for step := range e.unit {
			for half, w := range columns(step) {
				VMULPS(factor, w, w)
				VMULPS(scale[(16*half+lane)/g.lanes], w, w)
				VMOVUPS(w, at(x).Offset(4*(32*step+16*half+lane)))
			}
		}
	}
	ADDQ(I32(e.unit*4*32), x)
	ADDQ(I32(groupUnit), b)
	DECQ(units)
	JNE(LabelRef("loop"))
	g.end()
}
