package kernel

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// attend is attention by its definition, in float64, and its gradients. All matrices are as wide as the heads.
func attend(s *Attention, q, k, v, dout []float64) (out, lse, dq, dk, dv []float64) {
	width := s.Heads * s.HeadDim
	out, lse = make([]float64, len(q)), make([]float64, len(q)/width*s.Heads)
	dq, dk, dv = make([]float64, len(q)), make([]float64, len(k)), make([]float64, len(v))
	for i, query := range s.Query {
		source := sourceOf(s, i)
		for r := range query.Len() {
			for h := range s.Heads {
				row := query.Start + r
				qr, or, dor := (row*s.Heads+h)*s.HeadDim, out[(row*s.Heads+h)*s.HeadDim:], dout[(row*s.Heads+h)*s.HeadDim:]
				m := newMask(s.DropoutP, s.Seed, h, row)
				var p, keep, dp []float64
				sum, mean := 0.0, 0.0
				for j := range source.Len() {
					if s.Causal && j > source.Len()-query.Len()+r {
						break
					}
					at := ((source.Start+j)*s.Heads + h) * s.HeadDim
					score, slope := 0.0, 0.0
					for e := range s.HeadDim {
						score += q[qr+e] * k[at+e] * s.Scale
						slope += dor[e] * v[at+e]
					}
					factor := 1.0
					if s.DropoutP > 0 {
						factor = 0
						if m.keeps(j) {
							factor = m.scale
						}
					}
					p, keep, dp = append(p, math.Exp(score)), append(keep, factor), append(dp, slope)
					sum += math.Exp(score)
				}
				lse[row*s.Heads+h] = math.Log(sum)
				for j := range p {
					p[j] /= sum
					mean += p[j] * keep[j] * dp[j]
				}
				for j := range p {
					at := ((source.Start+j)*s.Heads + h) * s.HeadDim
					ds := p[j] * (keep[j]*dp[j] - mean) * s.Scale
					for e := range s.HeadDim {
						or[e] += p[j] * keep[j] * v[at+e]
						dv[at+e] += p[j] * keep[j] * dor[e]
						dq[qr+e] += ds * k[at+e]
						dk[at+e] += ds * q[qr+e]
					}
				}
			}
		}
	}
	return out, lse, dq, dk, dv
}

func sourceOf(s *Attention, i int) Span {
	if s.SourceOf != nil {
		i = s.SourceOf[i]
	}
	return s.Source[i]
}

func rowsOf(spans []Span) int {
	n := 0
	for _, s := range spans {
		n = max(n, s.End)
	}
	return n
}

// attentionCases are attentions of many shapes, all with and without a causal mask and dropout.
func attentionCases() []*Attention {
	var all []*Attention
	for _, s := range []Attention{
		{Heads: 1, HeadDim: 1, Query: []Span{{0, 1}}, Source: []Span{{0, 1}}},
		{Heads: 2, HeadDim: 3, Query: []Span{{0, 2}, {2, 5}, {6, 7}}, Source: []Span{{1, 5}, {5, 9}}, SourceOf: []int{1, 0, 1}},
		{Heads: 3, HeadDim: 16, Query: []Span{{5, 22}, {0, 5}}, Source: []Span{{0, 17}, {17, 22}}},
		{Heads: 2, HeadDim: 33, Query: []Span{{0, 1}, {1, 2}, {2, 3}}, Source: []Span{{0, 40}}, SourceOf: []int{0, 0, 0}},
		{Heads: 1, HeadDim: 8, Query: []Span{{0, 0}, {0, 4}, {4, 6}}, Source: []Span{{0, 3}, {3, 3}, {3, 4}}}, // nothing to see, and more queries than keys
		{Heads: 1, HeadDim: 5, Query: []Span{{0, 230}}, Source: []Span{{0, 300}}},                             // several blocks
	} {
		for mode := range 4 {
			c := s
			c.Scale, c.Causal, c.Seed = 1/math.Sqrt(float64(s.HeadDim)), mode&1 != 0, 7
			if mode&2 != 0 {
				c.DropoutP = 0.3
			}
			all = append(all, &c)
		}
	}
	return all
}

