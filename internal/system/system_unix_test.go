//go:build darwin || dragonfly || freebsd || linux

package system_test

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/ekphrasis-ml/ekphrasis/internal/system"
)

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
	free, known := system.FreeSpace(dir)
	// Others write to the disk meanwhile.
	if d := free>>10 - kilobytes; !known || d > 4<<20 || d < -4<<20 {
		t.Errorf("%s: %d bytes, %v, df says %d KiB", dir, free, known, kilobytes)
	}
}
