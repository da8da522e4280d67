package layers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/gradcheck"
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// param makes a parameter of a tensor without copying it.
func param(x mat.Tensor) *nn.Param { return &nn.Param{Matrix: x.(mat.Matrix)} }

func TestGradientsOfLinearLayers(t *testing.T) {
	smooth := []layers.Activation{layers.Identity, kernel.GELU, kernel.GELUTanh, kernel.SiLU, kernel.QuickGELU, kernel.Tanh}
	for _, rows := range []int{1, 5} {
		for i, act := range smooth {
			t.Run(fmt.Sprintf("Linear rows=%d activation=%d", rows, i), func(t *testing.T) {
				gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", rows, 3), gradcheck.Matrix("weight", 4, 3), gradcheck.Matrix("bias", 4, 1)}, func(x []mat.Tensor) mat.Tensor {
					l := layers.Linear{Weight: param(x[1]), Bias: param(x[2])}
					return l.Forward(x[0], act)
				})
			})
			t.Run(fmt.Sprintf("Conv1D rows=%d activation=%d", rows, i), func(t *testing.T) {
				gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", rows, 3), gradcheck.Matrix("weight", 3, 4), gradcheck.Matrix("bias", 4, 1)}, func(x []mat.Tensor) mat.Tensor {
					l := layers.Conv1D{Weight: param(x[1]), Bias: param(x[2])}
					return l.Forward(x[0], act)
				})
			})
		}
	}
	t.Run("without bias", func(t *testing.T) {
		gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 2, 3), gradcheck.Matrix("weight", 4, 3)}, func(x []mat.Tensor) mat.Tensor {
			return layers.MatMulT(x[0], x[1])
		})
	})
}

func TestGradientsOfLayersThatAddToAResidual(t *testing.T) {
	operands := []gradcheck.Operand{gradcheck.Matrix("residual", 3, 4), gradcheck.Matrix("x", 3, 5), gradcheck.Matrix("weight", 5, 4), gradcheck.Matrix("bias", 4, 1)}
	for _, dropout := range []float64{0, 0.3} {
		gradcheck.Run(t, operands, func(x []mat.Tensor) mat.Tensor {
			return layers.AddTo(x[0], x[1], &layers.Conv1D{Weight: param(x[2]), Bias: param(x[3])}, dropout, layers.NewRandom(1))
		})
	}
	operands[2] = gradcheck.Matrix("weight", 4, 5)
	gradcheck.Run(t, operands, func(x []mat.Tensor) mat.Tensor {
		return layers.AddTo(x[0], x[1], &layers.Linear{Weight: param(x[2]), Bias: param(x[3])}, 0, nil)
	})
}

func TestGradientsOfLayerNorm(t *testing.T) {
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 3, 5), gradcheck.Matrix("weight", 5, 1), gradcheck.Matrix("bias", 5, 1)}, func(x []mat.Tensor) mat.Tensor {
		l := layers.LayerNorm{Weight: param(x[1]), Bias: param(x[2]), Eps: 1e-5}
		return l.Forward(x[0])
	})
}

func TestGradientsOfEmbeddingWithRepeatedIDs(t *testing.T) {
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("weight", 5, 3)}, func(x []mat.Tensor) mat.Tensor {
		l := layers.Embedding{Weight: param(x[0])}
		return l.Forward([]int{4, 0, 4, 2})
	})
}

func TestGradientsOfMeanRowsAndGather(t *testing.T) {
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 9, 3)}, func(x []mat.Tensor) mat.Tensor {
		mean := layers.MeanRows(layers.Packed{States: x[0], Offsets: ragged})
		return layers.Gather(mean, []int{3, 0, 0, 1, 2})
	})
}

func TestUnfoldPutsRowsSideBySide(t *testing.T) {
	x := mat.NewDense[float64](mat.WithShape(3, 2), mat.WithBacking([]float64{1, 2, 3, 4, 5, 6}))
	rows := []int{-1, 0, 1, 0, 1, 2, 1, 2, -1}
	y := layers.Unfold(x, rows, 3)
	want := []float64{0, 0, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 0, 0}
	if got := mat.Data[float64](y.Value().(mat.Matrix)); !slices.Equal(got, want) || !slices.Equal(y.Shape(), []int{3, 6}) {
		t.Errorf("%v of shape %v, want %v of shape [3 6]", got, y.Shape(), want)
	}
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 3, 2)}, func(x []mat.Tensor) mat.Tensor {
		return layers.Unfold(x[0], rows, 3)
	})
}

func TestGradientsOfPatchEmbedding(t *testing.T) {
	// Pictures of 2×2 and of 1×3 patches, the first with pixels left over.
	picture := func(height, width int) layers.Pixels {
		p := layers.Pixels{Height: height, Width: width, Data: make([]float32, 2*height*width)}
		for i := range p.Data {
			p.Data[i] = float32(i%7) - 3
		}
		return p
	}
	ops := []gradcheck.Operand{gradcheck.Matrix("weight", 4, 2*2*3), gradcheck.Matrix("bias", 4, 1)}
	gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
		p := layers.PatchEmbedding{Weight: param(x[0]), Bias: param(x[1]), Channels: 2, Height: 2, Width: 3}
		y, _ := p.Forward([]layers.Pixels{picture(5, 7), picture(2, 9)})
		return y
	})
}

