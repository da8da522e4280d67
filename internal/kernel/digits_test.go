package kernel

import (
	"fmt"
	"math"
	"testing"
	"unsafe"
)

// onCPU calls f with an instruction set in use, if the machine has it.
func onCPU(name string, f func()) {
	defer func(old *simd) { cpu = old }(cpu)
	for _, s := range available() {
		if s.name == name {
			cpu = s
			f()
		}
	}
}

// errors are the root mean square of the errors of C, relative to Σ|a·b|, and the largest relative to what products in digits promise.
func (x *matrices[T]) errors() (rms, largest float64) {
	top := func(n int, at func(p int) T) (tops []float64) {
		for p := range n {
			if p%digitSteps == 0 {
				tops = append(tops, 0)
			}
			tops[len(tops)-1] = max(tops[len(tops)-1], math.Abs(float64(at(p))))
		}
		return tops
	}
	for i := range x.m {
		a := top(x.k, func(p int) T { return x.a[at(i, p, x.lda, x.transA)] })
		for j := range x.n {
			var sum, size, limit float64
			for p := range x.k {
				t := float64(x.a[at(i, p, x.lda, x.transA)]) * float64(x.b[at(p, j, x.ldb, x.transB)])
				sum, size = sum+t, size+math.Abs(t)
			}
			for c, b := range top(x.k, func(p int) T { return x.b[at(p, j, x.ldb, x.transB)] }) {
				limit += a[c] * b * digitSteps * 0x1.02p-22
			}
			e := math.Abs(float64(x.c[i*x.ldc+j]) - sum)
			rms, largest = rms+e*e/(size*size), max(largest, e/(limit+size*0x1p-22))
		}
	}
	return math.Sqrt(rms / float64(x.m*x.n)), largest
}

func TestAProductInDigitsIsAsExactAsOneOfFloat32(t *testing.T) {
	onCPU("amx", func() {
		for _, k := range []int{digitLeast, 256, 768, 1600, 3072} {
			for spread := range 3 {
				x := newMatrices[float32](33, 40, k, 0, 0)
				rng := newRand()
				for _, v := range [][]float32{x.a, x.b} {
					for i := range v {
						v[i] *= float32(math.Exp2(float64(spread*10) * (rng.Float64() - 0.5)))
					}
				}
				x.run()
				digits, largest := x.errors()
				if largest > 1 {
					t.Errorf("k = %d, magnitudes over %d bits: an error is %.2g of what is promised", k, spread*10, largest)
				}
				var plain float64
				onCPU("avx512", func() { x.run(); plain, _ = x.errors() })
				// What is small beside its neighbours loses bits; sums of many are rounded less often.
				if limit := plain * min([]float64{1, 3, 7}[spread], []float64{28, 32, 90}[spread]/math.Sqrt(float64(k))); digits > limit {
					t.Errorf("k = %d, magnitudes over %d bits: the error is %.2g, want at most %.2g", k, spread*10, digits, limit)
				}
			}
		}
	})
}

// A lane of zeros, one of a single number, and numbers of few bits are multiplied without an error.
func TestAProductInDigitsOfWholeNumbersIsExact(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		x := newMatrices[float32](40, 50, 300, 0, 0)
		for i := range x.a {
			x.a[i] = float32(i*i%2047-1023) * 0x1p40
		}
		for i := range x.b {
			x.b[i] = float32(i%63-31) * 0x1p-60
		}
		clear(x.a[:x.lda])
		x.run()
		for i := range x.m {
			for j := range x.n {
				want := multiply(false, false, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, i, j)
				if got := float64(x.c[i*x.ldc+j]); got != want {
					t.Fatalf("C[%d, %d] is %g, want %g", i, j, got, want)
				}
			}
		}
	})
}

func TestForFewRowsTheProductIsNotInDigits(t *testing.T) {
	x := newMatrices[float32](33, 70, 300, 2, 0)
	var want []float32
	onCPU("avx512", func() { x.run(); want = clone(x.c) })
	onCPU("amx", func() {
		GemmFew(x.transA, x.transB, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, x.c, x.ldc, false, nil)
		same(t, "C", x.c, want)
	})
}

// Scales reach down to 2⁻¹²⁷; products of numbers too large for them are not in digits.
func TestAProductInDigitsOfExtremeNumbers(t *testing.T) {
	onCPU("amx", func() {
		for _, scale := range []float32{0x1p-149, 0x1p-130, 0x1p-126, 0x1p-110, 1} {
			x := newMatrices[float32](20, 40, 270, 0, 0)
			for i := range x.a {
				x.a[i] *= scale
			}
			if scale == 1 {
				x.a[5], x.b[5*x.ldb+7] = math.MaxFloat32, 0.5
			}
			x.run()
			for i := range x.m {
				for j := range x.n {
					want := multiply(false, false, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, i, j)
					got := float64(x.c[i*x.ldc+j])
					if math.Abs(want) > math.MaxFloat32 {
						want = math.Inf(int(math.Copysign(1, want)))
					}
					if !(got == want || math.Abs(got-want) <= 2e-6*math.Abs(want)+1e-5*float64(scale)+0x1p-126*float64(x.k)) {
						t.Fatalf("scale %g: C[%d, %d] is %g, want %g", scale, i, j, got, want)
					}
				}
			}
		}
	})
}

