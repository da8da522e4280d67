package kernel

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// at is the index of an element of a matrix, seen transposed or not.
func at(i, j, ld int, transposed bool) int {
	if transposed {
		i, j = j, i
	}
	return i*ld + j
}

// multiply is the product by definition, in float64.
func multiply[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, i, j int) float64 {
	var sum float64
	for p := range k {
		x, y := a[at(i, p, lda, transA)], b[at(p, j, ldb, transB)]
		sum += float64(x) * float64(y)
	}
	return sum
}

type matrices[T Float] struct {
	m, n, k               int
	transA, transB        bool
	lda, ldb, ldc         int
	a, b, c, bias, pre    []T
	residual              []T
	accumulate, epilogued bool
}

func newMatrices[T Float](m, n, k, mode, pad int) *matrices[T] {
	rng := newRand()
	x := &matrices[T]{m: m, n: n, k: k, transA: mode&1 != 0, transB: mode&2 != 0, accumulate: mode&4 != 0, epilogued: mode&8 != 0}
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if x.transA {
		rowsA, colsA = k, m
	}
	if x.transB {
		rowsB, colsB = n, k
	}
	x.lda, x.ldb, x.ldc = colsA+pad, colsB+2*pad, n+3*pad
	// Exactly as long as they must be: the last row has no padding.
	x.a, x.b = random[T](rng, max(0, (rowsA-1)*x.lda+colsA)), random[T](rng, max(0, (rowsB-1)*x.ldb+colsB))
	x.c, x.bias, x.pre = random[T](rng, max(0, (m-1)*x.ldc+n)), random[T](rng, n), random[T](rng, m*n)
	x.residual = random[T](rng, m*n)
	return x
}

func (x *matrices[T]) run() {
	var e *Epilogue[T]
	if x.epilogued {
		e = &Epilogue[T]{Bias: x.bias, Activation: GELU, Pre: x.pre, Residual: x.residual}
	}
	Gemm(x.transA, x.transB, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, x.c, x.ldc, x.accumulate, e)
}

// check compares every some-th row with the definition.
func (x *matrices[T]) check(t *testing.T, every int) {
	t.Helper()
	tolerance := 1e-13
	if vectorisable[T]() {
		tolerance = 1e-6 + 1.5e-7*float64(x.k)
	}
	old := clone(x.c)
	x.run()
	for i := range x.m {
		for j := range x.n {
			place := i*x.ldc + j
			if i%every != 0 {
				old[place] = x.c[place]
				continue
			}
			want := multiply(x.transA, x.transB, x.m, x.n, x.k, x.a, x.lda, x.b, x.ldb, i, j)
			if x.accumulate {
				want += float64(old[place])
			}
			if x.epilogued {
				want += float64(x.bias[j])
				near(t, "Pre", x.pre[i*x.n+j:][:1], []float64{want}, tolerance)
				want = activate(GELU, want) + float64(x.residual[i*x.n+j])
			}
			if !(math.Abs(float64(x.c[place])-want) <= tolerance*(1+math.Abs(want))) {
				t.Fatalf("%+v: C[%d, %d] is %v, want %v", x.shape(), i, j, x.c[place], want)
			}
			old[place] = x.c[place]
		}
	}
	same(t, "C with its padding", x.c, old)
}

func (x *matrices[T]) shape() string {
	return fmt.Sprintf("%d×%d×%d transA %v transB %v accumulate %v", x.m, x.n, x.k, x.transA, x.transB, x.accumulate)
}

func vectorisable[T Float]() bool { return T(1)/3 == T(float32(1)/3) }

func TestGemmMatchesTheDefinition(t *testing.T) {
	shapes := [][3]int{{1, 1, 1}, {1, 31, 5}, {1, 32, 17}, {1, 33, 16}, {2, 3, 4}, {3, 100, 40}, {6, 16, 8}, {7, 17, 9}, {13, 33, 31},
		{14, 32, 32}, {15, 65, 33}, {28, 64, 300}, {29, 1, 7}, {5, 7, 0}, {0, 4, 4}, {4, 0, 4}, {61, 97, 257}}
	testOnEveryCPU(t, func(t *testing.T) {
		for _, s := range shapes {
			for mode := range 16 {
				newMatrices[float32](s[0], s[1], s[2], mode, mode%3).check(t, 1)
				if cpu == nil {
					newMatrices[float64](s[0], s[1], s[2], mode, mode%3).check(t, 1)
				}
			}
		}
	})
}

func TestGemmMatchesTheDefinitionForEachTile(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for m := 1; m <= 14; m++ {
			for n := 1; n <= 33; n++ {
				for _, mode := range []int{2, 6} { // C = A·Bᵀ, C += A·Bᵀ
					newMatrices[float32](m, n, 9, mode, n%2).check(t, 1)
				}
			}
		}
	})
}

func TestGemmDividesWhatIsTooLargeToPack(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		newMatrices[float32](17, 1100, 4099, 0, 0).check(t, 8)
		newMatrices[float32](1050, 18, 4097, 7, 1).check(t, 100)
		newMatrices[float32](270, maxPacked/panelDepth+40, panelDepth+2, 2, 0).check(t, 100)
	})
}

