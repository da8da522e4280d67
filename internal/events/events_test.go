package events

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock starts at 1e9 seconds and advances by a quarter of a second a call, as that of the golden file.
func clock() func() time.Time {
	t := time.Unix(1e9, 0)
	return func() time.Time {
		now := t
		t = t.Add(time.Second / 4)
		return now
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	return data
}

func TestAFileEqualsTheOneTensorBoardWrites(t *testing.T) {
	start := clock()
	calls := 0
	w, err := create(t.TempDir(), func() time.Time { // the first call is for the file's name
		if calls++; calls == 1 {
			return time.Unix(1e9, 0)
		}
		return start()
	})
	must(t, err)
	picture := read(t, "testdata/picture.png")
	must(t, w.start(7))
	must(t, w.Scalar("loss/train", 0, 0))
	must(t, w.Scalar("loss/train", 300, -2.625))
	values := []float64{0, 0.5, 0.5, -0.25, 1.5, 1024, -3, 0, 0x1p-60, -0x1p90}
	must(t, Histogram(w, "weights", 50, values))
	must(t, Histogram(w, "zeros", 50, []float32{0, 0}))
	must(t, w.Text("captions", 1, string(read(t, "testdata/text.md"))))
	must(t, w.png("zebra", 2, image.Pt(3, 2), picture))
	must(t, w.Close())
	if got, want := read(t, w.Name()), read(t, "testdata/golden.tfevents"); !bytes.Equal(got, want) {
		t.Errorf("%d bytes\n%q\nwant %d\n%q", len(got), got, len(want), want)
	}
}

// field is a field of a protocol buffer: a number or bytes.
type field struct {
	number int
	value  uint64
	bytes  []byte
}

// parse takes a protocol buffer apart.
func parse(t *testing.T, data []byte) []field {
	t.Helper()
	var fields []field
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		data = data[n:]
		f := field{number: int(key >> 3)}
		switch key & 7 {
		case 0:
			f.value, n = binary.Uvarint(data)
		case 1:
			f.value, n = binary.LittleEndian.Uint64(data), 8
		case 2:
			size, m := binary.Uvarint(data)
			n = m + int(size)
			f.bytes = data[m:n]
		case 5:
			f.value, n = uint64(binary.LittleEndian.Uint32(data)), 4
		default:
			t.Fatalf("wire type %d", key&7)
		}
		data = data[n:]
		fields = append(fields, f)
	}
	return fields
}

// at is the first field reached by descending through the numbers.
func at(t *testing.T, data []byte, numbers ...int) field {
	t.Helper()
	var f field
	for _, number := range numbers {
		fields := parse(t, data)
		i := slices.IndexFunc(fields, func(f field) bool { return f.number == number })
		if i < 0 {
			t.Fatalf("no field %d of %v in %v", number, numbers, fields)
		}
		f = fields[i]
		data = f.bytes
	}
	return f
}

// records takes a file apart, checking sums and lengths.
func records(t *testing.T, data []byte) [][]byte {
	t.Helper()
	unmask := func(sum uint32) uint32 {
		sum -= 0xa282ead8
		return sum>>17 | sum<<15
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	var all [][]byte
	for len(data) > 0 {
		n := int(binary.LittleEndian.Uint64(data))
		if got := unmask(binary.LittleEndian.Uint32(data[8:])); got != crc32.Checksum(data[:8], table) {
			t.Fatal("wrong checksum of a length")
		}
		body := data[12 : 12+n]
		if got := unmask(binary.LittleEndian.Uint32(data[12+n:])); got != crc32.Checksum(body, table) {
			t.Fatal("wrong checksum of a record")
		}
		all = append(all, body)
		data = data[16+n:]
	}
	return all
}

func TestARecordIsOnTheFileWhenTheCallReturns(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), "a", "b"))
	must(t, err)
	defer w.Close()
	for step := range 3 {
		must(t, w.Scalar("x", step, float64(step)))
		all := records(t, read(t, w.Name()))
		if len(all) != step+2 {
			t.Fatalf("%d records, want %d", len(all), step+2)
		}
		last := all[len(all)-1]
		if got := math.Float32frombits(uint32(at(t, last, eventSummary, summaryValue, valueSimple).value)); got != float32(step) {
			t.Errorf("value %v, want %v", got, step)
		}
		seconds := math.Float64frombits(at(t, last, eventTime).value)
		if d := float64(time.Now().Unix()) - seconds; math.Abs(d) > 60 {
			t.Errorf("the time is %v seconds off", d)
		}
	}
}

func TestAnImageIsAPNG(t *testing.T) {
	w, err := Create(t.TempDir())
	must(t, err)
	picture := image.NewGray(image.Rect(10, 20, 15, 22)) // an origin that is not 0
	picture.SetGray(12, 21, color.Gray{Y: 200})
	must(t, w.Image("cat", 3, picture))
	must(t, w.Close())
	event := records(t, read(t, w.Name()))[1]
	value := at(t, event, eventSummary, summaryValue).bytes
	if got := string(at(t, value, valueTag).bytes); got != "cat" {
		t.Errorf("tag %q", got)
	}
	if w, h := at(t, value, valueImage, imageWidth).value, at(t, value, valueImage, imageHeight).value; w != 5 || h != 2 {
		t.Errorf("%d×%d, want 5×2", w, h)
	}
	got, err := png.Decode(bytes.NewReader(at(t, value, valueImage, imageData).bytes))
	must(t, err)
	if r, _, _, _ := got.At(2, 1).RGBA(); r>>8 != 200 {
		t.Errorf("pixel %d, want 200", r>>8)
	}
	err = w.Image("empty", 0, image.NewGray(image.Rectangle{}))
	if err == nil || !strings.Contains(err.Error(), `"empty"`) {
		t.Errorf("error %v of an empty image", err)
	}
}

