package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"
)

// stored are the elements of x, k×n, as the format holds them.
func stored(format HeldFormat, x []float32, k, n int) []float32 {
	y := clone(x)
	steps := max(1, k) // of which the largest element counts
	if groupedFormats[format].unit > 0 {
		steps = groupSteps
	}
	for i := range y {
		j, first := i%n, i/n/steps*steps
		top := float32(0)
		for p := first; p < min(first+steps, k); p++ {
			top = max(top, float32(math.Abs(float64(x[p*n+j]))))
		}
		switch v := &y[i]; {
		case format == HeldBFloat16:
			*v = roundBFloat16(*v)
		case format == HeldInt24 && top > 0:
			step := math.Ldexp(1, math.Ilogb(float64(top))-22)
			*v = float32(max(-int24Most, min(math.RoundToEven(float64(*v)/step), int24Most)) * step)
		case format == HeldBFloat12 && top > 0:
			*v = nearestBFloat12(*v, top)
		case format == HeldInt8 && top > 0:
			*v = float32(math.RoundToEven(float64(*v*(127/top)))) * (top / 127)
		}
	}
	return y
}

// products are A·B of x, for B in place of its own, in the order in which what is held adds them up.
func (x *matrices[T]) products(format HeldFormat, b []T) []T {
	if groupedFormats[format].unit == 0 {
		c := make([]T, x.m*x.n)
		GemmFew(false, false, x.m, x.n, x.k, x.a, x.k, b, x.n, c, x.n, false, nil)
		return c
	}
	all, part := make([]T, x.m*x.n), make([]T, x.m*x.n)
	for first := 0; first < x.k && x.m*x.n > 0; first += groupSteps {
		GemmFew(false, false, x.m, x.n, min(groupSteps, x.k-first), x.a[first:], x.k, b[first*x.n:], x.n, part, x.n, false, nil)
		for i, v := range part {
			all[i] += v
		}
	}
	return all
}

// rounded are the rows of A as they take part in products with int8.
func rounded(a []float32, m, k int) []float64 {
	y := make([]float64, m*k)
	for i := range m {
		row, top := a[i*k:(i+1)*k], float32(0)
		for _, v := range row {
			top = max(top, float32(math.Abs(float64(v))))
		}
		for p, v := range row {
			y[i*k+p] = math.RoundToEven(float64(v*(int8Digits/top))) * float64(top/int8Digits)
		}
	}
	return y
}

func TestHeldProductsAreThoseOfTheStoredElements(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for format := range heldFormats {
			for _, shape := range [][3]int{{1, 1, 1}, {1, 32, 8}, {2, 33, 7}, {3, 100, 61}, {8, 64, 4}, {15, 31, 130}, {29, 7, 5}, {4, 5, 0}, {0, 5, 4}} {
				m, n, k := shape[0], shape[1], shape[2]
				x := newMatrices[float32](m, n, k, 0, 0)
				transposed := make([]float32, n*k)
				for p := range k {
					for j := range n {
						transposed[j*k+p] = x.b[p*n+j]
					}
				}
				b := stored(format, x.b, k, n)
				want, got, again := x.products(format, b), make([]float32, m*n+3*m), make([]float32, m*n)
				e := &Epilogue[float32]{Bias: x.bias, Activation: GELU}
				for i := range m {
					biasActivate(GELU, want[i*n:(i+1)*n], want[i*n:(i+1)*n], x.bias, nil)
				}
				exact := make([]float64, m*n) // for int8, whose sums are
				GemmFew(false, false, m, n, k, rounded(x.a, m, k), k, double(b), n, exact, n, false, &Epilogue[float64]{Bias: double(x.bias), Activation: GELU})
				h := Hold(format, false, k, n, x.b, n)
				h.Multiply(m, x.a, k, got, n+3, e)
				what := fmt.Sprintf("format %d, %s", format, x.shape())
				for i := range m {
					row := got[i*(n+3):][:n]
					if format == HeldInt8 {
						near(t, what, row, exact[i*n:(i+1)*n], 1e-6)
					} else if cpu != nil {
						same(t, what, row, want[i*n:(i+1)*n])
					} else {
						near(t, what, row, double(want[i*n:(i+1)*n]), 1e-6)
					}
				}
				Hold(format, true, k, n, transposed, max(1, k)).Multiply(m, x.a, k, again, n, e)
				for i := range m {
					same(t, what+" of the transpose", again[i*n:(i+1)*n], got[i*(n+3):][:n])
				}
				column := make([]float32, k)
				for j := range n {
					h.Column(column, j)
					for p, v := range column {
						near(t, what+" column", []float32{v}, []float64{float64(b[p*n+j])}, 1e-7)
					}
				}
			}
		}
	})
}

