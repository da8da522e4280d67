// Package hub turns the name of a model into a folder with its files, downloading what is missing.
//
// Client.Resolve takes a folder, or a name such as "nlpconnect/vit-gpt2-image-captioning" of a model on Hugging Face's hub. The
// downloads go to the cache that Hugging Face's own tools use, so a model that transformers has fetched is not fetched
// again, and the other way round:
//
//	models--OWNER--NAME/refs/main              the commit that the branch pointed to
//	models--OWNER--NAME/snapshots/COMMIT/FILE  links to
//	models--OWNER--NAME/blobs/ETAG             the content
//
// An interrupted download is resumed, by a later process too; every file's checksum is verified before it gets its name;
// and what is in the cache works without a network. (go-huggingface v0.3.1, which was considered, does none of these,
// and takes a connection cut in the middle for the end of the file.)
package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Client downloads models into a cache. FromEnvironment makes one.
type Client struct {
	Endpoint string // the hub's address, without a slash at the end
	Token    string // for private and gated models; empty: none
	CacheDir string // the folder that holds models--OWNER--NAME
	Offline  bool   // use the cache only
	Revision string // branch, tag or commit; empty: main

	// Progress, if not nil, is told how many bytes of a file are there, out of total (-1: unknown): when its download
	// starts, now and then, and when it is complete. It is called from one goroutine at a time.
	Progress func(file string, done, total int64)

	wait time.Duration // before a second attempt, doubled for each further one; 0: a second
}

// FromEnvironment returns a client that heeds the variables of Hugging Face's tools: HF_ENDPOINT; HF_TOKEN,
// HF_TOKEN_PATH; HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME; HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE. With none set it is the
// public hub, the token that "hf auth login" stored if there is one, and ~/.cache/huggingface/hub.
func FromEnvironment() (*Client, error) {
	c := &Client{Endpoint: "https://huggingface.co"}
	if e := os.Getenv("HF_ENDPOINT"); e != "" {
		c.Endpoint = strings.TrimRight(e, "/")
	}
	if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("HF_ENDPOINT is %q, expected an address such as https://huggingface.co", c.Endpoint)
	}
	home, err := folder("HF_HOME")
	if err == nil && home == "" {
		if home, err = folder("XDG_CACHE_HOME"); err == nil && home == "" {
			home, err = expand("~/.cache")
		}
		home = filepath.Join(home, "huggingface")
	}
	if err != nil {
		return nil, err
	}
	for _, variable := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if c.CacheDir == "" {
			if c.CacheDir, err = folder(variable); err != nil {
				return nil, err
			}
		}
	}
	if c.CacheDir == "" {
		c.CacheDir = filepath.Join(home, "hub")
	}
	c.Offline = isTrue(os.Getenv("HF_HUB_OFFLINE")) || isTrue(os.Getenv("TRANSFORMERS_OFFLINE"))
	if c.Token = strings.TrimSpace(os.Getenv("HF_TOKEN")); c.Token == "" {
		path, err := folder("HF_TOKEN_PATH")
		if err != nil {
			return nil, err
		}
		if path == "" {
			path = filepath.Join(home, "token")
		}
		if text, err := os.ReadFile(path); err == nil {
			c.Token = strings.TrimSpace(string(text))
		}
	}
	return c, nil
}

// folder is a variable's value with ~ and other variables expanded.
func folder(variable string) (string, error) { return expand(os.Getenv(variable)) }

func expand(path string) (string, error) {
	path = os.ExpandEnv(path)
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, path[1:]), err
}

func isTrue(value string) bool {
	return slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(value))
}

// repoName is what the hub accepts: name or owner/name.
var repoName = regexp.MustCompile(`^(\w[\w.-]*/)?\w[\w.-]*$`)

