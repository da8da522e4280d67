package kernel

import (
	"fmt"
	"math"
	"testing"
	"unsafe"
)

// inInt16 reports whether products of bfloat16 are made of int16.
func inInt16() bool { return cpu != nil && cpu.tiles != nil && cpu.tiles.scaled != nil }

// testInInt16 runs a test where they are.
func testInInt16(t *testing.T, f func(t *testing.T)) {
	testOnEveryCPU(t, func(t *testing.T) {
		if inInt16() {
			f(t)
		}
	})
}

// int16Limits are the largest errors of the elements of C, but for those of float32: k numbers of either side are off by up to a 32750th
// of the norm of their lane.
func (x *matrices[T]) int16Limits() []float64 {
	norms := func(n int, at func(lane, p int) T) []float64 {
		sums := make([]float64, n)
		for lane := range sums {
			for p := range x.k {
				sums[lane] += math.Pow(float64(at(lane, p)), 2)
			}
			sums[lane] = math.Sqrt(sums[lane])
		}
		return sums
	}
	a := norms(x.m, func(i, p int) T { return x.a[at(i, p, x.lda, x.transA)] })
	b := norms(x.n, func(j, p int) T { return x.b[at(p, j, x.ldb, x.transB)] })
	var limits []float64
	for i := range x.m {
		for j := range x.n {
			limits = append(limits, 2.002*math.Sqrt(float64(x.k))*a[i]*b[j]/int16Norm)
		}
	}
	return limits
}

func TestAProductInInt16IsAsExactAsOneInBFloat16(t *testing.T) {
	testInInt16(t, func(t *testing.T) {
		const m, n, k = 64, 96, 3072
		for _, c := range []struct {
			name  string
			share float64 // of the integers' error in that of bfloat16, at most
			size  func(lane, p int) float64
		}{
			{"all of one size", 0.3, func(_, p int) float64 { return 1 }},
			{"one in 200 is 30 times as large", 0.35, func(_, p int) float64 { return []float64{1, 30}[divide(1, 1+p*7919%200)] }},
			{"one in 200 is 100 times as large", 0.35, func(_, p int) float64 { return []float64{1, 100}[divide(1, 1+p*7919%200)] }},
			{"one in 768 is 1000 times as large", 0.35, func(_, p int) float64 { return []float64{1, 1000}[divide(1, 1+p%768)] }},
			{"sizes over 10 bits", 0.4, func(lane, p int) float64 { return math.Exp2(float64((lane*31+p*7919)%1024)/102.4 - 5) }},
		} {
			x := newMatrices[float32](m, n, k, 0, 0)
			for i := range x.a {
				x.a[i] *= float32(c.size(i/k, i%k))
			}
			rounded := *x
			rounded.a, rounded.b = clone(x.a), clone(x.b)
			for _, v := range [][]float32{rounded.a, rounded.b} {
				for i := range v {
					v[i] = roundBFloat16(v[i])
				}
			}
			GemmBFloat16(false, false, m, n, k, x.a, k, x.b, n, x.c, n, false, nil)
			var integers, bfloats, size float64
			for i := range m {
				for j := range n {
					want := multiply(false, false, m, n, k, x.a, k, x.b, n, i, j)
					integers += math.Pow(float64(x.c[i*n+j])-want, 2)
					bfloats += math.Pow(multiply(false, false, m, n, k, rounded.a, k, rounded.b, n, i, j)-want, 2)
					size += want * want
				}
			}
			integers, bfloats = math.Sqrt(integers/size), math.Sqrt(bfloats/size)
			t.Logf("%s: the error is %.2g, of bfloat16 %.2g", c.name, integers, bfloats)
			if integers > c.share*bfloats {
				t.Errorf("%s: the error is %.2g, more than %.2g times that of bfloat16, %.2g", c.name, integers, c.share, bfloats)
			}
		}
	})
}

// numbers are the integers of a tile's lane and its scale.
func numbers(p panelSet, tile, lane int, right bool) (x []int16, scale float32) {
	first := p.tile(tile)
	for step := range p.deep {
		for i := range roundStep {
			row, column := lane, i%16
			if right {
				row, column = column, row
			}
			x = append(x, *(*int16)(unsafe.Pointer(ahead(first, step*p.stride+64*row+4*column+2*(i/16)))))
		}
	}
	return x, floats(ahead(first, -int16Scales))[lane]
}

