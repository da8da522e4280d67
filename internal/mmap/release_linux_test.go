package mmap

import (
	"os"
	"strings"
	"testing"
)

// resident is the memory that this process has of files, in kB.
func resident(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			for _, c := range rest {
				if c >= '0' && c <= '9' {
					kB = kB*10 + int(c-'0')
				}
			}
		}
	}
	return kB
}

func TestReleasingGivesMemoryBack(t *testing.T) {
	_, data := numbers(t, 8<<20, 8)
	x, ok := Floats(data[8:])
	if !ok {
		t.Fatal("the bytes are not seen as numbers")
	}
	sum := float32(0)
	for _, v := range x {
		sum += v
	}
	before := resident(t)
	Release(x)
	if given := before - resident(t); given < 30<<10 {
		t.Errorf("%d kB given back of 32 MB", given)
	}
	if x[1000] != 1000 || sum == 0 {
		t.Error("the numbers are gone")
	}
}

func TestCopyingRowsBringsNothingIntoMemory(t *testing.T) {
	_, data := numbers(t, 8<<20, 8)
	x, _ := Floats(data[8:])
	var rows []int
	for i := range 300 {
		rows = append(rows, i*10_000%8000)
	}
	before := resident(t)
	CopyRows(make([]float32, 300*1024), x, rows, 1024)
	if taken := resident(t) - before; taken > 1<<10 {
		t.Errorf("%d kB of the file are in memory", taken)
	}
}
