package hub

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	attempts     = 5                // without a byte of progress, until a download is given up
	idleTimeout  = 60 * time.Second // without a byte, until a connection is given up
	soon         = 30 * time.Second // for answers without a file
	progressStep = 100 * time.Millisecond
)

// unreachableError is a failure of the network or the hub, which another attempt may not meet.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// retry calls try until it succeeds, fails for good, or has failed to reach the hub too often in a row; try says whether
// it made progress.
func (c *Client) retry(ctx context.Context, try func() (progress bool, err error)) error {
	first := cmp.Or(c.wait, time.Second)
	wait := first
	for failed := 1; ; failed++ {
		progress, err := try()
		if unreachable := (*unreachableError)(nil); err == nil || !errors.As(err, &unreachable) {
			return err
		}
		if progress {
			failed, wait = 1, first
		}
		if failed >= attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// errRange is the answer to a resumed download that has more bytes than the file.
var errRange = errors.New("range not satisfiable")

// answerSoon limits the time for an answer that is no file.
func answerSoon(ctx context.Context, address string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, soon, &unreachableError{fmt.Errorf("%s: no answer for %v", address, soon)})
}

// request sends a request and returns a response of 2xx or 3xx. Redirects are followed for GET, and for HEAD until the
// hub's own description of a file is met; Go's client keeps the token from other hosts.
func (c *Client) request(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	request.Header.Set("Accept-Encoding", "identity") // ranges and lengths are those of the file
	request.Header.Set("User-Agent", "ekphrasis")
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := &http.Client{CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if method == http.MethodHead && next.Response.Header.Get("X-Linked-Etag") != "" {
			return http.ErrUseLastResponse
		}
		if len(via) >= 10 {
			return errors.New("10 redirects")
		}
		return nil
	}}
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &unreachableError{err}
	}
	if err := c.statusError(response, address); err != nil {
		response.Body.Close()
		return nil, err
	}
	return response, nil
}

// statusError explains a status that is no success.
func (c *Client) statusError(response *http.Response, address string) error {
	status := response.StatusCode
	if status < 400 {
		return nil
	}
	why := address + ": " + response.Status
	if text := response.Header.Get("X-Error-Message"); text != "" {
		why += ": " + text
	}
	code := response.Header.Get("X-Error-Code")
	switch {
	case code == "RevisionNotFound":
		return fmt.Errorf("no revision %q (%s)", c.revision(), why)
	case code == "GatedRepo", status == http.StatusForbidden:
		return fmt.Errorf("access must be granted to you: ask for it on the model's page and set HF_TOKEN (%s)", why)
	case status == http.StatusUnauthorized && c.Token != "":
		return fmt.Errorf("no such model on the hub, or the token in HF_TOKEN does not give access (%s)", why)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("no such model on the hub, or a private one that needs a token in HF_TOKEN (%s)", why)
	case status == http.StatusNotFound:
		return fmt.Errorf("not found on the hub (%s)", why)
	case status == http.StatusRequestedRangeNotSatisfiable:
		return &unreachableError{fmt.Errorf("%w (%s)", errRange, why)}
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return &unreachableError{errors.New(why)}
	}
	return errors.New(why)
}

// remoteFile is what the hub says about a file.
type remoteFile struct {
	name    string
	address string
	etag    string
	size    int64 // -1: unknown
}

var safeETag = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)

// describe asks for a file's ETag and size.
func (r *repo) describe(ctx context.Context, commit, file string) (remoteFile, error) {
	f := remoteFile{name: file, address: fmt.Sprintf("%s/%s/resolve/%s/%s", r.Endpoint, r.name, commit, file), size: -1}
	var header http.Header
	length := int64(-1)
	err := r.retry(ctx, func() (bool, error) {
		ctx, cancel := answerSoon(ctx, f.address)
		defer cancel()
		response, err := r.request(ctx, http.MethodHead, f.address, nil)
		if err != nil {
			return false, err
		}
		header = response.Header
		if response.StatusCode < 300 {
			length = response.ContentLength
		}
		return false, response.Body.Close()
	})
	if err != nil {
		return f, err
	}
	etag := header.Get("X-Linked-Etag")
	if etag == "" {
		etag = header.Get("ETag")
	}
	f.etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if !safeETag.MatchString(f.etag) {
		return f, fmt.Errorf("%s: ETag %q, expected a checksum: is this a hub?", f.address, etag)
	}
	f.size = length
	if linked, err := strconv.ParseInt(header.Get("X-Linked-Size"), 10, 64); err == nil {
		f.size = linked
	}
	return f, nil
}

