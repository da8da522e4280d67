package hub

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/atomicfile"
)

// cached returns the snapshot of the wanted revision that is in the cache, and what it lacks: configuration, weights, or
// shards of them.
func (r *repo) cached() (snapshot string, missing []string) {
	commit := r.revision()
	if !commitHash.MatchString(commit) {
		text, err := os.ReadFile(r.ref())
		commit = strings.TrimSpace(string(text))
		if err != nil || !commitHash.MatchString(commit) {
			return "", []string{"config.json", "weights (such as model.safetensors)", "the other files of the model"}
		}
	}
	snapshot = filepath.Join(r.dir, "snapshots", commit)
	has := func(file string) bool {
		_, err := os.Stat(filepath.Join(snapshot, filepath.FromSlash(file)))
		return err == nil
	}
	if !has("config.json") {
		missing = append(missing, "config.json")
	}
	for _, weights := range weightFiles {
		if !has(weights) {
			continue
		}
		shards, err := shardsOf(snapshot, weights)
		if err != nil {
			return "", append(missing, err.Error())
		}
		for _, shard := range shards {
			if !has(shard) {
				missing = append(missing, shard)
			}
		}
		return snapshot, missing
	}
	return snapshot, append(missing, "weights (such as model.safetensors)")
}

func (r *repo) ref() string { return filepath.Join(r.dir, "refs", filepath.FromSlash(r.revision())) }

// setRef notes which commit the revision is.
func (r *repo) setRef(commit string) error {
	if r.revision() == commit {
		return nil
	}
	if old, err := os.ReadFile(r.ref()); err == nil && string(old) == commit {
		return nil // a cache that is complete may be read-only
	}
	if err := os.MkdirAll(filepath.Dir(r.ref()), 0o777); err != nil {
		return err
	}
	return atomicfile.WriteBytes(r.ref(), []byte(commit))
}

// link makes a snapshot's file a link to a blob. Where links are not to be had, the blob itself becomes the file.
func link(blob, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	target, err := filepath.Rel(filepath.Dir(file), blob) // relative, so that the cache can be moved
	if err != nil {
		target = blob
	}
	_ = os.Remove(file) // a link to a blob that is gone
	if err := os.Symlink(target, file); err == nil {
		return nil
	}
	return os.Rename(blob, file)
}
