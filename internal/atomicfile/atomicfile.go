// Package atomicfile replaces a file as a whole or not at all.
//
// The new content goes to a temporary file in the same folder, is flushed to the disk and then renamed over the old
// file. When anything fails before the rename (a full disk, say) the temporary file is removed and the old file is as
// it was. Write does all of it for one file; Create, Sync and Commit let a caller prepare several files before the
// first of them becomes visible.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// File is the new content of a path, invisible until Commit.
type File struct {
	path   string
	temp   *os.File
	synced bool
	done   bool
}

// Create starts the new content of path. The folder must exist. The caller ends with Commit or Discard.
func Create(path string) (*File, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:10]+".tmp")
	// Not os.CreateTemp: its mode of 0600 would outlive the rename.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, (&File{path: path}).wrap(err)
	}
	return &File{path: path, temp: f}, nil
}

// Write appends to the new content.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.temp.Write(p)
	return n, f.wrap(err)
}

// wrap names the path in place of the temporary file's.
func (f *File) wrap(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("write %s: %w", f.path, err)
}

// Sync flushes the content to the disk and closes the temporary file: nothing more can be written, and what may run
// out of room has been done.
func (f *File) Sync() error {
	if f.synced {
		return nil
	}
	err := f.temp.Sync()
	if e := f.temp.Close(); err == nil {
		err = e
	}
	f.synced = err == nil
	return f.wrap(err)
}

// Commit makes the new content visible under the path, calling Sync first if nobody has.
func (f *File) Commit() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.temp.Name(), f.path); err != nil {
		return f.wrap(err)
	}
	f.done = true
	// Makes the rename itself last through a power cut. Not every system can sync a folder, and the file is in place
	// either way, so a failure here is no failure of the write.
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

// Discard removes the temporary file. After Commit it does nothing, so it can be deferred.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	_ = f.temp.Close()
	_ = os.Remove(f.temp.Name())
}

// Write replaces path by what write writes. On error, write's own included, the old file, if any, is untouched. Errors
// of the file system name the path; an error of write's own is returned as it is.
func Write(path string, write func(w io.Writer) error) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := write(f); err != nil {
		return err
	}
	return f.Commit()
}

// WriteBytes replaces path by data.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