func TestNumbersOfALaneBecomeIntegersOfItsNorm(t *testing.T) {
	testInInt16(t, func(t *testing.T) {
		rng := newRand()
		for _, k := range []int{1, 5, 31, 32, 33, 64, 197, 256, 768} {
			for _, lanes := range []int{1, 16, 37, 200} {
				for mode := range 4 {
					side, right := mode&1 > 0, mode&2 > 0
					rows, cols := lanes, k
					if side {
						rows, cols = k, lanes
					}
					ld := cols + 3
					x := random[float32](rng, (rows-1)*ld+cols)
					if k > 1 {
						x[0] = 50 // and lanes of extremes, after which come others
						for i, v := range []float32{0, 1e-39, 1e-33, 1e-20, 1e20, 3e38, float32(math.Inf(1)), float32(math.NaN())} {
							if lane := i + 3; lane < lanes {
								for p := range k {
									x[at(lane, p, ld, side)] = v
								}
							}
						}
					}
					p := int16Panels.newPanels(lanes, k)
					s := borrowRounder()
					s.cut(p, right, operand[float32]{x, ld, side}, span{0, lanes}, span{0, k})
					for lane := range lanes {
						got, scale := numbers(p, lane/16, lane%16, right)
						sum := 0.0
						for i := range k {
							sum += math.Pow(float64(x[at(lane, i, ld, side)]), 2)
						}
						norm, whole := math.Sqrt(sum), 0
						switch {
						case math.IsInf(norm, 0) || norm != norm:
							if scale == scale {
								t.Fatalf("the scale of a lane that is not finite is %g", scale)
							}
							continue
						case norm < 1.2e-34:
							norm = 0
						}
						if s := norm / float64(scale) / int16Norm; norm > 0 && !(0.49999 < s && s < 1.00001) || norm == 0 && scale != 0 {
							t.Fatalf("k %d, lanes %d, mode %d: the scale of lane %d is %g, its norm %g", k, lanes, mode, lane, scale, norm)
						}
						for i, q := range got {
							whole += int(q) * int(q)
							want := 0.0
							if i < k && norm > 0 {
								want = math.RoundToEven(float64(x[at(lane, i, ld, side)]) / float64(scale))
							}
							if float64(q) != want {
								t.Fatalf("k %d, lanes %d, mode %d: number %d of lane %d is %d, want %g", k, lanes, mode, i, lane, q, want)
							}
						}
						if whole >= 1<<31 {
							t.Fatalf("the sum of squares of lane %d is %d", lane, whole)
						}
					}
					p.back()
					rounders.Put(s)
				}
			}
		}
	})
}

// Sums are exact, so C has the bits of the definition.
func TestSumsOfInt16AreThoseOfTheDefinition(t *testing.T) {
	testInInt16(t, func(t *testing.T) {
		rng := newRand()
		for _, k := range []int{32, 64, 768} {
			for _, rows := range []int{8, 16, 24, 32, 40, 64, 200} {
				cut := func(lanes int, right bool) panelSet {
					x := random[float32](rng, lanes*k)
					p := int16Panels.newPanels(lanes, k)
					s := borrowRounder()
					defer rounders.Put(s)
					s.cut(p, right, operand[float32]{x, k, false}, span{0, lanes}, span{0, k})
					return p
				}
				a, b := cut(rows, false), cut(roundLanes, true)
				const ldc = roundLanes + 5
				for _, accumulate := range []bool{false, true} {
					got := random[float32](rng, rows*ldc)
					want := clone(got)
					cpu.tiles.tilePanels(a.tile(0), b.tile(0), a.deep, &got[0], ldc, rows, accumulate, b.tile(0), a.pairs)
					for i := range rows {
						x, left := numbers(a, i/16, i%16, false)
						for j := range roundLanes {
							y, right := numbers(b, j/16, j%16, true)
							sum := 0
							for p := range x {
								sum += int(x[p]) * int(y[p])
							}
							c := &want[i*ldc+j]
							if !accumulate {
								*c = 0
							}
							*c = float32(math.FMA(float64(float32(sum)*right), float64(left), float64(*c)))
						}
					}
					same(t, fmt.Sprintf("k %d, %d rows, accumulate %v: C", k, rows, accumulate), got, want)
				}
				a.back()
				b.back()
			}
		}
	})
}

func TestProductsOfBFloat16OfWhatIsNotFiniteAreNotFinite(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const m, n, k = 40, 50, 300
		x := newMatrices[float32](m, n, k, 0, 0)
		want := make([]float32, m*n)
		GemmBFloat16(false, false, m, n, k, x.a, k, x.b, n, want, n, false, nil)
		x.a[3*k+7], x.a[5*k], x.b[9] = float32(math.NaN()), float32(math.Inf(-1)), float32(math.Inf(1))
		GemmBFloat16(false, false, m, n, k, x.a, k, x.b, n, x.c, n, false, nil)
		for i := range m {
			for j := range n {
				got := x.c[i*n+j]
				if finite := got-got == 0; finite == (i == 3 || i == 5 || j == 9) || finite && got != want[i*n+j] {
					t.Fatalf("C[%d, %d] is %g, and %g of finite numbers", i, j, got, want[i*n+j])
				}
			}
		}
	})
}
