package system

import (
	"os"
	"path/filepath"
)

// FreeSpace is the room left for files in a folder, in bytes; the folder need
// not be there yet. false: it is not known.
func FreeSpace(dir string) (int64, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, false
	}
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return freeSpace(dir)
		}
		dir = filepath.Dir(dir)
	}
}
