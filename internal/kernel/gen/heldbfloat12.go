package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// bfloat16 in 12 bits, four steps in three vectors; see heldbfloat12.go.
var bfloat12 = element{"BFloat12", 4, groupUnit, true}

const (
	bfloat12Bits  = 0x87ff0000
	bfloat12Spare = 0x78007800
)

// bfloat12Loader reads numbers as they are beside the scale.
func (g *isa) bfloat12Loader() func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
	bits := g.set32(bfloat12Bits)
	fourth := g.bfloat12Fourth()
	return func(m Mem, lane int) func(step int) [2]reg.VecVirtual {
		words := g.unitVectors(m, lane)
		return func(step int) [2]reg.VecVirtual {
			word := fourth
			if step < 3 {
				word = func([3]reg.VecVirtual) reg.VecVirtual { return words[step] }
			}
			w, low, up := word(words), g.vec(), g.vec()
			VPSLLD(U8(16), w, low)
			VANDPS(bits, low, low)
			VANDPS(bits, w, up)
			return [2]reg.VecVirtual{low, up}
		}
	}
}

// bfloat12Fourth gives what puts the fourth word of a unit together from the other three, which it uses up. In the bits that no number has
// there may be others.
func (g *isa) bfloat12Fourth() func(w [3]reg.VecVirtual) reg.VecVirtual {
	const (
		first  = bfloat12Spare >> 4
		second = bfloat12Spare >> 8
		third  = bfloat12Spare>>12 | bfloat12Spare<<20&(1<<31)
	)
	var join func(w [3]reg.VecVirtual) // in the first
	if g.wide() {
		ofFirst, ofThird := g.set32(first), g.set32(third)
		join = func(w [3]reg.VecVirtual) {
			VPTERNLOGD(U8(0xe4), ofFirst, w[1], w[0])
			VPTERNLOGD(U8(0xd8), ofThird, w[2], w[0])
		}
	} else {
		join = func(w [3]reg.VecVirtual) {
			for q, mask := range []uint32{first, second, third} {
				VANDPS(g.bitsOf(mask), w[q], w[q])
			}
			VORPS(w[1], w[0], w[0])
			VORPS(w[2], w[0], w[0])
		}
	}
	return func(w [3]reg.VecVirtual) reg.VecVirtual {
		VPSRLD(U8(4), w[0], w[0])
		VPSRLD(U8(8), w[1], w[1])
		turned := g.vec() // not by VPRORD, with which eight rows take a fifth longer on a Zen 5
		VPSRLD(U8(12), w[2], turned)
		VPSLLD(U8(20), w[2], w[2])
		VORPS(turned, w[2], w[2])
		join(w)
		return w[0]
	}
}

// bfloat12s writes what converts a group of a panel.
func (g *isa) bfloat12s() {
	to, x, units, tops := g.cutFunction(bfloat12, "rounded to the nearest bfloat16, ties to even, and then, if it is small,\n"+
		"to the smallest that there is or to zero")
	wild, lowest := g.zero(), make([]reg.VecVirtual, len(tops)) // below the exponents that there are
	for j, top := range tops {
		VPMAXSD(top, wild, wild)
		top = g.roundBits(top)
		VPSRLD(U8(23), top, top)
		VPMAXSD(g.bitsOf(16), top, top)
		lowest[j] = g.vec()
		VPADDD(g.bitsOf(127-15-64), top, lowest[j])
		VPSLLD(U8(23), lowest[j], lowest[j])
		VMOVUPS(lowest[j], at(to).Offset(4*j*g.lanes))
		VPSUBD(g.bitsOf(15), top, lowest[j])
		VPSLLD(U8(23), lowest[j], lowest[j])
	}
	ADDQ(I32(groupScales), to)
	g.cutUnits(bfloat12, to, x, units, wild, (127+79)<<23-1, func(lane int) {
		var words [4]reg.VecVirtual
		for step := range words {
			low := g.bfloat12Of(at(x).Offset(4*(32*step+lane)), lowest[lane/g.lanes])
			words[step] = g.bfloat12Of(at(x).Offset(4*(32*step+16+lane)), lowest[(16+lane)/g.lanes])
			VPSRLD(U8(16), low, low)
			VORPS(low, words[step], words[step])
		}
		var spare [3]reg.VecVirtual
		for q := range spare {
			spare[q] = g.vec()
		}
		VPSLLD(U8(4), words[3], spare[0])
		VPSLLD(U8(8), words[3], spare[1])
		VPSLLD(U8(12), words[3], spare[2])
		VPSRLD(U8(20), words[3], words[3])
		VORPS(words[3], spare[2], spare[2])
		for q, s := range spare {
			VANDPS(g.bitsOf(bfloat12Spare), s, s)
			VORPS(s, words[q], words[q])
			VMOVUPS(words[q], at(to).Offset(64*q+4*lane))
		}
	})
	g.floatsOfGroup(bfloat12, 1<<64)
}

// bfloat12Of is a number at m as it is beside a scale, with the bits that are there below the exponents of its column.
func (g *isa) bfloat12Of(m Mem, lowest reg.VecVirtual) reg.VecVirtual {
	v, sign := g.load(m, false), g.vec()
	VANDPS(g.bitsOf(1<<31), v, sign)
	v = g.roundBits(v)
	VANDPS(g.bitsOf(0x7fff0000), v, v)
	VPSUBD(lowest, v, v)
	zero := g.zero()
	if g.wide() {
		k := K()
		VPCMPD(U8(6), zero, v, k) // greater
		VPMAXSD_Z(g.bitsOf(1<<23), v, k, v)
	} else {
		above := g.vec()
		VPCMPGTD(zero, v, above)
		VPMAXSD(g.bitsOf(1<<23), v, v)
		VPAND(above, v, v)
	}
	VORPS(sign, v, v)
	return v
}
