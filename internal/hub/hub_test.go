package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// server serves one model as the hub does: metadata and small files itself, large ones by a redirect to another host.
type server struct {
	*httptest.Server
	cdn *httptest.Server

	mu       sync.Mutex
	repo     string
	commit   string
	files    map[string]string // content; those of more than 100 bytes are large
	token    string            // required if not empty
	requests []string          // method, path and range
	cdnAuth  []string          // the Authorization headers that the CDN saw
	cut      []int             // the next bodies from the CDN end after so many bytes
	noRanges bool
	fail     int               // the next requests answered by 503
	corrupt  map[string]string // what the CDN sends instead of a file
	noSizes  bool              // HEAD tells no size
}

func newServer(t *testing.T, files map[string]string) *server {
	s := &server{repo: "owner/name", commit: commit, files: files, corrupt: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.hub))
	s.cdn = httptest.NewServer(http.HandlerFunc(s.content))
	t.Cleanup(s.Server.Close)
	t.Cleanup(s.cdn.Close)
	return s
}

func (s *server) client(t *testing.T) *Client {
	return &Client{Endpoint: s.URL, CacheDir: t.TempDir(), wait: time.Millisecond}
}

func (s *server) log(r *http.Request) {
	entry := r.Method + " " + r.URL.Path
	if h := r.Header.Get("Range"); h != "" {
		entry += " " + h
	}
	s.requests = append(s.requests, entry)
}

// seen returns the requests since the last call.
func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

func sha256Of(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

func gitHash(content string) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)))
}

