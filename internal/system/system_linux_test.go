package system_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
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

func TestThePeakOfAProcessThatHasEndedIsItsOwn(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", ":")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if peak := system.PeakMemoryOf(cmd.ProcessState); peak <= 0 {
		t.Errorf("%d bytes", peak)
	}
}

func TestFreeSpaceIsWhatTheSystemSays(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("df", "-Pk", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(strings.Split(string(out), "\n")[1])
	kilobytes, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "not", "there")} {
		free, ok := system.FreeSpace(path)
		// Others write to the disk meanwhile.
		if d := free>>10 - kilobytes; !ok || d > 4<<20 || d < -4<<20 {
			t.Errorf("%s: %d bytes, %v, df says %d KiB", path, free, ok, kilobytes)
		}
	}
}