func TestHeldProductsDoNotDependOnThreadsNorOnOtherRows(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for format := range heldFormats {
			const m, n, k = 23, 300, 200
			x := newMatrices[float32](m, n, k, 0, 0)
			h := Hold(format, false, k, n, x.b, n)
			want := make([]float32, m*n)
			h.Multiply(m, x.a, k, want, n, nil)
			onThreads(func(threads int) {
				got := make([]float32, m*n)
				h.Multiply(m, x.a, k, got, n, nil)
				same(t, fmt.Sprintf("%d threads", threads), got, want)
			})
			for i := range m {
				for rows := 1; rows <= min(9, m-i); rows++ {
					got := make([]float32, rows*n)
					h.Multiply(rows, x.a[i*k:], k, got, n, nil)
					same(t, fmt.Sprintf("%d rows from %d", rows, i), got, want[i*n:(i+rows)*n])
				}
			}
		}
	})
}

func TestProductsOfInt8HaveTheSameBitsOnEveryCPU(t *testing.T) {
	const m, n, k = 7, 100, 3075
	x := newMatrices[float32](m, n, k, 0, 0)
	for i := range x.b {
		x.b[i] = float32(math.Copysign(1, float64(x.b[i])))
	}
	for p := range k { // the largest sums there are, and the smallest
		x.b[p*n], x.b[p*n+1] = 1, -1
	}
	for i := range k {
		x.a[i] = 3e38
		x.a[k+i] = -3e-29
		x.a[2*k+i] = 1e-40
	}
	h := Hold(HeldInt8, false, k, n, x.b, n)
	want := make([]float32, m*n)
	onEveryCPU(func(name string) {
		got := make([]float32, m*n)
		h.Multiply(m, x.a, k, got, n, nil)
		if want[0] == 0 {
			want = got
		}
		same(t, name, got, want)
	})
	exact := make([]float64, m*n)
	GemmFew(false, false, m, n, k, rounded(x.a, m, k), k, double(x.b), n, exact, n, false, nil)
	near(t, "ordinary rows", want[3*n:], exact[3*n:], 1e-6)
	for j, v := range want[2*n : 3*n] {
		if v != 0 {
			t.Fatalf("a row of 1e-40 gives %v in column %d", v, j)
		}
	}
}

func TestInt8MakesAllOfARowNaNWhereOneElementIsNotFinite(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		x := newMatrices[float32](3, 40, 50, 0, 0)
		x.a[7], x.a[2*50+49] = float32(math.NaN()), float32(math.Inf(-1))
		Hold(HeldInt8, false, 50, 40, x.b, 40).Multiply(3, x.a, 50, x.c, 40, nil)
		for i, v := range x.c[:3*40] {
			if nan := v != v; nan != (i/40 != 1) {
				t.Fatalf("row %d, column %d is %v", i/40, i%40, v)
			}
		}
	})
}

func TestPanelsOfBFloat16HaveTheSameBitsOnEveryCPU(t *testing.T) {
	x := random[float32](newRand(), 100*heldCols)
	for i, bits := range []uint32{0, 1 << 31, 0x7f800000, 0xff800000, 0x7f800001, 0xffc00000, 0x7fffffff, 0x7f7fffff, 0xff7fffff,
		0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0xbf818000, 1, 0x8000, 0x18000, 0x80008001} {
		x[5*i] = math.Float32frombits(bits)
	}
	var want []byte
	onEveryCPU(func(name string) {
		got := Hold(HeldBFloat16, false, 100, heldCols, x, heldCols).data
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: other bits", name)
		}
	})
	h := &Held{k: 100, n: heldCols, format: HeldBFloat16}
	for i, v := range h.floats(make([]float32, len(x)), want) {
		if r := roundBFloat16(x[i]); math.Float32bits(v) != math.Float32bits(r) {
			t.Errorf("%x is held as %x, want %x", math.Float32bits(x[i]), math.Float32bits(v), math.Float32bits(r))
		}
	}
}

