package system_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/system"
)

func TestThePeakOfMemoryStays(t *testing.T) {
	before := system.PeakMemory()
	data := make([]byte, before+64<<20)
	for i := 0; i < len(data); i += 1 << 10 {
		data[i] = 1
	}
	runtime.KeepAlive(data)
	peak := system.PeakMemory()
	if before <= 0 || peak < int64(len(data)) {
		t.Errorf("%d bytes at first, %d after %d were written to", before, peak, len(data))
	}
	runtime.GC()
	if after := system.PeakMemory(); after < peak {
		t.Errorf("the peak fell from %d to %d", peak, after)
	}
}

func TestAFolderThatIsNotThereHasTheSpaceOfTheOneAbove(t *testing.T) {
	dir := t.TempDir()
	above, known := system.FreeSpace(dir)
	free, alsoKnown := system.FreeSpace(filepath.Join(dir, "not", "there"))
	// Others write to the disk meanwhile.
	if d := free - above; !known || !alsoKnown || above <= 0 || d > 4<<30 || d < -4<<30 {
		t.Errorf("%d bytes, %v; of one below it %d, %v", above, known, free, alsoKnown)
	}
}
