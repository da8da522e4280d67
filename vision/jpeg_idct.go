package vision

// transform computes the planes of a progressive picture.
func (p *jpegPicture) transform() {
	for _, c := range p.components {
		if c.quant == nil {
			continue // no scan has it: it stays grey
		}
		for y := range c.down {
			for x := range c.across {
				block := (*[64]int16)(c.coefficients[64*(y*c.across+x):])
				idct(c.plane[64*c.across*y+8*x:], 8*c.across, block, c.quant)
			}
		}
	}
}

// The constants of the transform, cosines in units of 2^-13, and the bits by which the first
// pass is more precise than the result.
const (
	fix0_298 = 2446
	fix0_390 = 3196
	fix0_541 = 4433
	fix0_765 = 6270
	fix0_899 = 7373
	fix1_175 = 9633
	fix1_501 = 12299
	fix1_847 = 15137
	fix1_961 = 16069
	fix2_053 = 16819
	fix2_562 = 20995
	fix3_072 = 25172

	constBits = 13
	passBits  = 2
)

// idct writes the 8 by 8 samples of a block to dst. It is the accurate integer transform of
// libjpeg (Loeffler, Ligtenberg and Moschytz, ICASSP 1989), equal bit for bit: each
// rounding is where libjpeg has it.
func idct(dst []uint8, stride int, block *[64]int16, quant *[64]uint16) {
	var work [64]int32
	for x := range 8 {
		in := func(y int) int32 { return int32(block[8*y+x]) * int32(quant[8*y+x]) }
		w := work[x:][:57]
		if block[8+x]|block[16+x]|block[24+x]|block[32+x]|block[40+x]|block[48+x]|block[56+x] == 0 {
			dc := in(0) << passBits
			w[0], w[8], w[16], w[24], w[32], w[40], w[48], w[56] = dc, dc, dc, dc, dc, dc, dc, dc
			continue
		}
		w[0], w[8], w[16], w[24], w[32], w[40], w[48], w[56] = idct8(
			in(0), in(1), in(2), in(3), in(4), in(5), in(6), in(7), constBits-passBits)
	}
	for y := range 8 {
		w, row := work[8*y:][:8], dst[stride*y:][:8]
		v0, v1, v2, v3, v4, v5, v6, v7 := idct8(
			w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], constBits+passBits+3)
		row[0], row[1], row[2], row[3] = clip8(v0+128), clip8(v1+128), clip8(v2+128), clip8(v3+128)
		row[4], row[5], row[6], row[7] = clip8(v4+128), clip8(v5+128), clip8(v6+128), clip8(v7+128)
	}
}

// idct8 is the transform in one dimension, scaled by 2^13 times the square root of 8 and
// shifted to the right with rounding.
func idct8(i0, i1, i2, i3, i4, i5, i6, i7 int32, shift uint) (o0, o1, o2, o3, o4, o5, o6, o7 int32) {
	z := (i2 + i6) * fix0_541
	t2 := z - i6*fix1_847
	t3 := z + i2*fix0_765
	round := int32(1) << (shift - 1)
	t0 := (i0+i4)<<constBits + round
	t1 := (i0-i4)<<constBits + round
	e0, e3 := t0+t3, t0-t3
	e1, e2 := t1+t2, t1-t2

	z5 := (i7 + i3 + i5 + i1) * fix1_175
	z1 := -(i7 + i1) * fix0_899
	z2 := -(i5 + i3) * fix2_562
	z3 := z5 - (i7+i3)*fix1_961
	z4 := z5 - (i5+i1)*fix0_390
	d0 := i7*fix0_298 + z1 + z3
	d1 := i5*fix2_053 + z2 + z4
	d2 := i3*fix3_072 + z2 + z3
	d3 := i1*fix1_501 + z1 + z4

	return (e0 + d3) >> shift, (e1 + d2) >> shift, (e2 + d1) >> shift, (e3 + d0) >> shift,
		(e3 - d0) >> shift, (e2 - d1) >> shift, (e1 - d2) >> shift, (e0 - d3) >> shift
}
