package kernel

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

// nearestBFloat12 is how v is held in a column and group in which top is the largest.
func nearestBFloat12(v, top float32) float32 {
	v = roundBFloat16(v)
	least := math.Ldexp(1, max(-111, math.Ilogb(float64(roundBFloat16(top))))-14)
	switch size := math.Abs(float64(v)); {
	case size <= least/2:
		return float32(math.Copysign(0, float64(v)))
	case size < least:
		return float32(math.Copysign(least, float64(v)))
	}
	return v
}

// spread is a matrix [k, n] of columns of very different size, in which numbers are up to 2¹⁸ times smaller than the largest, some powers of
// two, some just below one or zero.
func spread(k, n int) []float32 {
	rng, x := newRand(), make([]float32, k*n)
	for i := range x {
		base := []int{0, 78, 40, -20, -96, -108, -111, -112, -125}[i%n%9]
		v := math.Ldexp(1+rng.Float64(), max(-149, base-rng.IntN(19)))
		switch rng.IntN(8) {
		case 0:
			v = math.Ldexp(1, math.Ilogb(v))
		case 1:
			v = math.Ldexp(2-0x1p-9, math.Ilogb(v)) // rounds up to a power of two, but for 2⁷⁹
			if base == 78 {
				v /= 4
			}
		case 2:
			v = 0
		}
		if x[i] = float32(v); rng.IntN(2) == 0 {
			x[i] = -x[i]
		}
		if i/n >= groupSteps && i/n < 2*groupSteps && i%n%4 == 1 {
			x[i] = 0
		}
	}
	return x
}

// columnTops are the largest numbers of each column in the group of each element.
func columnTops(x []float32, k, n int) []float32 {
	tops := make([]float32, k*n)
	for i := range x {
		first := i / n / groupSteps * groupSteps
		for p := first; p < min(first+groupSteps, k); p++ {
			tops[i] = max(tops[i], float32(math.Abs(float64(x[p*n+i%n]))))
		}
	}
	return tops
}

// Within 2¹⁴ of the largest of its column and group each number is bfloat16's own, to the bit; no other is off by more than 2⁻¹⁵ of that.
func TestIn12BitsNumbersNearTheLargestAreThoseOfBFloat16(t *testing.T) {
	const n = 70
	for _, k := range []int{1, 2, 3, 4, 5, 63, 64, 65, 127, 129, 200} {
		x := spread(k, n)
		tops := columnTops(x, k, n)
		var first []byte
		onEveryCPU(func(name string) {
			h, column := Hold(HeldBFloat12, false, k, n, x, n), make([]float32, k)
			if h.format != HeldBFloat12 {
				t.Fatal("held otherwise")
			}
			if first == nil {
				first = h.data
			}
			if !bytes.Equal(h.data, first) {
				t.Errorf("%s, k = %d: other bytes", name, k)
			}
			panel := make([]float32, k*heldCols)
			for j := range n {
				h.Column(column, j)
				if j%heldCols == 0 {
					h.floats(panel, h.panel(j/heldCols))
				}
				for p, v := range column {
					i := p*n + j
					bits, all := math.Float32bits(v), math.Float32bits(panel[p*heldCols+j%heldCols])
					if want := nearestBFloat12(x[i], tops[i]); bits != math.Float32bits(want) || all != bits {
						t.Fatalf("%s, k = %d: %g beside %g is held as %g or %g, want %g", name, k, x[i], tops[i], v, math.Float32frombits(all), want)
					}
					rounded, largest := roundBFloat16(x[i]), max(0x1p-111, math.Ldexp(1, math.Ilogb(float64(roundBFloat16(tops[i])))))
					if kept := math.Abs(float64(rounded)) >= largest*0x1p-14; kept && v != rounded || math.Abs(float64(v-rounded)) > largest*0x1p-15 {
						t.Fatalf("%s, k = %d: %g beside %g is held as %g", name, k, x[i], tops[i], v)
					}
				}
			}
		})
	}
}

