package datasets

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/vision"
)

// shardList is a Dataset whose pictures are members of tar files.
type shardList struct {
	captionList
	shards  []string
	members []member // of each picture
	decoder vision.Decoder
}

// member is where a picture lies.
type member struct {
	shard        int
	offset, size int64
}

func (l *shardList) Example(i int) (Example, error) {
	return Example{
		ID:       l.names[i],
		Captions: l.of(i),
		Image: func() (vision.Image, error) {
			m := l.members[i]
			f, err := os.Open(l.shards[m.shard])
			if err != nil {
				return vision.Image{}, err
			}
			defer f.Close()
			img, err := l.decoder.Decode(io.NewSectionReader(f, m.offset, m.size))
			if err != nil {
				return vision.Image{}, fmt.Errorf("%s: %s: %w", l.shards[m.shard], l.names[i], err)
			}
			return img, nil
		},
	}, nil
}

// openShards reads the captions of WebDataset shards and notes where the
// pictures are. Members with the same name up to the first dot belong
// together: a picture, and a .txt with a caption a line or, if there is none, a
// .json record. The names of several shards' pictures begin with the shard's.
func openShards(shards []string, options Options) (Dataset, error) {
	if options.Images != "" {
		return nil, fmt.Errorf("datasets: %s: shards hold their pictures, found the option Images = %q", shards[0], options.Images)
	}
	b := newListBuilder(filepath.Dir(shards[0]), options.Split)
	if len(shards) == 1 {
		b.source = shards[0]
	}
	b.wants("")
	l := &shardList{shards: shards, decoder: options.Decoder}
	for i, shard := range shards {
		samples, err := readShard(shard)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			if s.picture == "" {
				return nil, fmt.Errorf("datasets: %s: %s has captions but no picture", shard, s.key)
			}
			name := s.picture
			if len(shards) > 1 {
				name = path.Join(filepath.Base(shard), name)
			}
			s.member.shard = i
			l.members = append(l.members, s.member)
			number, _ := b.picture(name)
			if err := s.addCaptions(b, number, shard); err != nil {
				return nil, err
			}
		}
	}
	var err error
	l.captionList, err = b.list()
	if err != nil {
		return nil, err
	}
	return l, nil
}

// A sample is what a shard holds under one key.
type sample struct {
	key     string
	picture string // member name
	member
	text, record       []byte
	hasText, hasRecord bool
}

// readShard reads the captions of a shard, in its order, and the places of its
// pictures.
func readShard(shard string) ([]*sample, error) {
	f, err := os.Open(shard)
	if err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	defer f.Close()
	var samples []*sample
	byKey := map[string]*sample{}
	r := tar.NewReader(f)
	for {
		header, err := r.Next()
		if err == io.EOF {
			return samples, nil
		}
		if err != nil {
			return nil, fmt.Errorf("datasets: %s: %w", shard, err)
		}
		name := path.Clean(header.Name)
		base, ext, _ := strings.Cut(path.Base(name), ".")
		ext = strings.ToLower(ext)
		isCaption := ext == "txt" || ext == "json"
		if header.Typeflag != tar.TypeReg || base == "" || !isCaption && (strings.Contains(ext, ".") || !isPicture("."+ext)) {
			continue
		}
		key := path.Join(path.Dir(name), base)
		s := byKey[key]
		if s == nil {
			s = &sample{key: key}
			byKey[key] = s
			samples = append(samples, s)
		}
		if err := s.add(r, f, name, ext, header.Size); err != nil {
			return nil, fmt.Errorf("datasets: %s: %s: %w", shard, name, err)
		}
	}
}

// add takes in the member that r has reached. Neither r nor f reads ahead, so
// f is at its first byte.
func (s *sample) add(r io.Reader, f io.Seeker, name, ext string, size int64) (err error) {
	switch {
	case ext == "txt" && !s.hasText:
		s.hasText = true
		s.text, err = io.ReadAll(r)
	case ext == "json" && !s.hasRecord:
		s.hasRecord = true
		s.record, err = io.ReadAll(r)
	case ext != "txt" && ext != "json" && s.picture == "":
		s.picture, s.size = name, size
		s.offset, err = f.Seek(0, io.SeekCurrent)
	default:
		return fmt.Errorf("%s has two of them", s.key)
	}
	return err
}

func (s *sample) addCaptions(b *listBuilder, number int, shard string) error {
	switch {
	case s.hasText:
		return captionLines(b, number, fmt.Sprintf("%s: %s.txt", shard, s.key), string(s.text))
	case !s.hasRecord:
		return fmt.Errorf("datasets: %s: picture %s has no %s.txt or .json", shard, s.picture, s.key)
	}
	var fields map[string]json.RawMessage
	err := json.Unmarshal(s.record, &fields)
	if err != nil {
		return fmt.Errorf("datasets: %s: %s.json: %w", shard, s.key, err)
	}
	captions, err := recordCaptions(fields)
	if err != nil {
		return fmt.Errorf("datasets: %s: %s.json: %w", shard, s.key, err)
	}
	for _, c := range captions {
		if err := b.caption(number, c); err != nil {
			return fmt.Errorf("datasets: %s: %s.json: %w", shard, s.key, err)
		}
	}
	return nil
}