func (s *server) hub(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log(r)
	if s.fail > 0 {
		s.fail--
		http.Error(w, "", http.StatusServiceUnavailable)
		return
	}
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token || !strings.Contains(r.URL.Path, s.repo) {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.Header().Set("X-Error-Message", "Repository not found")
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	if revision, ok := strings.CutPrefix(r.URL.Path, "/api/models/"+s.repo+"/revision/"); ok {
		if revision != "main" && revision != s.commit {
			w.Header().Set("X-Error-Code", "RevisionNotFound")
			http.Error(w, "", http.StatusNotFound)
			return
		}
		type sibling struct {
			Name string `json:"rfilename"`
		}
		var siblings []sibling
		for _, name := range slices.Sorted(maps.Keys(s.files)) {
			siblings = append(siblings, sibling{name})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": s.commit, "siblings": siblings})
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/"+s.repo+"/resolve/"+s.commit+"/")
	content, ok := s.files[name]
	if !ok {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		http.Error(w, "", http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", s.commit)
	if len(content) <= 100 {
		w.Header().Set("ETag", `"`+gitHash(content)+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		return
	}
	w.Header().Set("X-Linked-Etag", `"`+sha256Of(content)+`"`)
	if !s.noSizes {
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
	}
	http.Redirect(w, r, strings.Replace(s.cdn.URL, "127.0.0.1", "localhost", 1)+"/"+name+"?signed", http.StatusFound)
}

func (s *server) content(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log(r)
	s.cdnAuth = append(s.cdnAuth, r.Header.Get("Authorization"))
	name := r.URL.Path[1:]
	content := s.files[name]
	if other, ok := s.corrupt[name]; ok {
		content = other
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	if len(s.cut) > 0 {
		w = &cutter{w, s.cut[0]}
		s.cut = s.cut[1:]
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
}

// cutter breaks the connection after so many bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

var weights = strings.Repeat("0123456789", 50_000)

func model() map[string]string {
	return map[string]string{
		"config.json": "{}", "tokenizer.json": "tokens", "preprocessor_config.json": "{ }", "README.md": "read me",
		"model.safetensors": weights, "pytorch_model.bin": weights + "!", "tf_model.h5": "tf",
	}
}

func mustResolve(t *testing.T, c *Client, name string) string {
	t.Helper()
	dir, err := c.Resolve(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// holds checks a folder's files.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		got[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("files %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func only(files map[string]string, names ...string) map[string]string {
	m := map[string]string{}
	for _, name := range names {
		m[name] = files[name]
	}
	return m
}

func TestAFolderIsItself(t *testing.T) {
	dir := t.TempDir()
	c := &Client{Endpoint: "http://127.0.0.1:1"}
	if got := mustResolve(t, c, dir); got != dir {
		t.Errorf("got %s", got)
	}
	t.Chdir(dir)
	if err := os.MkdirAll("owner/name", 0o777); err != nil {
		t.Fatal(err)
	}
	if got := mustResolve(t, c, "owner/name"); got != "owner/name" {
		t.Errorf("got %s", got)
	}
	if err := os.WriteFile("file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"file": "file: a file, expected", "/no/such": "/no/such: no such folder", "./a": "no such folder", "a/b/c": "no such folder",
		"../a": "no such folder", "a..b": "no such folder", "a--b": "no such folder", "": "no such folder", "~/a": "no such folder",
	} {
		if _, err := c.Resolve(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", name, err, want)
		}
	}
}

// linksAreMade reports whether the system lets this user make symbolic links:
// Windows does so only if that was asked for.
func linksAreMade(t *testing.T) bool {
	t.Helper()
	return os.Symlink("target", filepath.Join(t.TempDir(), "link")) == nil
}

func TestWhatAModelNeedsIsDownloadedOnce(t *testing.T) {
	s := newServer(t, model())
	c := s.client(t)
	var progress []string
	c.Progress = func(file string, done, total int64) {
		progress = append(progress, fmt.Sprint(file, " ", done, "/", total))
	}
	dir := mustResolve(t, c, "owner/name")
	if want := filepath.Join(c.CacheDir, "models--owner--name", "snapshots", commit); dir != want {
		t.Errorf("folder %s, want %s", dir, want)
	}
	holds(t, dir, only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))

	// The cache is laid out as Hugging Face's tools expect it.
	want := map[string]string{"refs/main": commit}
	if linksAreMade(t) {
		want["blobs/"+gitHash("tokens")], want["blobs/"+sha256Of(weights)] = "tokens", weights
		if target, err := os.Readlink(filepath.Join(dir, "model.safetensors")); err != nil || filepath.ToSlash(target) != "../../blobs/"+sha256Of(weights) {
			t.Errorf("link to %q, %v", target, err)
		}
	}
	for path, content := range want {
		if got, err := os.ReadFile(filepath.Join(c.CacheDir, "models--owner--name", path)); err != nil || string(got) != content {
			t.Errorf("%s: %v", path, err)
		}
	}

	size := strconv.Itoa(len(weights))
	for _, want := range []string{"config.json 0/2", "config.json 2/2", "model.safetensors 0/" + size, "model.safetensors " + size + "/" + size} {
		if !slices.Contains(progress, want) {
			t.Errorf("no progress %q in %q", want, progress)
		}
	}

	s.seen()
	if again := mustResolve(t, c, "owner/name"); again != dir {
		t.Errorf("the second time the folder is %s", again)
	}
	if got := s.seen(); len(got) != 1 {
		t.Errorf("the second time it asks %v", got)
	}
}

func TestANewCommitSharesWhatDidNotChange(t *testing.T) {
	s := newServer(t, model())
	c := s.client(t)
	first := mustResolve(t, c, "owner/name")
	s.commit = strings.Repeat("f", 40)
	s.files["config.json"] = `{"new":1}`
	s.seen()
	second := mustResolve(t, c, "owner/name")
	holds(t, second, only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))
	if content, _ := os.ReadFile(filepath.Join(first, "config.json")); string(content) != "{}" {
		t.Errorf("the old config.json is now %s", content)
	}
	if got := s.seen(); linksAreMade(t) && slices.Contains(got, "GET /model.safetensors") {
		t.Errorf("it asked %v", got)
	}
}

func TestAModelOfOneNameAndARevisionAreFound(t *testing.T) {
	s := newServer(t, model())
	s.repo = "gpt2"
	c := s.client(t)
	c.Revision = commit
	dir := mustResolve(t, c, "gpt2")
	if want := filepath.Join(c.CacheDir, "models--gpt2", "snapshots", commit); dir != want {
		t.Errorf("folder %s, want %s", dir, want)
	}
	c.Offline = true
	if got := mustResolve(t, c, "gpt2"); got != dir {
		t.Errorf("offline the folder is %s", got)
	}
	c.Offline, c.Revision = false, "v2"
	if _, err := c.Resolve(t.Context(), "gpt2"); err == nil || !strings.Contains(err.Error(), `no revision "v2"`) {
		t.Errorf("error %v", err)
	}
	c.Revision = "../../x"
	if _, err := c.Resolve(t.Context(), "gpt2"); err == nil || !strings.Contains(err.Error(), "expected a branch") {
		t.Errorf("error %v", err)
	}
}

func TestTheBestWeightsAreTaken(t *testing.T) {
	shards := `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"sub/two.safetensors","c":"sub/two.safetensors"}}`
	files := map[string]string{
		"config.json": "{}", "model.safetensors": "s", "model.safetensors.index.json": shards,
		"model-00001-of-00002.safetensors": "one", "sub/two.safetensors": "two", "sub/three.safetensors": "three",
		"pytorch_model.bin": "p", "pytorch_model.bin.index.json": `{"weight_map":{"a":"pytorch_model-00001-of-00001.bin"}}`,
		"pytorch_model-00001-of-00001.bin": "pp",
	}
	for _, step := range [][]string{
		{"model.safetensors"},
		{"model.safetensors.index.json", "model-00001-of-00002.safetensors", "sub/two.safetensors"},
		{"pytorch_model.bin"},
		{"pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"},
	} {
		s := newServer(t, maps.Clone(files))
		c := s.client(t)
		dir := mustResolve(t, c, "owner/name")
		holds(t, dir, only(files, append(step, "config.json")...))
		c.Offline = true
		if got := mustResolve(t, c, "owner/name"); got != dir {
			t.Errorf("offline the folder is %s", got)
		}
		last := step[len(step)-1]
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(last))); err != nil {
			t.Fatal(err)
		}
		want := last
		if len(step) == 1 {
			want = "weights"
		}
		if _, err := c.Resolve(t.Context(), "owner/name"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s the error is %v", last, err)
		}
		delete(files, step[0])
	}
}

func TestACutConnectionIsResumed(t *testing.T) {
	s := newServer(t, model())
	s.cut = []int{1000, 0, 200_000}
	c := s.client(t)
	dir := mustResolve(t, c, "owner/name")
	holds(t, dir, only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))
	var ranges []string
	for _, r := range s.seen() {
		if rest, ok := strings.CutPrefix(r, "GET /model.safetensors"); ok {
			ranges = append(ranges, rest)
		}
	}
	if want := []string{"", " bytes=1000-", " bytes=1000-", " bytes=201000-"}; !slices.Equal(ranges, want) {
		t.Errorf("ranges %q, want %q", ranges, want)
	}
}

func TestAnInterruptedDownloadIsResumedLater(t *testing.T) {
	s := newServer(t, model())
	c := s.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.cut = []int{300_000}
	c.Progress = func(file string, done, total int64) {
		if file == "model.safetensors" && done == 300_000 { // reported when the second attempt starts
			cancel()
		}
	}
	if _, err := c.Resolve(ctx, "owner/name"); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if refs, _ := os.ReadDir(filepath.Join(c.CacheDir, "models--owner--name", "refs")); len(refs) != 0 {
		t.Error("an incomplete snapshot has a reference")
	}
	s.seen()
	c.Progress = nil
	mustResolve(t, c, "owner/name")
	if got := s.seen(); !slices.Contains(got, "GET /model.safetensors bytes=300000-") || slices.Contains(got, "GET /model.safetensors") {
		t.Errorf("it asked %v", got)
	}
}

func TestAServerWithoutRangesStartsAgain(t *testing.T) {
	s := newServer(t, model())
	s.noRanges, s.cut = true, []int{1000, 1000, 2000, 500}
	dir := mustResolve(t, s.client(t), "owner/name")
	holds(t, dir, only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))

	s.commit, s.cut = strings.Repeat("e", 40), slices.Repeat([]int{1000}, 100)
	if _, err := s.client(t).Resolve(t.Context(), "owner/name"); err == nil || !strings.Contains(err.Error(), "model.safetensors: ") {
		t.Errorf("a server that never gets further: error %v", err)
	}
	if tries := 100 - len(s.cut); tries != 1+attempts-1 {
		t.Errorf("%d attempts, want %d", tries, attempts)
	}
}

func TestAFileOfUnknownSizeIsDownloaded(t *testing.T) {
	s := newServer(t, model())
	s.noSizes, s.cut = true, []int{1000}
	dir := mustResolve(t, s.client(t), "owner/name")
	holds(t, dir, only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))
}

func TestADamagedFileIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"changed": strings.Replace(weights, "5", "6", 1),
		"longer":  weights + "x",
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, model())
			s.corrupt["model.safetensors"] = content
			c := s.client(t)
			_, err := c.Resolve(t.Context(), "owner/name")
			if err == nil || !strings.Contains(err.Error(), "model.safetensors: ") || !strings.Contains(err.Error(), "expected") {
				t.Fatalf("error %v", err)
			}
			if _, err := os.Stat(filepath.Join(c.CacheDir, "models--owner--name", "blobs", sha256Of(weights))); err == nil {
				t.Error("the damaged file has its name in the cache")
			}
			delete(s.corrupt, "model.safetensors")
			holds(t, mustResolve(t, c, "owner/name"), only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))
		})
	}
}