func TestAttentionMatchesTheDefinition(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, s := range attentionCases() {
			testAttention[float32](t, s, 2e-5)
			if cpu == nil {
				testAttention[float64](t, s, 1e-12)
			}
		}
	})
}

func testAttention[T Float](t *testing.T, s *Attention, tolerance float64) {
	t.Helper()
	rng := newRand()
	width := s.Heads * s.HeadDim
	lq, lk := rowsOf(s.Query), rowsOf(s.Source)
	what := fmt.Sprintf("%+v", *s)

	// q, k and v are columns of one fused matrix, as are their gradients; the results have padding.
	ld := 3*width + 2
	fused, dfused := random[T](rng, max(lq, lk)*ld), random[T](rng, max(lq, lk)*ld)
	dout := random[T](rng, lq*width)
	columns := func(x []T, rows, from int) []float64 {
		var y []float64
		for i := range rows {
			for j := range width {
				y = append(y, float64(x[i*ld+from+j]))
			}
		}
		return y
	}
	wide := make([]float64, len(dout))
	for i, v := range dout {
		wide[i] = float64(v)
	}
	wantOut, wantLSE, dq, dk, dv := attend(s, columns(fused, lq, 0), columns(fused, lk, width), columns(fused, lk, 2*width), wide)

	out, lse := make([]T, lq*width), make([]T, lq*s.Heads)
	AttentionForward(s, out, width, fused, ld, fused[width:], ld, fused[2*width:], ld, lse)
	near(t, what+" out", out, wantOut, tolerance)
	again := make([]T, lq*width)
	AttentionForward(s, again, width, fused, ld, fused[width:], ld, fused[2*width:], ld, nil)
	same(t, what+" out without lse", again, out)
	for _, span := range s.Query {
		for i := span.Start * s.Heads; i < span.End*s.Heads; i++ {
			if float64(lse[i]) != wantLSE[i] {
				near(t, what+" lse", lse[i:i+1], wantLSE[i:i+1], tolerance)
			}
		}
	}

	want := clone(dfused)
	for i := range lq * width {
		want[i/width*ld+i%width] += T(dq[i])
	}
	for i := range lk * width {
		want[i/width*ld+width+i%width] += T(dk[i])
		want[i/width*ld+2*width+i%width] += T(dv[i])
	}
	wide = wide[:0]
	for _, v := range want {
		wide = append(wide, float64(v))
	}
	got := clone(dfused)
	AttentionBackward(s, got, ld, got[width:], ld, got[2*width:], ld, dout, width, out, width, fused, ld, fused[width:], ld, fused[2*width:], ld, lse)
	near(t, what+" gradients", got, wide, 3*tolerance)

	// One at a time, on several threads: the same bits.
	onThreads(func(int) {
		parts := clone(dfused)
		for i := range 3 {
			d := make([][]T, 3)
			d[i] = parts[i*width:]
			AttentionBackward(s, d[0], ld, d[1], ld, d[2], ld, dout, width, out, width, fused, ld, fused[width:], ld, fused[2*width:], ld, lse)
		}
		same(t, what+" gradients one at a time", parts, got)
		AttentionForward(s, again, width, fused, ld, fused[width:], ld, fused[2*width:], ld, nil)
		same(t, what+" out on threads", again, out)
	})
}

func TestAttentionGradientsMatchFiniteDifferences(t *testing.T) {
	rng := newRand()
	for _, causal := range []bool{false, true} {
		for _, dropout := range []float64{0, 0.3} {
			s := &Attention{Heads: 2, HeadDim: 3, Scale: 0.6, Causal: causal, DropoutP: dropout, Seed: 7,
				Query: []Span{{0, 2}, {2, 5}, {6, 7}}, Source: []Span{{1, 5}, {5, 9}}, SourceOf: []int{1, 0, 1}}
			q, k, v := random[float64](rng, 7*6), random[float64](rng, 9*6), random[float64](rng, 9*6)
			dout := random[float64](rng, 7*6)
			out, lse := make([]float64, 7*6), make([]float64, 7*2)
			f := func() float64 {
				AttentionForward(s, out, 6, q, 6, k, 6, v, 6, lse)
				return Dot(out, dout)
			}
			f()
			dq, dk, dv := make([]float64, 42), make([]float64, 54), make([]float64, 54)
			AttentionBackward(s, dq, 6, dk, 6, dv, 6, dout, 6, out, 6, q, 6, k, 6, v, 6, lse)
			near(t, "dq", dq, slopes(q, f), 1e-6)
			near(t, "dk", dk, slopes(k, f), 1e-6)
			near(t, "dv", dv, slopes(v, f), 1e-6)
		}
	}
}

