package safetensors

import (
	"math"
	"testing"
)

// slowHalf is the definition of a binary floating-point number, in float64.
func slowHalf(bits uint16, exponentBits, fractionBits int) float64 {
	sign := 1 - 2*float64(bits>>15)
	exponent := int(bits>>fractionBits) & (1<<exponentBits - 1)
	fraction := float64(bits & (1<<fractionBits - 1))
	bias := 1<<(exponentBits-1) - 1
	switch exponent {
	case 1<<exponentBits - 1:
		if fraction != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	case 0:
		return sign * math.Ldexp(fraction, 1-bias-fractionBits)
	}
	return sign * math.Ldexp(1+math.Ldexp(fraction, -fractionBits), exponent-bias)
}

func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || a == b && math.Signbit(a) == math.Signbit(b)
}

func TestEveryHalfHasItsValueAndComesBack(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		if got, want := float64(F16ToFloat32(h)), slowHalf(h, 5, 10); !same(got, want) {
			t.Fatalf("F16ToFloat32(%#04x) = %g, want %g", h, got, want)
		}
		if got, want := float64(BF16ToFloat32(h)), slowHalf(h, 8, 7); !same(got, want) {
			t.Fatalf("BF16ToFloat32(%#04x) = %g, want %g", h, got, want)
		}
		if f := F16ToFloat32(h); f == f && Float32ToF16(f) != h {
			t.Fatalf("Float32ToF16(%g) = %#04x, want %#04x", f, Float32ToF16(f), h)
		}
		if f := BF16ToFloat32(h); f == f && Float32ToBF16(f) != h {
			t.Fatalf("Float32ToBF16(%g) = %#04x, want %#04x", f, Float32ToBF16(f), h)
		}
	}
}

func TestANaNStaysANaN(t *testing.T) {
	for _, bits := range []uint32{0x7f800001, 0x7fc00000, 0x7fffffff, 0xff800001, 0xffffffff} {
		f := math.Float32frombits(bits)
		if v := F16ToFloat32(Float32ToF16(f)); v == v {
			t.Errorf("%#08x through F16 is %g", bits, v)
		}
		if v := BF16ToFloat32(Float32ToBF16(f)); v == v {
			t.Errorf("%#08x through BF16 is %g", bits, v)
		}
	}
}

func TestRoundingIsTorchs(t *testing.T) {
	f := openFile(t, "testdata/rounding.safetensors")
	x := readAll(t, f, "f32")
	for name, through := range map[string]func(float32) float32{
		"f16":  func(v float32) float32 { return F16ToFloat32(Float32ToF16(v)) },
		"bf16": func(v float32) float32 { return BF16ToFloat32(Float32ToBF16(v)) },
	} {
		for i, want := range readAll(t, f, name) {
			if got := through(x[i]); !same(float64(got), float64(want)) {
				t.Errorf("%s of %g (%#08x) is %g, want %g", name, x[i], math.Float32bits(x[i]), got, want)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	dst := make([]float32, 1<<16)
	for _, d := range []DType{F32, F16, BF16} {
		b.Run(string(d), func(b *testing.B) {
			src := make([]byte, len(dst)*d.Size())
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				Decode(dst, d, src)
			}
		})
	}
}