func TestARunThatGoesOnSaysFromWhichStep(t *testing.T) {
	folder := t.TempDir()
	first, err := Create(folder)
	must(t, err)
	must(t, first.Close())
	w, err := Resume(folder, 41)
	must(t, err)
	must(t, w.Close())
	event := records(t, read(t, w.Name()))[1]
	if got := at(t, event, eventStep).value; got != 41 {
		t.Errorf("step %d, want 41", got)
	}
	if got := at(t, event, eventSessionLog, sessionStatus).value; got != 1 {
		t.Errorf("status %d, want 1", got)
	}
	if filepath.Base(first.Name()) >= filepath.Base(w.Name()) || !strings.Contains(w.Name(), "tfevents") {
		t.Errorf("names %s, %s", first.Name(), w.Name())
	}
}

func TestAfterAnErrorEveryCallFails(t *testing.T) {
	w, err := Create(t.TempDir())
	must(t, err)
	must(t, w.file.Close())
	first := w.Scalar("x", 0, 1)
	if !errors.Is(first, os.ErrClosed) {
		t.Fatalf("error %v", first)
	}
	if err := w.Text("y", 0, "z"); err != first {
		t.Errorf("error %v, want %v", err, first)
	}
	if err := w.Close(); err != first {
		t.Errorf("error %v, want %v", err, first)
	}
	_, err = Create(w.Name()) // a file, not a folder
	if err == nil {
		t.Error("no error where the folder is a file")
	}
}

func TestManyGoroutinesMayWrite(t *testing.T) {
	w, err := Create(t.TempDir())
	must(t, err)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for step := range 20 {
				if err := w.Text("t", step, strings.Repeat("x", i*step)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	must(t, w.Close())
	if n := len(records(t, read(t, w.Name()))); n != 161 {
		t.Errorf("%d records, want 161", n)
	}
}

func floats(data []byte) []float64 {
	v := make([]float64, len(data)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return v
}

func TestEveryValueIsInItsBucket(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := buckets()
	values := []float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1e300, -1e300}
	for _, limit := range b.limits {
		values = append(values, limit, math.Nextafter(limit, -1e9), math.Nextafter(limit, 1e9), float64(float32(limit)))
	}
	for range 20000 {
		values = append(values, math.Ldexp(r.Float64()*2-1, r.IntN(160)-80))
	}
	for _, v := range values {
		if got, want := b.find(v), b.search(v); got != want {
			t.Fatalf("%v is in bucket %d, want %d", v, got, want)
		}
	}
}

func TestAHistogramCountsWhatIsFinite(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		values                        []float64
		min, max, count, sum, squares float64
		buckets                       []float64
	}{
		{values: nil},
		{values: []float64{math.NaN(), inf, -inf}},
		{values: []float64{2, inf, 4, math.NaN()}, min: 2, max: 4, count: 2, sum: 6, squares: 20, buckets: []float64{1, 0, 1}},
		{values: []float64{-1, -1, 1, 1, 1}, min: -1, max: 1, count: 5, sum: 1, squares: 5, buckets: []float64{2, 0, 3}},
		{values: []float64{-2e-13, 3e-13, 4e-13}, min: -2e-13, max: 4e-13, count: 3, sum: 5e-13, squares: 2.9e-25, buckets: []float64{1, 2}},
	} {
		m := histogramOf(c.values)
		scalar := map[int]float64{}
		var limits, counts []float64
		for _, f := range parse(t, m) {
			switch f.number {
			case histogramLimits:
				limits = floats(f.bytes)
			case histogramBuckets:
				counts = floats(f.bytes)
			default:
				scalar[f.number] = math.Float64frombits(f.value)
			}
		}
		for number, want := range map[int]float64{histogramMin: c.min, histogramMax: c.max, histogramCount: c.count, histogramSum: c.sum, histogramSumSquares: c.squares} {
			if got := scalar[number]; math.Abs(got-want) > 1e-15*math.Abs(want) {
				t.Errorf("%v: field %d is %v, want %v", c.values, number, got, want)
			}
		}
		if !slices.Equal(counts, c.buckets) {
			t.Errorf("%v: buckets %v, want %v", c.values, counts, c.buckets)
		}
		if len(limits) != len(counts) || !slices.IsSorted(limits) {
			t.Errorf("%v: limits %v", c.values, limits)
		}
	}
}

func BenchmarkHistogram(b *testing.B) {
	values := make([]float32, 1<<20)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range values {
		values[i] = float32(r.NormFloat64() * 0.02)
	}
	b.SetBytes(int64(4 * len(values)))
	for b.Loop() {
		histogramOf(values)
	}
}