func TestAttentionWithACacheHasTheBitsOfTheWhole(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, d := range []int{24, 64} {
			testCache(t, 61, 2, d)
		}
	})
}

func testCache(t *testing.T, n, heads, d int) {
	rng := newRand()
	q, k, v := random[float32](rng, n*heads*d), random[float32](rng, n*heads*d), random[float32](rng, n*heads*d)
	s := &Attention{Heads: heads, HeadDim: d, Scale: 0.2, Causal: true, Query: []Span{{0, n}}, Source: []Span{{0, n}}}
	whole := make([]float32, n*heads*d)
	AttentionForward(s, whole, heads*d, q, heads*d, k, heads*d, v, heads*d, nil)
	for lo := 0; lo < n; {
		hi := min(lo+1+lo%3, n)
		s.Query, s.Source = []Span{{lo, hi}}, []Span{{0, hi}}
		step := make([]float32, n*heads*d)
		AttentionForward(s, step, heads*d, q, heads*d, k, heads*d, v, heads*d, nil)
		same(t, fmt.Sprintf("rows %d to %d", lo, hi), step[lo*heads*d:hi*heads*d], whole[lo*heads*d:hi*heads*d])
		lo = hi
	}
}

func TestAttentionWeightsAreTheProbabilities(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, s := range attentionCases() {
			if s.DropoutP > 0 || rowsOf(s.Source) > 100 {
				continue
			}
			width := s.Heads * s.HeadDim
			q, k := random[float32](newRand(), rowsOf(s.Query)*width), random[float32](newRand(), rowsOf(s.Source)*width)
			for i, query := range s.Query {
				source := sourceOf(s, i)
				lq, lk := query.Len(), source.Len()
				w := make([]float32, s.Heads*lq*lk)
				for j := range w {
					w[j] = 42
				}
				AttentionWeights(s, w, i, q, width, k, width)
				// Against values that pick out one source row each.
				for j := range lk {
					one := Attention{Heads: s.Heads, HeadDim: s.HeadDim, Scale: s.Scale, Causal: s.Causal, Query: []Span{query}, Source: []Span{source}}
					v, out := make([]float32, len(k)), make([]float32, len(q))
					for e := range width {
						v[(source.Start+j)*width+e] = 1
					}
					AttentionForward(&one, out, width, q, width, k, width, v, width, nil)
					for h := range s.Heads {
						for r := range lq {
							near(t, "weight", w[(h*lq+r)*lk+j:][:1], []float64{float64(out[(query.Start+r)*width+h*s.HeadDim])}, 1e-6)
						}
					}
				}
			}
		}
	})
}

func TestDropoutDropsTheRightShareAndKeepsTheMean(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		const rows, n, p = 300, 197, 0.1
		masks := map[string]int{}
		total, dropped := 0.0, make([]int, n)
		for row := range rows {
			x := make([]float32, n)
			for i := range x {
				x[i] = 1
			}
			m := newMask(p, 5, row%3, row/3)
			drop(x, m)
			key := ""
			for i, v := range x {
				if (v != 0) != m.keeps(i) {
					t.Fatalf("row %d, element %d: %v, but the mask says %v", row, i, v, m.keeps(i))
				}
				if v == 0 {
					dropped[i]++
					key += fmt.Sprint(i, " ")
				}
				total += float64(v)
			}
			masks[key]++
		}
		if mean := total / (rows * n); math.Abs(mean-1) > 0.006 {
			t.Errorf("the mean of what was 1 is %v", mean)
		}
		if len(masks) != rows {
			t.Errorf("%d different masks for %d rows", len(masks), rows)
		}
		for i, c := range dropped {
			if c < 10 || c > 55 {
				t.Errorf("element %d is dropped in %d of %d rows at probability %v", i, c, rows, p)
			}
		}
		if newMask(p, 5, 1, 0) == newMask(p, 6, 1, 0) || newMask(p, 0, 1, 0) == newMask(p, 0, 0, 1) {
			t.Error("masks do not depend on the seed, the head and the row")
		}
	})
}

