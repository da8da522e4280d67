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
		var in [8]int32
		ac := int16(0)
		for y := range 8 {
			v := block[8*y+x]
			in[y] = int32(v) * int32(quant[8*y+x])
			if y > 0 {
				ac |= v
			}
		}
		if ac == 0 {
			for y := range 8 {
				work[8*y+x] = in[0] << passBits
			}
			continue
		}
		out := idct8(&in, constBits-passBits)
		for y, v := range out {
			work[8*y+x] = v
		}
	}
	for y := range 8 {
		out := idct8((*[8]int32)(work[8*y:]), constBits+passBits+3)
		row := dst[stride*y:][:8]
		for x, v := range out {
			row[x] = clip8(v + 128)
		}
	}
}

// idct8 is the transform in one dimension, scaled by 2^13 times the square root of 8 and
// shifted to the right with rounding.
func idct8(in *[8]int32, shift uint) (out [8]int32) {
	z := (in[2] + in[6]) * fix0_541
	t2 := z - in[6]*fix1_847
	t3 := z + in[2]*fix0_765
	t0 := (in[0] + in[4]) << constBits
	t1 := (in[0] - in[4]) << constBits
	e0, e3 := t0+t3, t0-t3
	e1, e2 := t1+t2, t1-t2

	z5 := (in[7] + in[3] + in[5] + in[1]) * fix1_175
	z1 := -(in[7] + in[1]) * fix0_899
	z2 := -(in[5] + in[3]) * fix2_562
	z3 := z5 - (in[7]+in[3])*fix1_961
	z4 := z5 - (in[5]+in[1])*fix0_390
	o0 := in[7]*fix0_298 + z1 + z3
	o1 := in[5]*fix2_053 + z2 + z4
	o2 := in[3]*fix3_072 + z2 + z3
	o3 := in[1]*fix1_501 + z1 + z4

	round := int32(1) << (shift - 1)
	return [8]int32{
		(e0 + o3 + round) >> shift, (e1 + o2 + round) >> shift, (e2 + o1 + round) >> shift, (e3 + o0 + round) >> shift,
		(e3 - o0 + round) >> shift, (e2 - o1 + round) >> shift, (e1 - o2 + round) >> shift, (e0 - o3 + round) >> shift,
	}
}