func TestGemmDoesNotDependOnThreadsNorOnOtherRowsAndColumns(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for mode := range 4 {
			const m, n, k = 70, 210, 530
			x := newMatrices[float32](m, n, k, mode, 0)
			x.run()
			want := clone(x.c)
			onThreads(func(threads int) {
				clear(x.c)
				x.run()
				same(t, fmt.Sprintf("C on %d threads", threads), x.c, want)
			})
			for i := range m {
				for _, rows := range []int{1, 2, 9} {
					rows = min(rows, m-i)
					a := x.a[i*x.lda:]
					if x.transA {
						a = x.a[i:]
					}
					c := make([]float32, rows*n)
					Gemm(x.transA, x.transB, rows, n, k, a, x.lda, x.b, x.ldb, c, n, false, nil)
					same(t, fmt.Sprintf("%d rows from %d", rows, i), c, want[i*n:(i+rows)*n])
				}
			}
			for j := 0; j < n; j += 13 {
				b := x.b[j:]
				if x.transB {
					b = x.b[j*x.ldb:]
				}
				c := make([]float32, m)
				Gemm(x.transA, x.transB, m, 1, k, x.a, x.lda, b, x.ldb, c, 1, false, nil)
				for i, v := range c {
					same(t, fmt.Sprintf("column %d alone", j), []float32{v}, want[i*n+j:][:1])
				}
			}
		}
	})
}

func TestGemmHasTheSameBitsOnAllInstructionSets(t *testing.T) {
	var first []float32
	onEveryCPU(func(name string) {
		if cpu == nil || cpu.inDigits() {
			return // no fused multiply-add, or products in digits
		}
		x := newMatrices[float32](33, 70, 300, 2, 0)
		x.run()
		if first == nil {
			first = x.c
		}
		same(t, name, x.c, first)
	})
}

func TestGemmPropagatesNaNAndInfinity(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, shape := range [][2]int{{1, 50}, {20, 50}, {20, 300}} {
			m := shape[0]
			x := newMatrices[float32](m, 40, shape[1], 0, 0)
			nan, inf := float32(math.NaN()), float32(math.Inf(1))
			x.a[7] = nan          // row 0
			x.b[3*x.ldb+39] = inf // column 39
			x.run()
			for j := range 40 {
				if x.c[j] == x.c[j] {
					t.Fatalf("C[0, %d] is %v, want NaN", j, x.c[j])
				}
			}
			for i := 1; i < m; i++ {
				for j, v := range x.c[i*40 : i*40+40] {
					if math.IsInf(float64(v), 0) != (j == 39) || v != v {
						t.Fatalf("C[%d, %d] is %v", i, j, v)
					}
				}
			}
		}
	})
}

func TestGemmPanicsWithTheSizesOfWhatDoesNotFit(t *testing.T) {
	x := make([]float32, 6)
	for _, c := range []struct {
		want string
		f    func()
	}{
		{"A is 2×4 with leading dimension 4, but its slice has 6", func() { Gemm(false, false, 2, 1, 4, x, 4, x, 1, x, 1, false, nil) }},
		{"B is 2×3 with leading dimension 2", func() { Gemm(false, false, 2, 3, 2, x, 2, x, 2, x, 3, false, nil) }},
		{"C is 4×2 with leading dimension 2, but its slice has 6", func() { Gemm(false, false, 4, 2, 1, x, 1, x, 2, x, 2, false, nil) }},
		{"bias has 1 elements, want 2", func() { Gemm(false, false, 2, 2, 1, x, 1, x, 2, x, 2, false, &Epilogue[float32]{Bias: x[:1]}) }},
		{"Pre has 3 elements, want 4", func() { Gemm(false, false, 2, 2, 1, x, 1, x, 2, x, 2, false, &Epilogue[float32]{Pre: x[:3]}) }},
		{"Residual has 3 elements, want 4", func() { Gemm(false, false, 2, 2, 1, x, 1, x, 2, x, 2, false, &Epilogue[float32]{Residual: x[:3]}) }},
	} {
		if got := panics(c.f); !strings.Contains(got, c.want) {
			t.Errorf("got panic %q, want %q", got, c.want)
		}
	}
}

func FuzzGemm(f *testing.F) {
	f.Add(uint8(3), uint8(5), uint8(7), uint8(2))
	f.Add(uint8(15), uint8(33), uint8(17), uint8(13))
	f.Fuzz(func(t *testing.T, m, n, k, mode uint8) {
		onEveryCPU(func(string) {
			newMatrices[float32](int(m)%80, int(n)%100, int(k), int(mode)%16, int(mode)%5).check(t, 1)
		})
	})
}

func TestRowsAsFarApartAsRowStrideSaysAreReadInPlace(t *testing.T) {
	for n := range 4200 {
		if s := RowStride(n); s <= n || s > n+32 || !(operand[float32]{ld: s}).readInPlace() {
			t.Errorf("rows of %d elements are %d apart", n, s)
		}
	}
}