func TestAttentionPanicsWithTheSizesOfWhatDoesNotFit(t *testing.T) {
	x := make([]float32, 24)
	run := func(s Attention) func() {
		s.Heads, s.HeadDim = 2, 3
		return func() { AttentionForward(&s, x, 6, x, 6, x, 6, x, 6, nil) }
	}
	for _, c := range []struct {
		want string
		f    func()
	}{
		{"rows [0, 5) of span 0 are outside out, a slice of 24 with row stride 6", run(Attention{Query: []Span{{0, 5}}, Source: []Span{{0, 4}}})},
		{"rows [3, 2) of span 0 are outside k", run(Attention{Query: []Span{{0, 1}}, Source: []Span{{3, 2}}})},
		{"query sequence 0 looks at source 1 of 1", run(Attention{Query: []Span{{0, 1}}, Source: []Span{{0, 2}}, SourceOf: []int{1}})},
		{"2 query sequences but 1 sources", run(Attention{Query: []Span{{0, 1}, {1, 2}}, Source: []Span{{0, 2}}})},
		{"0 heads × 3", func() { AttentionForward(&Attention{HeadDim: 3}, x, 6, x, 6, x, 6, x, 6, nil) }},
		{"DropoutP is 1, want [0, 1)", run(Attention{DropoutP: 1})},
		{"v has row stride 5, want at least 2 heads × 3", func() {
			AttentionForward(&Attention{Heads: 2, HeadDim: 3}, x, 6, x, 6, x, 6, x, 5, nil)
		}},
		{"lse has 3 elements, want 4", func() {
			s := &Attention{Heads: 2, HeadDim: 3, Query: []Span{{0, 2}}, Source: []Span{{0, 2}}}
			AttentionForward(s, x, 6, x, 6, x, 6, x, 6, x[:3])
		}},
	} {
		if got := panics(c.f); !strings.Contains(got, c.want) {
			t.Errorf("got panic %q, want %q", got, c.want)
		}
	}
}

// The same keys and values, each row where it stood before and in a place of its own among others, give the same bits.
func TestScatteredSourceRowsGiveTheSameBits(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, s := range attentionCases() {
			testScattered[float32](t, s)
			testScattered[float64](t, s)
		}
	})
}

func TestPackedKeysGiveTheSameBits(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, s := range attentionCases() {
			testPackedKeys[float32](t, s)
			testPackedKeys[float64](t, s)
		}
	})
}

func testPackedKeys[T Float](t *testing.T, s *Attention) {
	t.Helper()
	if s.Causal {
		return
	}
	width := s.Heads * s.HeadDim
	q, kv := random[T](newRand(), rowsOf(s.Query)*width), random[T](newRand(), 2*rowsOf(s.Source)*width)
	want, got := make([]T, len(q)), make([]T, len(q))
	AttentionForward(s, want, width, q, width, kv, 2*width, kv[width:], 2*width, nil)
	packed := clone(kv)
	keys := PackAttentionKeys(s, packed, 2*width, packed[width:], 2*width)
	clear(packed) // it is not read again
	keys.Forward(s, got, width, q, width)
	same(t, fmt.Sprintf("%+v", *s), got, want)
	used := Borrow[float32](len(keys.memory)) // not that of the keys
	for i := range used {
		used[i] = float32(math.NaN())
	}
	keys.Forward(s, got, width, q, width)
	same(t, fmt.Sprintf("again, %+v", *s), got, want)
	GiveBack(used)

	if _, ok := any(kv).([]float32); ok {
		halves := *s
		halves.BFloat16 = true
		rounded := clone(kv)
		for i, v := range rounded {
			rounded[i] = T(roundBFloat16(float32(v)))
		}
		AttentionForward(s, want, width, q, width, rounded, 2*width, rounded[width:], 2*width, nil)
		keys := PackAttentionKeys(&halves, kv, 2*width, kv[width:], 2*width)
		keys.Forward(s, got, width, q, width)
		keys.Release()
		same(t, fmt.Sprintf("in bfloat16, %+v", *s), got, want)
	}

	other := *s
	other.Source = slices.Clone(s.Source)
	other.Source[0].End--
	for what, s := range map[string]*Attention{"a source that is shorter": &other, "a causal mask": {Heads: s.Heads, HeadDim: s.HeadDim, Query: s.Query, Source: s.Source, SourceOf: s.SourceOf, Causal: true}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			keys.Forward(s, got, width, q, width)
		}()
	}
}

