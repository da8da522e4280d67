package kernel

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// projectedCase is a ProjectedAttention and its operands.
type projectedCase struct {
	s              *ProjectedAttention
	q, x, w, b, dy []float64
}

func newProjectedCase(dropout float64, bias bool, lengths ...int) projectedCase {
	const heads, d, dim = 3, 5, 7
	s := &ProjectedAttention{Dim: dim, Attention: Attention{Heads: heads, HeadDim: d, Scale: 0.4, DropoutP: dropout, Seed: 9,
		Query: []Span{{1, 3}, {3, 4}, {6, 9}, {9, 9}}, SourceOf: []int{1, 0, 1, 0}}}
	rows := 0
	for _, n := range lengths {
		s.Source = append(s.Source, Span{rows, rows + n})
		rows += n
	}
	rng := newRand()
	c := projectedCase{s: s, q: random[float64](rng, 10*heads*d), x: random[float64](rng, rows*dim), w: random[float64](rng, dim*2*heads*d), dy: random[float64](rng, 10*heads*d)}
	if bias {
		c.b = random[float64](rng, 2*heads*d)
	}
	return c
}

// attend projects the source and attends to it by the definition, and brings the gradients back through the projection.
func (c projectedCase) attend() (out, dq, dx, dw, db []float64) {
	s, width := c.s, c.s.Heads*c.s.HeadDim
	rows := len(c.x) / s.Dim
	kv := [2][]float64{make([]float64, rows*width), make([]float64, rows*width)}
	for part := range 2 {
		for r := range rows {
			for j := range width {
				if c.b != nil {
					kv[part][r*width+j] = c.b[part*width+j]
				}
				for e := range s.Dim {
					kv[part][r*width+j] += c.x[r*s.Dim+e] * c.w[e*2*width+part*width+j]
				}
			}
		}
	}
	out, _, dq, dk, dv := attend(&s.Attention, c.q, kv[0], kv[1], c.dy)
	dx, dw, db = make([]float64, len(c.x)), make([]float64, len(c.w)), make([]float64, 2*width)
	for part, g := range [][]float64{dk, dv} {
		for r := range rows {
			for j := range width {
				db[part*width+j] += g[r*width+j]
				for e := range s.Dim {
					dx[r*s.Dim+e] += g[r*width+j] * c.w[e*2*width+part*width+j]
					dw[e*2*width+part*width+j] += g[r*width+j] * c.x[r*s.Dim+e]
				}
			}
		}
	}
	return out, dq, dx, dw, db
}

func checkProjected[T Float](t *testing.T, c projectedCase, tolerance float64) {
	t.Helper()
	width := c.s.Heads * c.s.HeadDim
	out, dq, dx, dw, db := c.attend()
	q, x, w, b, dy := to[T](c.q), to[T](c.x), to[T](c.w), to[T](c.b), to[T](c.dy)
	y := make([]T, len(out))
	p := ProjectedAttentionForward(c.s, y, width, q, width, x, c.s.Dim, w, b)
	near(t, "out", y, out, tolerance)
	gq, gx, gw, gb := make([]T, len(dq)), make([]T, len(dx)), make([]T, len(dw)), make([]T, len(db))
	if b == nil {
		gb = nil
	}
	for i := range gw {
		gw[i] = 9 // it is set
	}
	p.Backward(gq, width, gx, c.s.Dim, gw, gb, dy, width)
	near(t, "dq", gq, dq, tolerance)
	near(t, "dx", gx, dx, tolerance)
	near(t, "dw", gw, dw, tolerance)
	if b != nil {
		near(t, "db", gb, db, tolerance)
	}
}

func to[T Float](x []float64) []T {
	if x == nil {
		return nil
	}
	y := make([]T, len(x))
	for i, v := range x {
		y[i] = T(v)
	}
	return y
}

func TestProjectedAttentionMatchesTheDefinition(t *testing.T) {
	for _, dropout := range []float64{0, 0.3} {
		for _, bias := range []bool{true, false} {
			for _, lengths := range [][]int{{4, 6}, {1, 1}, {30, 19}, {17, 0}} {
				c := newProjectedCase(dropout, bias, lengths...)
				if lengths[1] == 0 {
					c.s.SourceOf = []int{0, 0, 0, 1}
				}
				t.Run(fmt.Sprint(dropout, bias, lengths), func(t *testing.T) {
					checkProjected[float64](t, c, 1e-12)
					testOnEveryCPU(t, func(t *testing.T) { checkProjected[float32](t, c, 3e-5) })
				})
			}
		}
	}
}

func TestProjectedAttentionDoesNotDependOnThreads(t *testing.T) {
	c := newProjectedCase(0.2, true, 30, 25)
	width := c.s.Heads * c.s.HeadDim
	var want []float32
	onThreads(func(int) {
		y := make([]float32, len(c.q))
		p := ProjectedAttentionForward(c.s, y, width, to[float32](c.q), width, to[float32](c.x), c.s.Dim, to[float32](c.w), to[float32](c.b))
		dw := make([]float32, len(c.w))
		p.Backward(nil, width, nil, c.s.Dim, dw, nil, to[float32](c.dy), width)
		if want == nil {
			want = append(y, dw...)
		}
		same(t, "out and dw", append(y, dw...), want)
	})
}