func TestHeldProductsPropagateNaNAndInfinity(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, format := range []HeldFormat{HeldFloat32, HeldBFloat16, HeldInt24, HeldBFloat12} {
			x := newMatrices[float32](3, 40, 50, 0, 0)
			x.a[7], x.b[3*40+39] = float32(math.NaN()), float32(math.Inf(1))
			Hold(format, false, 50, 40, x.b, 40).Multiply(3, x.a, 50, x.c, 40, nil)
			for i := range 3 {
				for j, v := range x.c[i*40 : i*40+40] {
					if nan := v != v; nan != (i == 0) || !nan && math.IsInf(float64(v), 0) != (j == 39) {
						t.Fatalf("format %d: C[%d, %d] is %v", format, i, j, v)
					}
				}
			}
		}
	})
}

// Weights are rounded to the same bytes on every machine, ties to even.
func TestWeightsAreRoundedAlikeOnEveryCPU(t *testing.T) {
	rng := newRand()
	for k := range 30 {
		x := random[float32](rng, k*heldCols)
		for i := range x {
			switch j := i % heldCols; {
			case j%5 == 0:
				x[i] = float32(int(100*x[i])) / 2 // halves
			case j%7 == 0:
				x[i] = 0
			case j%11 == 0:
				x[i] *= 1e-36
			}
		}
		if k > 3 {
			for j := 0; j < heldCols; j += 5 {
				x[j] = -127
			}
		}
		var first []byte
		onEveryCPU(func(name string) {
			h := Hold(HeldInt8, false, k, heldCols, x, heldCols)
			for p := range k {
				for j := range heldCols {
					step := float64(h.scale[j])
					if off := float64(x[p*heldCols+j]) - float64(int(h.data[int8At(p, j)])-int8Zero)*step; math.Abs(off) > 0.5001*step+1e-33 {
						t.Errorf("%s: k %d: weight %d of column %d is off by %v steps", name, k, p, j, off/step)
					}
				}
			}
			bytes := slices.Clone(h.data)
			for _, scale := range h.scale {
				bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(scale))
			}
			if first == nil {
				first = bytes
			}
			if !slices.Equal(bytes, first) {
				t.Errorf("%s: k %d: other bytes", name, k)
			}
		})
	}
}

// What is fetched for a goroutine is the panels of its share, one after the other, and then those of its share of the next matrix.
func TestAGoroutineFetchesWhatItWillReadNext(t *testing.T) {
	onThreads(func(threads int) {
		for _, n := range []int{1, 2, 3, 7, 40} {
			for _, after := range []int{0, 1, 2, 5, 40} {
				h, next := newHeld(HeldFloat32, 64, n*heldCols), newHeld(HeldFloat32, 96, after*heldCols)
				for worker := range min(threads, n) {
					own := shareOf(worker, min(threads, n), n)
					for early := 1; early < 4; early++ {
						r := reader{h: h, own: own, early: early, after: next.share(worker)}
						for p := own.lo; p < own.hi; p++ {
							following := p + 1
							if following == own.hi {
								following = -1
							}
							ahead := r.ahead(p, following)
							at := uintptr(unsafe.Pointer(&h.panel(p)[0])) + uintptr(ahead)
							want := at // nothing
							switch at := (p + early - own.hi) * h.panelBytes(); {
							case at < 0:
								want = uintptr(unsafe.Pointer(&h.panel(p + early)[0]))
							case at < len(r.after):
								want = uintptr(unsafe.Pointer(&r.after[at]))
							}
							if at != want {
								t.Fatalf("%d threads, %d panels, then %d, worker %d, %d early: panel %d fetches %d ahead", threads, n, after, worker, early, p, ahead)
							}
						}
						if other := own.hi % n; other < own.lo && r.ahead(other, -1) != 0 {
							t.Fatalf("%d threads, %d panels: worker %d fetches beside another's panel", threads, n, worker)
						}
					}
				}
			}
		}
	})
}

