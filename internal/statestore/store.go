// Package statestore keeps what an encoder says of its inputs in a folder, so that a later run need not encode them
// again.
//
// [Open] the folder; [Store.Get] looks for the states of an input by a digest of it, and [Store.Put] adds them. A
// process writes only to the end of a file of its own, one record at a time, and nothing is ever changed or removed.
// So it may be killed at any moment: what it was writing then has a header without all of its data, and is passed over.
// Any number of processes may use a folder at once without a lock; each sees what was there when it opened it, and what
// it adds. Header and data of a record have checksums, which also tell what a failing disk or a power cut has spoilt.
//
// States depend on the encoder, so each [Format] has a folder and a mark in its files of its own: those of
// another encoder are never found.
package statestore

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Key is a digest of an input that no two inputs share, such as a SHA-256.
type Key [32]byte

// Format is what all states of a store have in common.
type Format struct {
	Encoder  [32]byte // a digest of all that states depend on besides the input
	Dim      int      // width of a row of states
	BFloat16 bool     // numbers are kept as bfloat16, not float32
}

// Store is an open folder. Its methods may be called concurrently.
type Store struct {
	dir    string
	format Format
	warn   func(string)

	mu    sync.Mutex
	files []*file
	index map[Key][]place
	own   *file  // what is written to; nil before the first Put
	full  bool   // writing has failed, and is over
	buf   []byte // the record to write
}

// place is where a record is.
type place struct {
	file *file
	off  int64
	record
}

// extension of the files.
const extension = ".states"

// Open opens the part of a folder that is for a format, and makes the folder if it is not there. warn is told
// what is damaged, and when nothing more can be written.
func Open(dir string, f Format, warn func(string)) (*Store, error) {
	kind := "-fp32"
	if f.BFloat16 {
		kind = "-bf16"
	}
	s := &Store{dir: filepath.Join(dir, hex.EncodeToString(f.Encoder[:8])+kind), format: f, warn: warn, index: map[Key][]place{}}
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir) // by name, so the oldest first
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != extension {
			continue
		}
		if err := s.add(filepath.Join(s.dir, e.Name())); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// add finds the records of a file. One that cannot be read is told of and passed over, as its damaged parts are.
func (s *Store) add(path string) error {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed a moment ago
	}
	if err != nil {
		return err
	}
	if err := f.scan(s.format, func(off int64, r record) {
		s.index[r.key] = append(s.index[r.key], place{f, off, r})
	}, s.warn); err != nil {
		s.warn(fmt.Sprintf("%s is not used: %v", path, err))
	}
	s.files = append(s.files, f)
	return nil
}

// Len is the number of inputs whose states are there.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.index)
}

// Get returns the states of an input, [rows, Dim], or nil if they are not there or damaged.
func (s *Store) Get(k Key) []float32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for places := s.index[k]; len(places) > 0; places = places[:len(places)-1] {
		p := places[len(places)-1]
		states, err := p.file.states(p.off, p.record, s.format)
		if err == nil {
			s.index[k] = places
			return states
		}
		p.file.damaged(p.off, err, s.warn)
	}
	delete(s.index, k)
	return nil
}

// Put adds the states of an input, rounded to the format, and reports whether they are kept: not after writing has failed once, on a
// full disk most often.
func (s *Store) Put(k Key, states []float32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return false
	}
	if len(s.index[k]) > 0 {
		return true
	}
	if err := s.write(k, states); err != nil {
		s.full = true
		s.warn(fmt.Sprintf("no more encoder states are written to %s: %v", s.dir, err))
		return false
	}
	return true
}

func (s *Store) write(k Key, states []float32) error {
	if s.own == nil {
		// The names sort by age, so that the newest of several records of an input is found first.
		name := time.Now().UTC().Format("20060102T150405.000000000Z-") + rand.Text()[:10] + extension
		own, err := createFile(filepath.Join(s.dir, name), s.format)
		if err != nil {
			return err
		}
		s.own, s.files = own, append(s.files, own)
	}
	var r record
	s.buf, r = appendRecord(s.buf[:0], k, states, s.format)
	off := s.own.size
	if _, err := s.own.f.Write(s.buf); err != nil {
		return err
	}
	s.own.size += int64(len(s.buf))
	s.index[k] = append(s.index[k], place{s.own, off, r})
	return nil
}

// Close gives back the files and their memory.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, f := range s.files {
		err = errors.Join(err, f.close())
	}
	s.files, s.index, s.full = nil, nil, true
	return err
}
