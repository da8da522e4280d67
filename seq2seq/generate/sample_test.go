package generate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
)

func TestSamplingKeepsTheTokensThatTransformersKeeps(t *testing.T) {
	var golden struct {
		Cases []struct {
			Seed    uint64
			Size    int
			Scale   float32
			Rounded bool
			Options json.RawMessage
			EOS     int
			Kept    []int
		}
	}
	reference.ReadJSON(t, "testdata/warpers.json", &golden)
	if len(golden.Cases) < 100 {
		t.Fatalf("%d cases, want at least 100", len(golden.Cases))
	}
	t.Attr("compared", fmt.Sprintf("%d filters of sampling: tokens kept", len(golden.Cases)))
	for _, c := range golden.Cases {
		row := reference.Fill("logits", c.Size, c.Scale, c.Seed)
		if c.Rounded {
			for i, x := range row {
				row[i] = float32(math.RoundToEven(float64(x)))
			}
		}
		o := DefaultOptions()
		if err := json.Unmarshal(c.Options, &o); err != nil {
			t.Fatal(err)
		}
		warped := candidates{min: 1}
		if o.NumBeams > 1 {
			warped.min = 1 + c.EOS
		}
		warped.warp(row, &o)
		// Which of equal ones are kept is for torch.sort to say, which is not stable.
		var kept, want []float32
		for _, x := range warped.list {
			kept = append(kept, row[x.id])
		}
		for _, id := range c.Kept {
			want = append(want, row[id])
		}
		slices.Sort(kept)
		slices.Sort(want)
		if !slices.Equal(kept, want) {
			t.Errorf("seed %d, %d tokens, %s, at least %d: kept %v, want %v", c.Seed, c.Size, c.Options, warped.min, kept, want)
		}
	}
}

// plainFilter is Filter as it reads.
func plainFilter(logits []float32, topK int, topP float64) []float64 {
	p := make([]float64, len(logits))
	total := 0.0
	for i, x := range logits {
		p[i] = math.Exp(float64(x) - float64(slices.Max(logits)))
		total += p[i]
	}
	order := make([]int, len(p))
	for i := range p {
		p[i] /= total
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return -compareFloats(p[a], p[b]) })
	out := make([]float64, len(p))
	mass, kept := 0.0, 0.0
	for n, i := range order {
		if n > 0 && (topK > 0 && n >= topK || topP < 1 && mass >= topP) {
			break
		}
		out[i] = p[i]
		mass += p[i]
		kept += p[i]
	}
	for i := range out {
		out[i] /= kept
	}
	return out
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestFilterIsSoftmaxTopKCutAndRenormalised(t *testing.T) {
	for _, size := range []int{1, 2, 3, 17, 1300} {
		for seed := range uint64(3) {
			logits := reference.Fill("filter", size, []float32{0.01, 5, 40}[seed], seed)
			for _, topK := range []int{0, 1, 2, size - 1, size, size + 1, 1000} {
				for _, topP := range []float64{0, 1e-9, 0.3, 0.9, 0.999999, 1} {
					what := fmt.Sprintf("%d tokens, seed %d, top-k %d, top-p %v", size, seed, topK, topP)
					reference.CompareSlices(t, what, Filter(logits, topK, topP), plainFilter(logits, topK, topP), 1e-14)
				}
			}
		}
	}
}

