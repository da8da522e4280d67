package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

const entries = 100_000 // pictures, as in COCO's training part, with five captions each

// many writes a COCO file of that many pictures.
func many(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "captions.json")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriter(f)
	comma := ""
	fmt.Fprint(b, `{"images": [`)
	for i := range entries {
		fmt.Fprintf(b, `%s{"license": 3, "file_name": "%012d.jpg", "coco_url": "http://images.example.org/train2017/%012d.jpg", "height": 427, "width": 640, "id": %d}`, comma, i, i, i)
		comma = ","
	}
	comma = ""
	fmt.Fprint(b, `], "annotations": [`)
	for i := range 5 * entries {
		fmt.Fprintf(b, `%s{"image_id": %d, "id": %d, "caption": "A person number %d stands beside a bench in the park."}`, comma, i%entries, i, i)
		comma = ","
	}
	fmt.Fprint(b, "]}")
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return file
}

func BenchmarkOpenCOCO(b *testing.B) {
	file := many(b)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), fmt.Sprintf("%012d.jpg", 0)), nil, 0o666); err != nil {
		b.Fatal(err)
	}
	benchmarkOpen(b, file)
}

func BenchmarkOpenFolder(b *testing.B) {
	dir := b.TempDir()
	for i := range entries {
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i/1000))
		if i%1000 == 0 {
			if err := os.Mkdir(sub, 0o777); err != nil {
				b.Fatal(err)
			}
		}
		name := filepath.Join(sub, fmt.Sprintf("%06d", i))
		if err := os.WriteFile(name+".jpg", nil, 0o666); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name+".txt", []byte("A person stands beside a bench.\nA bench in the park.\n"), 0o666); err != nil {
			b.Fatal(err)
		}
	}
	benchmarkOpen(b, dir)
}

// benchmarkOpen tells the time to open a source, and what the data set keeps
// in memory.
func benchmarkOpen(b *testing.B, source string) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var d Dataset
	for b.Loop() {
		var err error
		if d, err = Open(source, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	if d.Len() != entries {
		b.Fatalf("%d pictures", d.Len())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
	b.ReportMetric(float64(after.Sys)/1e6, "MB-peak")
	runtime.KeepAlive(d)
}
