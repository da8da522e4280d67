package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/cli"
)

// extensions are those of the pictures that a folder is searched for.
var extensions = []string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"}

// pictures lists the files that the arguments name, in order, and takes this
// process's share of them.
func (s *settings) pictures(args []string) ([]string, error) {
	part, parts := 1, 1
	if s.shard != "" {
		if n, err := fmt.Sscanf(s.shard, "%d/%d", &part, &parts); n != 2 || err != nil || part < 1 || part > parts ||
			s.shard != fmt.Sprintf("%d/%d", part, parts) {
			return nil, cli.Usagef("--shard is %q, expected i/n with i from 1 to n", s.shard)
		}
	}
	var all []string
	for _, arg := range args {
		names, err := expand(arg)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	var own []string
	for i := part - 1; i < len(all); i += parts {
		own = append(own, all[i])
	}
	return own, nil
}

// expand lists the pictures of a folder, or the files of a pattern; any other
// argument is a picture itself, there or not.
func expand(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return folder(arg)
	case err == nil || arg == "-" || !strings.ContainsAny(arg, "*?["):
		return []string{arg}, nil
	}
	names, err := filepath.Glob(arg)
	if err != nil {
		return nil, cli.Usagef("pattern %q: %w", arg, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no file matches %q", arg)
	}
	return names, nil
}

func folder(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) {
			names = append(names, path)
		}
		return err
	})
	if err == nil && len(names) == 0 {
		err = errors.New(dir + ": no pictures in this folder")
	}
	return names, err
}