func TestFilterAtTheEdges(t *testing.T) {
	minusInf := float32(math.Inf(-1))
	for _, c := range []struct {
		name   string
		logits []float32
		topK   int
		topP   float64
		want   []float64
	}{
		{"top-k above the vocabulary keeps all", []float32{0, 0, 0, 0}, 9, 1, []float64{.25, .25, .25, .25}},
		{"top-k 0 keeps all", []float32{0, 0}, 0, 1, []float64{.5, .5}},
		{"top-p 0 keeps the largest", []float32{1, 3, 2}, 0, 0, []float64{0, 1, 0}},
		{"top-p 1 keeps all", []float32{0, 50, 0}, 0, 1, []float64{math.Exp(-50), 1, math.Exp(-50)}},
		{"of equals the first are kept by top-k", []float32{1, 2, 2, 2}, 2, 1, []float64{0, .5, .5, 0}},
		{"and by top-p", []float32{0, 0, 0, 0}, 0, 0.5, []float64{.5, .5, 0, 0}},
		{"all mass on one token", []float32{0, 0, 2000, 0}, 1000, 0.9, []float64{0, 0, 1, 0}},
		{"forbidden tokens stay so", []float32{minusInf, 1, 1}, 3, 1, []float64{0, .5, .5}},
		{"one token", []float32{-3}, 1000, 0.9, []float64{1}},
		{"the token that reaches the threshold is kept", []float32{0, float32(math.Log(3))}, 0, 0.76, []float64{.25, .75}},
		{"the share is of all, not of the top-k", []float32{0, 0, 0, 0}, 2, 0.5, []float64{.5, .5, 0, 0}},
	} {
		got := Filter(c.logits, c.topK, c.topP)
		for i := range c.want {
			if math.Abs(got[i]-c.want[i]) > 1e-7*c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
	for _, logits := range [][]float32{{1, float32(math.NaN())}, {minusInf, minusInf}, {float32(math.Inf(1)), 0}} {
		if got := Filter(logits, 1, 0.5); !math.IsNaN(got[0]) || !math.IsNaN(got[1]) {
			t.Errorf("Filter(%v) is %v, want NaN", logits, got)
		}
	}
	if got := Filter(nil, 1, 0.5); len(got) != 0 {
		t.Errorf("Filter of nothing is %v", got)
	}
}

func TestSelectFirstPutsTheFirstInFront(t *testing.T) {
	order := func(a, b int) int { return a - b }
	random := layers.NewRandom(3)
	for size := range 40 {
		for k := range size + 1 {
			for _, kinds := range []int{1, 2, 5, 1000} {
				x := make([]int, size)
				for i := range x {
					x[i] = int(random.Float64() * float64(kinds))
				}
				sorted := slices.Sorted(slices.Values(x))
				selectFirst(x, k, order)
				if got := slices.Sorted(slices.Values(x[:k])); !slices.Equal(got, sorted[:k]) {
					t.Fatalf("the first %d of %v are %v", k, sorted, got)
				}
			}
		}
	}
}

func TestReadingARowTakesTheKLikeliestAndTheirEquals(t *testing.T) {
	for _, size := range []int{1, 2, 9, 100, 1000} {
		for seed := range uint64(6) {
			row := reference.Fill("read", size, []float32{0.01, 5, 40}[seed%3], seed)
			if seed >= 3 { // with equals, and with forbidden tokens
				for i := range row {
					if row[i] = float32(math.Round(float64(row[i]) / 4)); i%7 == 3 {
						row[i] = forbidden
					}
				}
			}
			sorted := slices.Clone(row)
			slices.SortFunc(sorted, func(a, b float32) int { return cmp.Compare(b, a) })
			for _, k := range []int{0, 1, 2, 3, 10, 99, size - 1, size, size + 1} {
				var want []int
				for id, s := range row {
					if s > forbidden && (k <= 0 || k >= size || s >= sorted[k-1]) {
						want = append(want, id)
					}
				}
				c := candidates{min: 1}
				c.read(row, 2, max(k, 0))
				var got []int
				for _, x := range c.list {
					if x.score != float64(row[x.id])/2 {
						t.Fatalf("token %d has score %v, want half of %v", x.id, x.score, row[x.id])
					}
					got = append(got, x.id)
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Fatalf("%d tokens, seed %d, k %d: %v, want %v", size, seed, k, got, want)
				}
			}
		}
	}
}

func TestTheLikeliestAreFoundWhateverASampleOfThemTells(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 60 {
		row := make([]float32, 100+300*n)
		for i := range row {
			row[i] = float32(int(random.NormFloat64()*50)) / 10 // with ties
			switch {
			case n%4 == 1 && i%32 == 0: // those that a sample sees are all larger,
				row[i] += 100
			case n%4 == 2 && i%32 == 0: // or all smaller
				row[i] -= 100
			case n%4 == 3 && i%3 > 0:
				row[i] = forbidden
			}
		}
		sorted := slices.Sorted(slices.Values(row))
		slices.Reverse(sorted)
		for _, k := range []int{1, 2, 50, 1000, len(row)} {
			var want []candidate
			for id, s := range row {
				if s >= sorted[min(k, len(row))-1] && s != forbidden {
					want = append(want, candidate{id, float64(s) / 2})
				}
			}
			c := candidates{min: 1}
			c.read(row, 2, k)
			slices.SortFunc(c.list, func(a, b candidate) int { return a.id - b.id })
			if !slices.Equal(c.list, want) {
				t.Fatalf("row %d of %d, k %d: %d candidates, want %d", n, len(row), k, len(c.list), len(want))
			}
		}
	}
}