// Products have the same bits whichever instructions make them, and are as exact as sums of float32 are, of rows of any size that there is room for.
func TestProductsIn12BitsOfRowsOfAnySize(t *testing.T) {
	const n = 70
	for _, k := range []int{0, 1, 3, 4, 6, 64, 67, 130, 320} {
		b := spread(k, n)
		tops := columnTops(b, k, n)
		for i := range b {
			b[i] = nearestBFloat12(b[i], tops[i])
		}
		for _, m := range []int{1, 2, 3, 4, 5, 6, 7, 8, 11} {
			a := random[float32](newRand(), m*k)
			for i := range a {
				a[i] *= []float32{1, 0x1p-64, 0x1p47, 1e9, 1e-20}[i/k%5]
			}
			var first []float32
			onEveryCPU(func(name string) {
				c := make([]float32, m*n)
				Hold(HeldBFloat12, false, k, n, b, n).Multiply(m, a, k, c, n, nil)
				for i, v := range c {
					var sum, size float64
					for p := range k {
						product := float64(a[i/n*k+p]) * float64(b[p*n+i%n])
						sum, size = sum+product, size+math.Abs(product)
					}
					if off := math.Abs(float64(v) - sum); size < math.MaxFloat32 && off > 70*0x1p-24*size+0x1p-149*float64(k) {
						t.Fatalf("%s, %d rows, k = %d: C[%d, %d] is %g, want %g", name, m, k, i/n, i%n, v, sum)
					}
				}
				if first == nil {
					first = c
				}
				if cpu != nil {
					same(t, fmt.Sprintf("%s, %d rows, k = %d", name, m, k), c, first)
				}
			})
		}
	}
}

// Numbers at the limits of what is held.
func TestExtremeNumbersIn12Bits(t *testing.T) {
	for _, c := range []struct{ top, small, want float32 }{
		{1, 0x1p-14, 0x1p-14},
		{1.5, -0x1.02p-14, -0x1.02p-14},
		{1, 0x1.fep-15, 0x1p-14},
		{1, -0x1.02p-15, -0x1p-14},
		{1, 0x1p-15, 0},
		{1, 0x1.fep-16, 0},
		{-0x1.ff8p0, 0x1.02p-13, 0x1.02p-13}, // which rounds to 2
		{-0x1.ff8p0, 0x1.fep-14, 0x1p-13},
		{-0x1.ff8p0, 0x1p-14, 0},
		{0x1.fffffep78, 0x1p65, 0x1p65},
		{-0x1.fffffep78, 0x1p64, 0},
		{0x1p-111, 0x1p-125, 0x1p-125},
		{0x1p-111, 0x1.02p-126, 0x1p-125},
		{0x1p-111, 0x1p-126, 0},
		{0x1.fep-125, -0x1.02p-126, -0x1p-125},
		{0x1p-125, 0x1p-126, 0},
		{0x1p-125, 0x1p-149, 0},
		{1, 0, 0},
	} {
		testOnEveryCPU(t, func(t *testing.T) {
			const k, n = 67, 37
			b := make([]float32, k*n)
			b[3*n+36], b[40*n+36] = c.top, c.small
			h, column := Hold(HeldBFloat12, false, k, n, b, n), make([]float32, k)
			if h.format != HeldBFloat12 {
				t.Fatal("held otherwise")
			}
			h.Column(column, 36)
			if column[40] != c.want || column[3] != roundBFloat16(c.top) {
				t.Errorf("%g beside %g are held as %g and %g, want %g and %g", c.small, c.top, column[40], column[3], c.want, roundBFloat16(c.top))
			}
			a, y := make([]float32, k), make([]float32, n)
			a[3] = 0.5
			h.Multiply(1, a, k, y, n, nil)
			if y[36] != column[3]/2 || y[35] != 0 {
				t.Errorf("half of %g is %g, of 0 %g", column[3], y[36], y[35])
			}
		})
	}
}