// Resolve returns the folder of a model. An existing folder is returned as it is. Otherwise name is a model of the hub,
// and the folder is its snapshot in the cache, with the files that a model needs (configuration, tokenizer, image
// processor, and weights: safetensors if there are any, else PyTorch's); missing ones are downloaded. The folder is to be
// read only.
//
// When the hub cannot be reached, a snapshot that was downloaded before is returned. Errors say whether the model does
// not exist, needs a token, or is not in the cache.
func (c *Client) Resolve(ctx context.Context, name string) (dir string, err error) {
	if info, err := os.Stat(name); err == nil {
		if !info.IsDir() {
			return "", fmt.Errorf("%s: a file, expected a model's folder or a name on the hub", name)
		}
		return name, nil
	}
	if !repoName.MatchString(name) || strings.Contains(name, "..") || strings.Contains(name, "--") {
		return "", fmt.Errorf("%s: no such folder, and no name of a model on the hub (owner/name)", name)
	}
	if !fs.ValidPath(c.revision()) {
		return "", fmt.Errorf("%s: revision %q, expected a branch, tag or commit", name, c.Revision)
	}
	const prefix = "no such folder, and as a model of the hub"
	r := &repo{Client: c, name: name, dir: filepath.Join(c.CacheDir, "models--"+strings.ReplaceAll(name, "/", "--"))}
	if c.Offline {
		dir, missing := r.cached()
		if len(missing) > 0 {
			return "", fmt.Errorf("%s: %s: offline (HF_HUB_OFFLINE). %s", name, prefix, r.howTo(missing))
		}
		return dir, nil
	}
	dir, err = r.download(ctx)
	if unreachable := (*unreachableError)(nil); errors.As(err, &unreachable) && ctx.Err() == nil {
		cached, missing := r.cached()
		if len(missing) == 0 {
			return cached, nil
		}
		return "", fmt.Errorf("%s: %s: %w. %s", name, prefix, err, r.howTo(missing))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", name, prefix, err)
	}
	return dir, nil
}

func (r *repo) howTo(missing []string) string {
	return fmt.Sprintf("Missing in %s: %s. Download the model once with a network, or put its files in a folder and give that folder's name",
		r.dir, strings.Join(missing, ", "))
}

// smallFiles are taken if the repository has them; config.json it must have.
var smallFiles = []string{
	"config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
	"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "vocab.txt", "special_tokens_map.json",
	"added_tokens.json",
}

// weightFiles are the kinds of weights, the best first; an index comes with its shards.
var weightFiles = []string{
	"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
}

// repo is a model of the hub.
type repo struct {
	*Client
	name string
	dir  string // in the cache
}

// download fetches what the snapshot of the wanted revision lacks. Weights come last, and the reference to the commit
// after them, so a snapshot that has its weights is complete.
func (r *repo) download(ctx context.Context) (snapshot string, err error) {
	commit, files, err := r.list(ctx)
	if err != nil {
		return "", err
	}
	snapshot = filepath.Join(r.dir, "snapshots", commit)
	if !slices.Contains(files, "config.json") {
		return "", fmt.Errorf("no config.json in the repository: not a model for transformers")
	}
	weights := ""
	for _, file := range weightFiles {
		if slices.Contains(files, file) {
			weights = file
			break
		}
	}
	if weights == "" {
		return "", fmt.Errorf("no weights in the repository: expected one of %s", strings.Join(weightFiles, ", "))
	}
	for _, file := range append(slices.Clone(smallFiles), weights) {
		if slices.Contains(files, file) {
			if err := r.fetch(ctx, commit, file); err != nil {
				return "", err
			}
		}
	}
	shards, err := shardsOf(snapshot, weights)
	if err != nil {
		return "", err
	}
	for _, shard := range shards {
		if !slices.Contains(files, shard) {
			return "", fmt.Errorf("%s names the shard %q, which is not in the repository", weights, shard)
		}
		if err := r.fetch(ctx, commit, shard); err != nil {
			return "", err
		}
	}
	return snapshot, r.setRef(commit)
}

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// list asks the hub for the commit of the revision and the files in it.
func (r *repo) list(ctx context.Context) (commit string, files []string, err error) {
	address := fmt.Sprintf("%s/api/models/%s/revision/%s", r.Endpoint, r.name, url.PathEscape(r.revision()))
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	err = r.retry(ctx, func() (bool, error) {
		ctx, cancel := answerSoon(ctx, address)
		defer cancel()
		response, err := r.request(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&info); err != nil {
			return false, &unreachableError{fmt.Errorf("%s: %w", address, err)}
		}
		return false, nil
	})
	if err != nil {
		return "", nil, err
	}
	if !commitHash.MatchString(info.SHA) {
		return "", nil, fmt.Errorf("%s: commit %q, expected 40 hexadecimal digits", address, info.SHA)
	}
	for _, s := range info.Siblings {
		files = append(files, s.Name)
	}
	return info.SHA, files, nil
}

func (c *Client) revision() string {
	if c.Revision == "" {
		return "main"
	}
	return c.Revision
}

// shardsOf reads the names of the shards from an index in a snapshot; it returns none for other files.
func shardsOf(snapshot, index string) ([]string, error) {
	if !strings.HasSuffix(index, ".index.json") {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(snapshot, index))
	if err != nil {
		return nil, err
	}
	var content struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	var shards []string
	for _, shard := range content.WeightMap {
		if !fs.ValidPath(shard) || !filepath.IsLocal(filepath.FromSlash(shard)) {
			return nil, fmt.Errorf("%s names the shard %q, expected a file in the repository", index, shard)
		}
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	return slices.Compact(shards), nil
}
