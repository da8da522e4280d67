package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// What is not finite in A makes what it makes in float32, and leaves other rows alone. A matrix with such a weight, or one that is too large, is held
// otherwise.
func TestNumbersInGroupsMeetInfinityAndNaN(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		format, otherwise HeldFormat
		large             float32 // in A
		wild              []float32
	}{
		{HeldInt24, HeldFloat32, -0x1p120, []float32{inf, -inf, nan}},
		{HeldBFloat12, HeldBFloat16, -0x1p63, []float32{inf, -inf, nan, 0x1p79, -math.MaxFloat32}},
	} {
		t.Run(fmt.Sprint(c.format), func(t *testing.T) {
			testOnEveryCPU(t, func(t *testing.T) {
				const m, n, k = 4, 40, 70
				x := newMatrices[float32](m, n, k, 0, 0)
				x.b[9*n+3] = 0
				x.a[7], x.a[k+9], x.a[2*k+64] = nan, inf, c.large
				want, got := make([]float32, m*n), make([]float32, m*n)
				GemmFew(false, false, m, n, k, x.a, k, stored(c.format, x.b, k, n), n, want, n, false, nil)
				Hold(c.format, false, k, n, x.b, n).Multiply(m, x.a, k, got, n, nil)
				for i, v := range want {
					if w := float64(v); got[i] != v && (v == v || got[i] == got[i]) && !(math.Abs(float64(got[i])-w) <= 1e-5*(1+math.Abs(w))) {
						t.Errorf("C[%d, %d] is %g, in float32 %g", i/n, i%n, got[i], v)
					}
				}
				for _, wild := range c.wild {
					x.b[k*n-1] = wild
					if h := Hold(c.format, false, k, n, x.b, n); h.format != c.otherwise {
						t.Errorf("%g is held in format %d, want %d", wild, h.format, c.otherwise)
					}
				}
			})
		})
	}
}

// Whatever the bits of the elements, every machine makes the same group of them.
func FuzzGroups(f *testing.F) {
	f.Add([]byte("\x00\x00\x80\x3f\x01\x00\x00\x80\xff\xff\xff\x66\x00\x00\x80\x7f"), uint8(5), uint8(3))
	f.Add([]byte("\xff\x7f\x7f\x3f\x00\x80\x80\xb8\x00\x00\x01\x00"), uint8(70), uint8(40))
	f.Fuzz(func(t *testing.T, bits []byte, k8, n8 uint8) {
		k, n := int(k8), 1+int(n8)%70
		x := make([]float32, k*n)
		for i := range x {
			if at := 4 * i; len(bits) >= 4 {
				at %= len(bits) - 3
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(bits[at:]))
			}
		}
		for _, format := range []HeldFormat{HeldInt24, HeldBFloat12} {
			var first *Held
			onEveryCPU(func(name string) {
				h := Hold(format, false, k, n, x, n)
				if first == nil {
					first = h
				}
				if h.format != first.format || !bytes.Equal(h.data, first.data) {
					t.Errorf("%s: format %d held as %d and %d, or in other bytes", name, format, h.format, first.format)
				}
			})
		}
	})
}