func TestADamagedRestOfAnEarlierDownloadIsDroppedOnce(t *testing.T) {
	for name, rest := range map[string]string{
		"wrong start": strings.Repeat("x", 100), "too long": weights + "more", "whole but wrong": strings.Repeat("x", len(weights)),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, model())
			c := s.client(t)
			blobs := filepath.Join(c.CacheDir, "models--owner--name", "blobs")
			if err := os.MkdirAll(blobs, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(blobs, sha256Of(weights)+".incomplete"), []byte(rest), 0o666); err != nil {
				t.Fatal(err)
			}
			holds(t, mustResolve(t, c, "owner/name"), only(s.files, "config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"))
		})
	}
}

func TestAFileThatIsShorterThanItsRestIsFetchedAnew(t *testing.T) {
	s := newServer(t, model())
	s.cut = []int{1000}
	c := s.client(t)
	c.Progress = func(file string, done, _ int64) {
		if file == "model.safetensors" && done == 1000 {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.corrupt["model.safetensors"] = "short" // 416 for the rest, then too short
		}
	}
	_, err := c.Resolve(t.Context(), "owner/name")
	if err == nil || !strings.Contains(err.Error(), "after 5 of 500000 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestAnOverloadedHubIsAskedAgain(t *testing.T) {
	s := newServer(t, model())
	s.fail = attempts - 1
	mustResolve(t, s.client(t), "owner/name")
	s.fail = 1000
	if _, err := s.client(t).Resolve(t.Context(), "owner/name"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v", err)
	}
}

func TestTheTokenIsForTheHubAlone(t *testing.T) {
	s := newServer(t, model())
	s.token = "secret"
	c := s.client(t)
	if _, err := c.Resolve(t.Context(), "owner/name"); err == nil || !strings.Contains(err.Error(), "needs a token in HF_TOKEN") {
		t.Errorf("error %v", err)
	}
	c.Token = "wrong"
	_, err := c.Resolve(t.Context(), "owner/name")
	if err == nil || !strings.Contains(err.Error(), "the token in HF_TOKEN does not give access") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("error %v", err)
	}
	c.Token = "secret"
	mustResolve(t, c, "owner/name")
	if len(s.cdnAuth) == 0 || slices.ContainsFunc(s.cdnAuth, func(h string) bool { return h != "" }) {
		t.Errorf("the other host saw %q", s.cdnAuth)
	}
}