// fetch puts a file into the snapshot unless it is there.
func (r *repo) fetch(ctx context.Context, commit, file string) error {
	path := filepath.Join(r.dir, "snapshots", commit, filepath.FromSlash(file))
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := r.describe(ctx, commit, file)
	if err != nil {
		return err
	}
	blob := filepath.Join(r.dir, "blobs", f.etag)
	if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
		return err
	}
	// The lock is the one that Hugging Face's tools take.
	unlock, err := lock(ctx, filepath.Join(r.CacheDir, ".locks", filepath.Base(r.dir), f.etag+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil { // another process was faster
		return nil
	}
	if _, err := os.Stat(blob); err != nil {
		if err := r.fetchBlob(ctx, f, blob); err != nil {
			return err
		}
	}
	return link(blob, path)
}

// fetchBlob downloads to blob.incomplete, continuing what an earlier attempt left there, verifies, and renames.
func (r *repo) fetchBlob(ctx context.Context, f remoteFile, blob string) (err error) {
	partial, err := os.OpenFile(blob+".incomplete", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if e := partial.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = os.Rename(partial.Name(), blob)
		}
	}()
	furthest := int64(0)
	for fresh := false; ; fresh = true {
		old, err := partial.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		err = r.retry(ctx, func() (bool, error) {
			done, err := r.continueBlob(ctx, f, partial)
			progress := done > furthest // not what a server without ranges sends again
			furthest = max(furthest, done)
			return progress, err
		})
		if err != nil {
			return err
		}
		if err = verify(partial, f); err == nil {
			return partial.Sync()
		}
		// What was there before may be the fault: once more from the start.
		if e := partial.Truncate(0); e != nil {
			return e
		}
		if fresh || old == 0 {
			return err
		}
	}
}

// continueBlob appends the rest of the file to partial, and returns how many bytes are there.
func (r *repo) continueBlob(ctx context.Context, f remoteFile, partial *os.File) (done int64, err error) {
	done, err = partial.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if f.size < 0 || done > f.size {
		if done, err = 0, restart(partial); err != nil {
			return 0, err
		}
	}
	r.report(f, done)
	if done == f.size {
		return done, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleTimeout, func() {
		cancel(&unreachableError{fmt.Errorf("%s: no data for %v", f.address, idleTimeout)})
	})
	defer idle.Stop()

	header := http.Header{}
	if done > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", done))
	}
	response, err := r.request(ctx, http.MethodGet, f.address, header)
	if errors.Is(err, errRange) {
		err = errors.Join(err, restart(partial))
	}
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	got := response.Header.Get("Content-Range")
	switch {
	case response.StatusCode == http.StatusPartialContent && !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", done)):
		return 0, fmt.Errorf("%s: asked for bytes from %d on, got %q", f.address, done, got)
	case response.StatusCode != http.StatusPartialContent && done > 0: // the server sends the whole file
		if done, err = 0, restart(partial); err != nil {
			return 0, err
		}
	}
	if f.size < 0 && response.ContentLength >= 0 {
		f.size = response.ContentLength
	}
	return r.receive(ctx, f, partial, done, response.Body, func() { idle.Reset(idleTimeout) })
}

// receive appends body to partial, which has done bytes, and returns how many it has then. It calls alive when data
// arrive.
func (r *repo) receive(ctx context.Context, f remoteFile, partial *os.File, done int64, body io.Reader, alive func()) (int64, error) {
	if f.size >= 0 {
		body = io.LimitReader(body, f.size-done+1) // one too many is enough to fail
	}
	var failed error // to write, which is no fault of the network
	shown := time.Now()
	_, err := io.Copy(writerFunc(func(p []byte) (int, error) {
		alive()
		var n int
		n, failed = partial.Write(p)
		done += int64(n)
		if now := time.Now(); now.Sub(shown) >= progressStep {
			shown = now
			r.report(f, done)
		}
		return n, failed
	}), body)
	switch {
	case failed != nil:
		return done, failed
	case ctx.Err() != nil:
		return done, context.Cause(ctx)
	case err != nil:
		return done, &unreachableError{fmt.Errorf("%s: after %d of %d bytes: %w", f.address, done, f.size, err)}
	case done < f.size:
		return done, &unreachableError{fmt.Errorf("%s: the connection ended after %d of %d bytes", f.address, done, f.size)}
	}
	r.report(f, done)
	return done, nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (c *Client) report(f remoteFile, done int64) {
	if c.Progress != nil {
		c.Progress(f.name, done, f.size)
	}
}

func restart(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// verify compares a file's size, and its checksum if the ETag is one: SHA-256 for large files, Git's SHA-1 of a blob for
// the others.
func verify(file *os.File, f remoteFile) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if f.size >= 0 && size != f.size {
		return fmt.Errorf("%s: %d bytes, expected %d", f.address, size, f.size)
	}
	var sum hash.Hash
	switch len(f.etag) {
	case 2 * sha256.Size:
		sum = sha256.New()
	case 2 * sha1.Size:
		sum = sha1.New()
		fmt.Fprintf(sum, "blob %d\x00", size)
	default:
		return nil
	}
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, size)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.etag {
		return fmt.Errorf("%s: checksum %s, expected %s: damaged on the way", f.address, got, f.etag)
	}
	return nil
}
