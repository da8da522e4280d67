//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package mmap

import (
	"errors"
	"os"
)

// Private is not supported here: files are read instead.
func Private(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

// Shared is not supported here: files are read instead.
func Shared(*os.File, int64) ([]byte, func() error, error) { return nil, nil, errors.ErrUnsupported }