func TestAnMLPWithoutAGraphHasTheSameBits(t *testing.T) {
	const rows, dim, hidden = 37, 48, 64
	random := layers.NewRandom(1)
	up, down := layers.NewLinear[float32](dim, hidden, true), layers.NewConv1D[float32](hidden, dim)
	for _, precision := range []layers.Precision{layers.Float32, layers.BFloat16} {
		for _, w := range []any{up, down} {
			for _, p := range layers.Parameters(w) {
				layers.InitNormal(p.Value, 0.3, random)
				p.Value.SetRequiresGrad(false)
			}
			layers.SetPrecision(w, precision)
		}
		input := func(from int, graph bool) mat.Tensor {
			x := make([]float32, rows*dim)
			for i := range x {
				x[i] = float32((from+i)%23)/11 - 1
			}
			return mat.NewDense[float32](mat.WithShape(rows, dim), mat.WithBacking(x), mat.WithGrad(graph))
		}
		mlp := func(graph bool) []float32 {
			y := layers.MLP(input(5, false), input(0, graph), up, down, kernel.GELU, 0, nil)
			return mat.Data[float32](y.Value())
		}
		want := mlp(true)
		layers.Pack(up)
		for range 3 { // until the weights are packed
			if !slices.Equal(mlp(false), want) {
				t.Errorf("%v: other bits", precision)
			}
		}
	}
}

func TestGradientsOfMLP(t *testing.T) {
	ops := []gradcheck.Operand{
		gradcheck.Matrix("x", 3, 4), gradcheck.Matrix("up", 6, 4), gradcheck.Matrix("up bias", 6, 1),
		gradcheck.Matrix("down", 6, 4), gradcheck.Matrix("down bias", 4, 1),
	}
	gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
		up := &layers.Linear{Weight: param(x[1]), Bias: param(x[2])}
		down := &layers.Conv1D{Weight: param(x[3]), Bias: param(x[4])}
		return layers.MLP(x[0], x[0], up, down, kernel.GELU, 0.2, layers.NewRandom(1))
	})
}

func TestGradientsOfResidualShareAndDropout(t *testing.T) {
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("a", 3, 4), gradcheck.Matrix("b", 3, 4)}, func(x []mat.Tensor) mat.Tensor {
		return layers.Residual(layers.Residual(x[0], x[1]), layers.Residual(x[0], x[0]))
	})
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 3, 4)}, func(x []mat.Tensor) mat.Tensor {
		return layers.Residual(x[0], layers.Share(layers.Share(x[0])))
	})
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 6, 4)}, func(x []mat.Tensor) mat.Tensor {
		return layers.Dropout(x[0], 0.4, layers.NewRandom(3))
	})
}

func TestGradientsOfPrependAndInterpolatedPositions(t *testing.T) {
	// Two pictures of 2×2 patches that share their positions, and one of 3×1
	// with positions interpolated from them, after two special tokens.
	ops := []gradcheck.Operand{gradcheck.Matrix("patches", 11, 3), gradcheck.Matrix("class", 1, 3), gradcheck.Matrix("distillation", 1, 3), gradcheck.Matrix("positions", 6, 3)}
	gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
		other := layers.InterpolatePositions(x[3], 2, 2, 2, 3, 1)
		y, _, err := layers.Prepend(x[0], layers.OffsetsOf(4, 3, 4), x[1:3], []mat.Tensor{x[3], other, x[3]})
		if err != nil {
			t.Fatal(err)
		}
		return y
	})
}

// ragged is a batch with sequences of length 1.
var ragged = layers.OffsetsOf(3, 1, 4, 1)