func TestErrorsOfTheHubAreExplained(t *testing.T) {
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "<html>")
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"gated", status(403, "X-Error-Code", "GatedRepo", "X-Error-Message", "Ask first"), "access must be granted"},
		{"not found", status(404), "not found on the hub"},
		{"no hub", status(200), "invalid character"},
		{"bad request", status(400, "X-Error-Message", "bad name"), "400 Bad Request: bad name"},
		{"no commit", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, `{"sha":"../../etc"}`) }, `commit "../../etc"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := httptest.NewServer(test.handler)
			defer s.Close()
			c := &Client{Endpoint: s.URL, CacheDir: t.TempDir(), wait: time.Millisecond}
			_, err := c.Resolve(t.Context(), "owner/name")
			if err == nil || !strings.HasPrefix(err.Error(), "owner/name: no such folder, and as a model of the hub: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestARepositoryThatIsNoModelIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no configuration": {map[string]string{"model.safetensors": "x"}, "no config.json"},
		"no weights":       {map[string]string{"config.json": "x", "tf_model.h5": "x"}, "no weights in the repository"},
		"lost shard":       {map[string]string{"config.json": "x", "model.safetensors.index.json": `{"weight_map":{"a":"lost"}}`}, `shard "lost"`},
		"shard elsewhere":  {map[string]string{"config.json": "x", "model.safetensors.index.json": `{"weight_map":{"a":"../../b"}}`, "../../b": "x"}, `shard "../../b"`},
		"broken index":     {map[string]string{"config.json": "x", "model.safetensors.index.json": `{`}, "model.safetensors.index.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, test.files)
			if _, err := s.client(t).Resolve(t.Context(), "owner/name"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestOfflineTheCacheServes(t *testing.T) {
	s := newServer(t, model())
	c := s.client(t)
	c.Offline = true
	_, err := c.Resolve(t.Context(), "owner/name")
	if err == nil {
		t.Fatal("a cold cache served")
	}
	for _, want := range []string{"owner/name", "HF_HUB_OFFLINE", c.CacheDir, "config.json", "model.safetensors", "folder"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	c.Offline = false
	dir := mustResolve(t, c, "owner/name")
	s.seen()
	c.Offline = true
	if got := mustResolve(t, c, "owner/name"); got != dir {
		t.Errorf("folder %s, want %s", got, dir)
	}
	if got := s.seen(); len(got) != 0 {
		t.Errorf("offline it asked %v", got)
	}
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resolve(t.Context(), "owner/name"); err == nil || !strings.Contains(err.Error(), ": config.json.") {
		t.Errorf("error %v", err)
	}
}

func TestWithoutANetworkTheCacheServes(t *testing.T) {
	s := newServer(t, model())
	c := s.client(t)
	dir := mustResolve(t, c, "owner/name")
	s.Server.Close()
	if got := mustResolve(t, c, "owner/name"); got != dir {
		t.Errorf("folder %s, want %s", got, dir)
	}
	c.CacheDir = t.TempDir()
	_, err := c.Resolve(t.Context(), "owner/name")
	if err == nil || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), "Missing in "+c.CacheDir) {
		t.Errorf("error %v", err)
	}
}

func TestSeveralDownloadsAtOnceDoTheWorkOnce(t *testing.T) {
	s := newServer(t, model())
	c := s.client(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			dir, err := c.Resolve(t.Context(), "owner/name")
			if err != nil {
				t.Error(err)
				return
			}
			if content, err := os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil || string(content) != weights {
				t.Errorf("%d bytes, %v", len(content), err)
			}
		})
	}
	group.Wait()
	n := 0
	for _, r := range s.seen() {
		if strings.HasPrefix(r, "GET /model.safetensors") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d downloads", n)
	}
}

func TestTheEnvironmentIsHuggingFaces(t *testing.T) {
	home := t.TempDir()
	all := []string{"HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
		"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
	if err := os.MkdirAll(filepath.Join(home, "hf"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "hf", "token"), []byte("stored\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		want Client
	}{
		{"nothing", nil, Client{Endpoint: "https://huggingface.co", CacheDir: "~/.cache/huggingface/hub"}},
		{"endpoint", map[string]string{"HF_ENDPOINT": "http://mirror:80/hf/"}, Client{Endpoint: "http://mirror:80/hf", CacheDir: "~/.cache/huggingface/hub"}},
		{"XDG", map[string]string{"XDG_CACHE_HOME": "/x"}, Client{Endpoint: "https://huggingface.co", CacheDir: "/x/huggingface/hub"}},
		{"home", map[string]string{"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/x"}, Client{Endpoint: "https://huggingface.co", CacheDir: "~/hf/hub", Token: "stored"}},
		{"cache", map[string]string{"HF_HUB_CACHE": "$HOME/c", "HF_HOME": "~/hf"}, Client{Endpoint: "https://huggingface.co", CacheDir: "~/c", Token: "stored"}},
		{"token", map[string]string{"HF_TOKEN": " t ", "HF_HOME": "~/hf"}, Client{Endpoint: "https://huggingface.co", CacheDir: "~/hf/hub", Token: "t"}},
		{"token's path", map[string]string{"HF_TOKEN_PATH": "~/hf/token"}, Client{Endpoint: "https://huggingface.co", CacheDir: "~/.cache/huggingface/hub", Token: "stored"}},
		{"offline", map[string]string{"HF_HUB_OFFLINE": "True"}, Client{Endpoint: "https://huggingface.co", CacheDir: "~/.cache/huggingface/hub", Offline: true}},
		{"online", map[string]string{"HF_HUB_OFFLINE": "0"}, Client{Endpoint: "https://huggingface.co", CacheDir: "~/.cache/huggingface/hub"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, variable := range all {
				t.Setenv(variable, test.env[variable])
			}
			t.Setenv("HOME", home)
			t.Setenv("USERPROFILE", home) // what Windows calls it
			got, err := FromEnvironment()
			if err != nil {
				t.Fatal(err)
			}
			want := test.want
			want.CacheDir = filepath.FromSlash(strings.Replace(want.CacheDir, "~", home, 1))
			if got.Endpoint != want.Endpoint || filepath.Clean(got.CacheDir) != want.CacheDir || got.Token != want.Token || got.Offline != want.Offline {
				t.Errorf("got %+v, want %+v", *got, want)
			}
		})
	}
	t.Setenv("HF_ENDPOINT", "mirror")
	if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), `HF_ENDPOINT is "mirror"`) {
		t.Errorf("error %v", err)
	}
}