func testScattered[T Float](t *testing.T, s *Attention) {
	t.Helper()
	rng := newRand()
	width := s.Heads * s.HeadDim
	lq, lk := rowsOf(s.Query), rowsOf(s.Source)
	random := func(n int) []T {
		x := make([]T, n)
		for i := range x {
			x[i] = T(rng.NormFloat64())
		}
		return x
	}
	q, k, v := random(lq*width), random(lk*width), random(lk*width)
	const ld = 2 // times width: keys and values side by side
	scattered := *s
	places := rng.Perm(3 * lk)
	kv := random(3 * lk * ld * width)
	for r := range lk {
		scattered.SourceRows = append(scattered.SourceRows, places[r])
		copy(kv[places[r]*ld*width:], k[r*width:(r+1)*width])
		copy(kv[(places[r]*ld+1)*width:], v[r*width:(r+1)*width])
	}
	want, got := make([]T, lq*width), make([]T, lq*width)
	AttentionForward(s, want, width, q, width, k, width, v, width, nil)
	AttentionForward(&scattered, got, width, q, width, kv, ld*width, kv[width:], ld*width, nil)
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%+v: element %d is %v, want %v", *s, i, got[i], want[i])
		}
	}
	for i, query := range s.Query {
		n := s.Heads * query.Len() * sourceOf(s, i).Len()
		a, b := make([]T, n), make([]T, n)
		AttentionWeights(s, a, i, q, width, k, width)
		AttentionWeights(&scattered, b, i, q, width, kv, ld*width)
		for j := range a {
			if a[j] != b[j] {
				t.Fatalf("%+v: weight %d of sequence %d is %v, want %v", *s, j, i, b[j], a[j])
			}
		}
	}
	for what, f := range map[string]func(){
		"a row outside k": func() { scattered.SourceRows[0] = 3 * lk; AttentionWeights(&scattered, nil, 0, q, width, kv, ld*width) },
		"a negative row":  func() { scattered.SourceRows[0] = -1; AttentionWeights(&scattered, nil, 0, q, width, kv, ld*width) },
		"too few rows": func() {
			scattered.SourceRows = scattered.SourceRows[:0:0]
			AttentionForward(&scattered, got, width, q, width, k, width, v, width, nil)
		},
		"a gradient": func() {
			AttentionBackward(&scattered, nil, 0, nil, 0, nil, 0, got, width, got, width, q, width, k, width, v, width, nil)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}

func TestAttentionInBFloat16IsNearTheDefinition(t *testing.T) {
	testOnEveryCPU(t, func(t *testing.T) {
		rng := newRand()
		s := &Attention{Heads: 2, HeadDim: 16, Scale: 0.25, Query: []Span{{0, 300}}, Source: []Span{{0, 300}}, BFloat16: true}
		const width = 32
		q, k, v := random[float64](rng, 300*width), random[float64](rng, 300*width), random[float64](rng, 300*width)
		want, _, _, _, _ := attend(s, q, k, v, make([]float64, len(q)))
		out := make([]float32, len(q))
		AttentionForward(s, out, width, to[float32](q), width, to[float32](k), width, to[float32](v), width, nil)
		near(t, "out", out, want, 0.02)
	})
}