func TestProjectedAttentionIsCheaperForFewRows(t *testing.T) {
	for _, c := range []struct {
		rows int
		want bool
	}{{1, true}, {14, true}, {60, false}, {400, false}} {
		s := ProjectedAttention{Dim: 768, Attention: Attention{Heads: 12, HeadDim: 64, Query: []Span{{0, c.rows}}, Source: []Span{{0, 197}}}}
		if s.Cheaper() != c.want {
			t.Errorf("%d rows that look at 197: cheaper is %v", c.rows, !c.want)
		}
	}
}

func TestProjectedAttentionPanicsWithTheSizesOfWhatDoesNotFit(t *testing.T) {
	c := newProjectedCase(0, true, 4, 6)
	width := c.s.Heads * c.s.HeadDim
	y := make([]float64, len(c.q))
	for want, f := range map[string]func(){
		"source 1, rows [4, 10), is outside x, a slice of 69": func() {
			ProjectedAttentionForward(c.s, y, width, c.q, width, c.x[:69], c.s.Dim, c.w, c.b)
		},
		"w has 209 elements, want 210": func() {
			ProjectedAttentionForward(c.s, y, width, c.q, width, c.x, c.s.Dim, c.w[:209], c.b)
		},
		"no causal mask": func() {
			s := *c.s
			s.Causal = true
			ProjectedAttentionForward(&s, y, width, c.q, width, c.x, c.s.Dim, c.w, c.b)
		},
	} {
		if got := panics(f); !strings.Contains(got, want) {
			t.Errorf("got panic %q, want %q", got, want)
		}
	}
}

func TestPackedSourcesGiveTheSameBits(t *testing.T) {
	for _, bfloat16 := range []bool{false, true} {
		t.Run(fmt.Sprintf("bfloat16 %v", bfloat16), func(t *testing.T) { testPackedSources(t, bfloat16) })
	}
}

func testPackedSources(t *testing.T, bfloat16 bool) {
	testOnEveryCPU(t, func(t *testing.T) {
		for _, lengths := range [][]int{{4, 6}, {30, 0}, {70, 33}, {200, 7}} {
			c := newProjectedCase(0.3, true, lengths...)
			c.s.BFloat16 = bfloat16
			width := c.s.Heads * c.s.HeadDim
			run := func() (results [][]float32) {
				q, x, w, b, dy := to[float32](c.q), to[float32](c.x), to[float32](c.w), to[float32](c.b), to[float32](c.dy)
				y, dq, dx, dw, db := make([]float32, len(q)), make([]float32, len(q)), make([]float32, len(x)), make([]float32, len(w)), make([]float32, len(b))
				p := ProjectedAttentionForward(c.s, y, width, q, width, x, c.s.Dim, w, b)
				p.Backward(dq, width, dx, c.s.Dim, dw, db, dy, width)
				return [][]float32{y, dq, dx, dw, db}
			}
			want := run()
			nans := make([]float32, len(c.x))
			for i := range nans {
				nans[i] = float32(math.NaN())
			}
			PackSources(bfloat16, c.s.Source, c.s.Dim, nans, c.s.Dim).Release() // the next ones get its memory
			c.s.Panels = PackSources(bfloat16, c.s.Source, c.s.Dim, to[float32](c.x), c.s.Dim)
			for i, got := range run() {
				same(t, fmt.Sprint("result ", i), got, want[i])
			}
		}
	})
}

func TestProjectedAttentionInBFloat16HasTheBitsOfItsProducts(t *testing.T) {
	for _, dim := range []int{96, 768, 1024} {
		for _, lengths := range [][]int{{7, 15, 1}, {197, 16, 33}, {31, 224, 64}} {
			t.Run(fmt.Sprint(dim, lengths), func(t *testing.T) { testRoundedPassage(t, dim, lengths) })
		}
	}
}

func testRoundedPassage(t *testing.T, dim int, lengths []int) {
	const heads, d = 3, 64
	s := &ProjectedAttention{Dim: dim, BFloat16: true, Attention: Attention{Heads: heads, HeadDim: d, Scale: 0.4, Seed: 9,
		Query: []Span{{1, 3}, {3, 20}, {21, 60}, {60, 69}, {70, 84}}, SourceOf: []int{1, 0, 2, 1, 0}}}
	rows := 0
	for _, n := range lengths {
		s.Source = append(s.Source, Span{rows, rows + n})
		rows += n
	}
	const width = heads * d
	rng := newRand()
	q, x, w, b, dy := random[float32](rng, 84*width), random[float32](rng, rows*dim), random[float32](rng, dim*2*width), random[float32](rng, 2*width), random[float32](rng, 84*width)
	for _, dropout := range []float64{0, 0.3} {
		s.DropoutP = dropout
		run := func() [][]float32 {
			y, dq, dw, db := make([]float32, len(q)), make([]float32, len(q)), make([]float32, len(w)), make([]float32, len(b))
			p := ProjectedAttentionForward(s, y, width, q, width, x, dim, w, b)
			p.Backward(dq, width, nil, 0, dw, db, dy, width)
			p.Release()
			return [][]float32{y, dq, dw, db}
		}
		s.Panels = nil
		want := run()
		s.Panels = PackSources(true, s.Source, dim, x, dim)
		p := &Projected[float32]{ProjectedAttention: s, w: w}
		p.order()
		if cpu != nil && cpu.tiles != nil && cpu.tiles.roundedDots != nil && p.roundedPassage(passage[float32]{}) == nil {
			t.Error("it does not go through panels")
		}
		onThreads(func(threads int) {
			for i, got := range run() {
				same(t, fmt.Sprint(dropout, threads, " result ", i), got, want[i])
			}
		})
	}
}