func TestAPackedMatrixMeetsRowsThatCannotBeCut(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const m, n, k = 40, 50, 300
		x := newMatrices[float32](m, n, k, 0, 0)
		p := Pack(false, false, k, n, x.b, n)
		if (p == nil) != (cpu == nil) { // plain Go packs nothing
			t.Fatalf("packed: %v", p != nil)
		}
		if p == nil {
			return
		}
		x.a[3*k+7], x.a[5*k] = float32(math.NaN()), math.MaxFloat32
		want, got := make([]float32, m*n), make([]float32, m*n)
		Gemm(false, false, m, n, k, x.a, k, x.b, n, want, n, false, nil)
		p.Multiply(m, x.a, k, got, n, nil)
		same(t, "C", got, want)
		if got[3*n] == got[3*n] || got[4*n] != got[4*n] {
			t.Errorf("C has %g and %g in the rows of a NaN and without", got[3*n], got[4*n])
		}
		x.b[0] = float32(math.Inf(1))
		if p := Pack(false, false, k, n, x.b, n); p != nil && p.cpu.inDigits() {
			t.Error("an infinity was cut")
		}
	})
}

func TestDigitsAddUpToTheNumber(t *testing.T) {
	onCPU("amx", func() {
		rng := newRand()
		for _, right := range []bool{false, true} {
			x := random[float32](rng, digitLanes*digitSteps)
			for i := range x { // the largest and the smallest numbers of three digits, and ties
				switch rng.IntN(8) {
				case 0:
					x[i] = 0x1.fefefep1
				case 1:
					x[i] = -0x1.ffffffp1
				case 2:
					x[i] = 0x1p-30
				case 3:
					x[i] = 0
				}
			}
			o := operand[float32]{x, digitSteps, false}
			p := digitPanels.newPanels(digitLanes, digitSteps)
			s := borrowCutter()
			if s.cut(p, right, o, span{0, digitLanes}, span{0, digitSteps}) {
				t.Fatal("numbers that can be cut are said not to be")
			}
			scale := unsafe.Slice((*float32)(unsafe.Pointer(&p.x[0])), digitLanes)
			for lane := range digitLanes {
				for step := range digitSteps {
					tile, in := step/64, step%64
					// Byte b of a group of four is number 0, 32, 16 or 48 further on.
					b, group := []int{0, 2, 1, 3}[in/16], in%16
					row, column := lane, group
					if right {
						row, column = group, lane
					}
					sum := 0
					for digit := range 3 {
						sum = 256*sum + int(int8(p.x[4*digitLanes+(3*tile+digit)<<10+64*row+4*column+b]))
					}
					got, want := float64(sum)*float64(scale[lane])*0x1p-16, float64(x[lane*digitSteps+step])
					if math.Abs(got-want) > float64(scale[lane])*0x1p-17 {
						t.Fatalf("right %v: number %d of lane %d is %g, want %g", right, step, lane, got, want)
					}
				}
			}
			p.back()
		}
	})
}

// The sums of digits are exact, so C has the bits of the definition.
func TestSumsOfDigitsAreThoseOfTheDefinition(t *testing.T) {
	onCPU("amx", func() {
		const chunks, rows, cols = 3, 2, 3
		rng := newRand()
		cut := func(panels int, right bool) panelSet {
			x := random[float32](rng, panels*digitLanes*chunks*digitSteps)
			p := digitPanels.newPanels(panels*digitLanes, chunks*digitSteps)
			borrowCutter().cut(p, right, operand[float32]{x, chunks * digitSteps, false}, span{0, panels * digitLanes}, span{0, chunks * digitSteps})
			return p
		}
		a, b := cut(rows, false), cut(cols, true)
		const ldc = cols*digitLanes + 5
		for _, accumulate := range []bool{false, true} {
			got := random[float32](rng, rows*digitLanes*ldc)
			want := clone(got)
			var sums [8*digitLanes*digitLanes + 16]float32
			cpu.tiles.digits(&a.x[0], &b.x[0], chunks, &got[0], ldc, rows, cols, accumulate, align(&sums[0]), &a.x[0])
			for i := range rows * digitLanes {
				for j := range cols * digitLanes {
					c := &want[i*ldc+j]
					if !accumulate {
						*c = 0
					}
					for chunk := range chunks {
						x, y := a.x[i/digitLanes*a.size()+chunk*digitChunk:], b.x[j/digitLanes*b.size()+chunk*digitChunk:]
						*c = float32(math.FMA(float64(scaleOf(x, i%digitLanes)*scaleOf(y, j%digitLanes)), digitSum(x, y, i%digitLanes, j%digitLanes), float64(*c)))
					}
				}
			}
			same(t, fmt.Sprintf("C, accumulate %v", accumulate), got, want)
		}
	})
}

func scaleOf(chunk []byte, lane int) float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(&chunk[0])), digitLanes)[lane]
}

// digitSum is the sum of a chunk's products for a lane on the left and one on the right, as float32 that are added up from the smallest on.
func digitSum(x, y []byte, row, column int) (sum float64) {
	digit := func(chunk []byte, step, digit, at int) int {
		return int(int8(chunk[4*digitLanes+(3*step+digit)<<10+at]))
	}
	for order := 3; order >= 0; order-- {
		whole := 0
		for step := range 2 {
			for i := range 3 {
				for k := 0; k < 64 && order-i >= 0 && order-i < 3; k++ {
					whole += digit(x, step, i, 64*row+k) * digit(y, step, order-i, k/4*64+4*column+k%4)
				}
			}
		}
		sum = float64(float32(sum/256 + float64(whole)))
	}
	return sum
}