func TestProductsOfMatricesThatFollowOneAnotherHaveTheSameBits(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for format := range heldFormats {
			var all []*Held
			var want [][]float32
			const m, k = 3, 200
			for _, n := range []int{1000, 40, 3000, 96, 320} {
				x := newMatrices[float32](m, n, k, 0, 0)
				all, want = append(all, Hold(format, false, k, n, x.b, n)), append(want, make([]float32, m*n))
				all[len(all)-1].Multiply(m, x.b, k, want[len(all)-1], n, nil)
			}
			for i, h := range all {
				h.Precede(all[(i+1)%len(all)])
			}
			onThreads(func(threads int) {
				for range 10 {
					for i, h := range all {
						x, c := newMatrices[float32](m, h.n, k, 0, 0), make([]float32, m*h.n)
						h.Multiply(m, x.b, k, c, h.n, nil)
						if !slices.Equal(c, want[i]) {
							t.Fatalf("format %d, %d threads: product %d has other bits", format, threads, i)
						}
					}
				}
			})
		}
	})
}

func FuzzHeld(f *testing.F) {
	f.Add(uint8(3), uint8(33), uint8(17), uint8(1))
	f.Fuzz(func(t *testing.T, m8, n8, k8, format uint8) {
		m, n, k := int(m8)%20, int(n8)%90, int(k8)
		x := newMatrices[float32](m, n, k, 0, 0)
		h := Hold(HeldFormat(format)%heldFormats, false, k, n, x.b, max(1, n))
		var first []float32
		onEveryCPU(func(name string) {
			c := make([]float32, m*n)
			h.Multiply(m, x.a, k, c, n, nil)
			if first == nil {
				first = c
			}
			near(t, name, c, double(first), 1e-6+1.5e-7*float64(k))
		})
	})
}

// BenchmarkHeld is decoding's products one after the other, as many matrices as distilGPT2 has, so that they come from memory.
func BenchmarkHeld(b *testing.B) {
	shapes := [][2]int{{768, 2304}, {768, 768}, {768, 768}, {768, 768}, {768, 3072}, {3072, 768}}
	for format := range heldFormats {
		var all []*Held
		bytes := 0
		hold := func(k, n int) {
			x := make([]float32, k*n)
			for i := range x {
				x[i] = float32(i%5) - 2
			}
			h := Hold(format, false, k, n, x, n)
			all, bytes = append(all, h), bytes+h.Bytes()
		}
		for range 6 {
			for _, s := range shapes {
				hold(s[0], s[1])
			}
		}
		hold(768, 50257)
		x, y := make([]float32, 8*3072), make([]float32, 8*50257)
		for _, m := range []int{1, 4, 8} {
			for threads := 1; threads <= 2; threads++ {
				b.Run(fmt.Sprintf("format=%d/rows=%d/threads=%d", format, m, threads), func(b *testing.B) {
					SetThreads(threads)
					defer SetThreads(0)
					for b.Loop() {
						for _, h := range all {
							h.Multiply(m, x, h.k, y, h.n, nil)
						}
					}
					b.ReportMetric(float64(bytes)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GB/s")
				})
			}
		}
	}
}

func TestAnInt8CopyIsOfTheElementsAsTheyAreHeld(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, shape := range [][2]int{{1, 1}, {32, 8}, {33, 7}, {100, 61}, {64, 4}, {31, 130}, {5, 0}} {
			n, k := shape[0], shape[1]
			x := newMatrices[float32](1, n, k, 0, 0).b
			for format := range heldFormats {
				elements := x
				if format != HeldInt8 {
					elements = stored(format, x, k, n)
				}
				got, want := Hold(format, false, k, n, x, n).Int8(), Hold(HeldInt8, false, k, n, elements, n)
				if !bytes.Equal(got.data, want.data) || !slices.Equal(got.scale, want.scale) {
					t.Errorf("%d×%d held as %d: another matrix than the elements in int8", k, n, format)
				}
			}
		}
	})
}
