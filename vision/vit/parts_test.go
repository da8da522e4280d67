package vit

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/reference"
	"github.com/ekphrasis-ml/ekphrasis/layers"
	"github.com/ekphrasis-ml/ekphrasis/vision"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
)

// frozen is a small model for pictures of 64 pixels, 257 rows each.
func frozen[T float.DType](t *testing.T) *Model {
	t.Helper()
	c := DefaultConfig()
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 32, 2, 2, 128
	c.ImageSize, c.PatchSize = Size{64, 64}, Size{4, 4}
	m, err := New[T](c, layers.NewRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	layers.Freeze(m)
	return m
}

// squares are pictures with sides of so many pixels.
func squares(sides ...int) []vision.Pixels {
	pictures := make([]vision.Pixels, len(sides))
	for i, n := range sides {
		pictures[i] = vision.Pixels{Height: n, Width: n, Data: reference.Fill("pixels", 3*n*n, 1, uint64(i))}
	}
	return pictures
}

func TestLargeBatchesAreDividedEvenly(t *testing.T) {
	m := frozen[float32](t)
	for _, c := range []struct {
		pictures []vision.Pixels
		want     []int
	}{
		{nil, []int{0}},
		{squares(64), []int{1}},
		{squares(64, 64, 64, 64, 64, 64), []int{6}},
		{squares(64, 64, 64, 64, 64, 64, 64), []int{4, 3}},
		{squares(slices.Repeat([]int{64}, 13)...), []int{4, 5, 4}},
		{squares(400, 400), []int{1, 1}}, // each more than a part
		{squares(slices.Repeat([]int{4}, 800)...), []int{800}},
		{squares(append(slices.Repeat([]int{4}, 800), 128)...), []int{656, 145}},
	} {
		if got := m.parts(c.pictures); !slices.Equal(got, c.want) {
			t.Errorf("%d pictures: parts of %d, want %d", len(c.pictures), got, c.want)
		}
	}
}

func TestPartsOfABatchGiveTheBitsOfTheWhole(t *testing.T) {
	t.Run("float32", func(t *testing.T) { comparePartsWithWhole(t, frozen[float32](t)) })
	t.Run("float64", func(t *testing.T) { comparePartsWithWhole(t, frozen[float64](t)) })
	t.Run("bfloat16", func(t *testing.T) {
		m := frozen[float32](t)
		layers.SetPrecision(m, layers.BFloat16)
		comparePartsWithWhole(t, m)
	})
}

func TestPackedLayersEncodeToTheSameBits(t *testing.T) {
	c := DefaultConfig()
	c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = 64, 2, 2, 96
	c.ImageSize, c.PatchSize = Size{64, 64}, Size{4, 4}
	m, err := New[float32](c, layers.NewRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	layers.Freeze(m)
	layers.SetPrecision(m, layers.BFloat16)
	pictures := squares(64, 100, 4)
	encode := func() []float64 {
		states, err := m.Encode(pictures, nil)
		if err != nil {
			t.Fatal(err)
		}
		return reference.Float64s(states.States)
	}
	want := encode()
	layers.Pack(m)
	for i := range 3 {
		if !slices.Equal(encode(), want) {
			t.Errorf("encoded %d times since they were packed: other bits", i+1)
		}
	}
	x := mat.NewDense[float32](mat.WithShape(3, 64))
	whole := func() bool { return m.Layers[0].block(layers.Identity).Whole(x, layers.OffsetsOf(3)) != nil }
	if kernel.CPU() == "amx" && !whole() {
		t.Error("the layer is not computed as a whole")
	}
	if m.Layers[0].Output.Bias.SetRequiresGrad(true); whole() {
		t.Error("a layer that is trained is computed as a whole")
	}
}

func comparePartsWithWhole(t *testing.T, m *Model) {
	t.Helper()
	pictures := squares(64, 64, 4, 64, 100, 64, 64, 32, 64, 8, 64, 64, 64)
	if n := len(m.parts(pictures)); n < 2 {
		t.Fatalf("%d part", n)
	}
	got, err := m.Encode(pictures, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.encode(pictures, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Offsets, want.Offsets) {
		t.Fatalf("offsets %d, want %d", got.Offsets, want.Offsets)
	}
	if !slices.Equal(reference.Float64s(got.States), reference.Float64s(want.States)) {
		t.Error("states differ")
	}
}

func TestPartsTakeLessMemoryThanTheWhole(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what was dropped stays where it is found again
	m, pictures := frozen[float32](t), squares(slices.Repeat([]int{64}, 120)...)
	taken := func(encode func([]vision.Pixels, *layers.Random) (layers.Packed, error)) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := encode(pictures, nil); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if parts, whole := taken(m.Encode), taken(m.encode); parts > whole/2 {
		t.Errorf("in parts 120 pictures take %d bytes, as a whole %d", parts, whole)
	}
}

func TestATrainedEncoderKeepsItsGraph(t *testing.T) {
	m := frozen[float32](t)
	if err := layers.Trainable(m, "layernorm.weight"); err != nil {
		t.Fatal(err)
	}
	out, err := m.Encode(squares(slices.Repeat([]int{64}, 8)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, plain := out.States.(*mat.Dense[float32]); plain || !out.States.RequiresGrad() {
		t.Error("states have no graph")
	}
}

func TestTheWrongPictureIsNamed(t *testing.T) {
	pictures := squares(slices.Repeat([]int{64}, 30)...)
	pictures[23].Data = pictures[23].Data[1:]
	_, err := frozen[float32](t).Encode(pictures, nil)
	if want := "vit: picture 23 has 12287 values; 3 channels of 64×64 pixels are 12288"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