func TestGradientsOfAttention(t *testing.T) {
	const dim, rows = 4, 9
	for _, tc := range []struct {
		name    string
		causal  bool
		dropout float64
		scale   float64
	}{{"bidirectional", false, 0, 0}, {"causal", true, 0, 0.7}, {"causal with dropout", true, 0.3, 0}} {
		for _, heads := range []int{1, 2} {
			o := func() layers.AttentionOptions {
				return layers.AttentionOptions{
					NumHeads: heads, Dim: dim, Scale: tc.scale, Causal: tc.causal,
					Query: ragged.Spans(), Source: ragged.Spans(),
					Dropout: tc.dropout, Random: layers.NewRandom(5),
				}
			}
			t.Run(fmt.Sprintf("%s heads=%d", tc.name, heads), func(t *testing.T) {
				ops := []gradcheck.Operand{gradcheck.Matrix("q", rows, dim), gradcheck.Matrix("k", rows, dim), gradcheck.Matrix("v", rows, dim)}
				gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
					return layers.Attention(layers.Columns{X: x[0]}, layers.Columns{X: x[1]}, layers.Columns{X: x[2]}, o())
				})
			})
			t.Run(fmt.Sprintf("%s heads=%d side by side", tc.name, heads), func(t *testing.T) {
				gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("qkv", rows, 3*dim)}, func(x []mat.Tensor) mat.Tensor {
					return layers.Attention(layers.Columns{X: x[0]}, layers.Columns{X: x[0], From: dim}, layers.Columns{X: x[0], From: 2 * dim}, o())
				})
			})
		}
	}
	t.Run("cross with shared sources", func(t *testing.T) {
		source := layers.OffsetsOf(2, 5, 1)
		ops := []gradcheck.Operand{gradcheck.Matrix("q", rows, dim), gradcheck.Matrix("kv", 8, 2*dim)}
		gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
			return layers.Attention(layers.Columns{X: x[0]}, layers.Columns{X: x[1]}, layers.Columns{X: x[1], From: dim}, layers.AttentionOptions{
				NumHeads: 2, Dim: dim, Query: ragged.Spans(), Source: source.Spans(), Of: []int{1, 0, 1, 2},
			})
		})
	})
	t.Run("values from the matrix of the queries", func(t *testing.T) {
		ops := []gradcheck.Operand{gradcheck.Matrix("qv", rows, 2*dim), gradcheck.Matrix("k", rows, dim)}
		gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
			return layers.Attention(layers.Columns{X: x[0]}, layers.Columns{X: x[1]}, layers.Columns{X: x[0], From: dim}, layers.AttentionOptions{
				NumHeads: 2, Dim: dim, Query: ragged.Spans(), Source: ragged.Spans(),
			})
		})
	})
}

func TestGradientsOfCrossAttentionWithProjections(t *testing.T) {
	const dim, in, rows = 4, 3, 9
	for _, tc := range []struct {
		name    string
		lengths []int // of what is looked at: with many rows the projections change sides
		dropout float64
	}{{"few rows look at many", []int{30, 20, 41}, 0}, {"many rows look at few", []int{2, 1, 1}, 0}, {"few rows with dropout", []int{30, 20, 41}, 0.3}} {
		source := layers.OffsetsOf(tc.lengths...)
		ops := []gradcheck.Operand{gradcheck.Matrix("q", rows, dim+1), gradcheck.Matrix("states", source.Rows(), in), gradcheck.Matrix("weight", in, 2*dim), gradcheck.Matrix("bias", 2*dim, 1)}
		attend := func(x []mat.Tensor, bias bool) mat.Tensor {
			kv := &layers.Conv1D{Weight: param(x[2])}
			if bias {
				kv.Bias = param(x[3])
			}
			return layers.CrossAttention(layers.Columns{X: x[0], From: 1}, x[1], kv, layers.AttentionOptions{
				NumHeads: 2, Dim: dim, Query: ragged.Spans(), Source: source.Spans(), Of: []int{1, 0, 1, 2},
				Dropout: tc.dropout, Random: layers.NewRandom(5),
			})
		}
		t.Run(tc.name, func(t *testing.T) {
			gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor { return attend(x, true) })
		})
		t.Run(tc.name+", without bias", func(t *testing.T) {
			gradcheck.Run(t, ops[:3], func(x []mat.Tensor) mat.Tensor { return attend(x, false) })
		})
	}
}

func TestGradientsOfNormalizedHeads(t *testing.T) {
	for _, cols := range []int{6, 13} { // alone, and with values beside them
		t.Run(fmt.Sprintf("%d columns", cols), func(t *testing.T) {
			gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 4, cols), gradcheck.Matrix("gain", 2, 1)}, func(x []mat.Tensor) mat.Tensor {
				return layers.NormalizeHeads(x[0], param(x[1]), 6)
			})
		})
	}
}

func TestGradientsOfAttentionWithNormalizedQueriesAndKeys(t *testing.T) {
	source := layers.OffsetsOf(2, 5, 1)
	ops := []gradcheck.Operand{gradcheck.Matrix("q", 9, 4), gradcheck.Matrix("kv", 8, 8), gradcheck.Matrix("gain", 2, 1)}
	gradcheck.Run(t, ops, func(x []mat.Tensor) mat.Tensor {
		norm := layers.NewQueryKeyNorm[float64](4, 2)
		norm.Gain = param(x[2])
		kv := norm.Keys(x[1])
		return layers.Attention(layers.Columns{X: norm.Queries(x[0])}, layers.Columns{X: kv}, layers.Columns{X: kv, From: 4}, layers.AttentionOptions{
			NumHeads: 2, Dim: 4, Query: ragged.Spans(), Source: source.Spans(), Of: []int{1, 0, 1, 2},
		})
	})
}

func TestGradientsOfGateAndLayerScale(t *testing.T) {
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 3, 4), gradcheck.Matrix("alpha", 1, 1)}, func(x []mat.Tensor) mat.Tensor {
		return (&layers.Gate{Alpha: param(x[1])}).Forward(x[0])
	})
	gradcheck.Run(t, []gradcheck.Operand{gradcheck.Matrix("x", 3, 4), gradcheck.Matrix("scale", 4, 1)}, func(x []mat.Tensor) mat.Tensor {
		return (&layers.LayerScale{Scale: param(x[1])}).Forward(x[0])
	})
}
