package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Client downloads files over HTTP: it resumes what is there in part, tries again what a
// network or a server fails at for a moment, and explains the rest. The zero value works.
type Client struct {
	// Agent is the User-Agent, "steer" if empty.
	Agent string
	// Tries bounds the attempts in a row without a byte gained; 0: 5.
	Tries int
	// Stall ends an attempt in which no byte came for so long; 0: a minute.
	Stall time.Duration
	// Transport sends requests; nil: one with time limits and the machine's proxy settings.
	Transport http.RoundTripper
	// Sleep waits between attempts; nil: as long as asked. Tests do not wait.
	Sleep func(context.Context, time.Duration) error
	// Note is told what the user should know: a retry, a resumption refused.
	Note func(string)
}

// Request is a file to download.
type Request struct {
	URL   string
	Token string // bearer token, sent to URL's host only
	// To is where the bytes go; a file that is there is gone on with.
	To string
	// Bytes is the size the file must have, 0 if it is not known; no more than Most is taken.
	Bytes, Most int64
	// Known: a hash will tell whether the whole is right, so a part may be gone on with even
	// if the server gives nothing to compare it by.
	Known bool
	// ByContent: To is named after the hash of what it will hold, so a part is gone on with
	// whoever began it, wherever from. Known goes without saying, and nothing is kept beside To.
	ByContent bool
	// Progress is told, if set, of the bytes there and of all (0: not known).
	Progress func(done, total int64)
}

// Response says what a server told of a file.
type Response struct {
	// SHA256 as the Hugging Face hub gives it, "" elsewhere.
	SHA256 string
	// Commit of the hub's repository.
	Commit string
}

// longest wait that a server may ask for.
const longestWait = 2 * time.Minute

// errRange: the part cannot be gone on with.
var errRange = errors.New("the part cannot be gone on with")

// Download fetches a file. After an error, or once ctx has ended, what came is kept in To (with
// what it may be compared by in To+".from"), and the same call goes on there.
func (c *Client) Download(ctx context.Context, r Request) (resp Response, err error) {
	err = c.persist(ctx, func() int64 { return sizeOf(r.To) }, func() error {
		resp, err = c.attempt(ctx, r)
		if err == nil {
			return removeIfThere(r.To + ".from")
		}
		if errors.Is(err, errRange) {
			c.note("%s: the server does not go on where the part ends: from the beginning", r.URL)
			return errors.Join(err, removeIfThere(r.To), removeIfThere(r.To+".from"))
		}
		return err
	})
	return resp, err
}

// persist makes attempts until one succeeds, or fails at what will not pass. As long as gained
// grows from one to the next it does not lose patience.
func (c *Client) persist(ctx context.Context, gained func() int64, attempt func() error) error {
	tries, wait := c.Tries, time.Second
	if tries == 0 {
		tries = 5
	}
	for failed := 1; ; failed++ {
		before := gained()
		err := attempt()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errRange) && failed < tries:
			continue
		case !temporary(err):
			return err
		}
		if gained() > before {
			failed, wait = 1, time.Second
		}
		if failed >= tries {
			return fmt.Errorf("%w (given up after %d attempts)", err, failed)
		}
		pause := wait
		if status, ok := errors.AsType[*StatusError](err); ok && status.After > 0 {
			pause = status.After
		}
		if pause > longestWait {
			return err
		}
		c.note("%v: trying again in %s", err, pause)
		if err := c.sleep(ctx, pause); err != nil {
			return err
		}
		wait = min(2*wait, longestWait)
	}
}

func (c *Client) note(format string, args ...any) {
	if c.Note != nil {
		c.Note(fmt.Sprintf(format, args...))
	}
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt asks once and takes what comes.
func (c *Client) attempt(ctx context.Context, r Request) (out Response, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return out, err
	}
	c.header(req, r.Token)
	have, tag := c.part(r)
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if tag != "" {
			req.Header.Set("If-Range", tag)
		}
	}
	resp, err := c.client(&out).Do(req)
	if err != nil {
		return out, unreachable(r.URL, err)
	}
	defer resp.Body.Close()
	var total int64
	switch resp.StatusCode {
	case http.StatusOK:
		have, total = 0, resp.ContentLength
	case http.StatusPartialContent:
		from, of, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != have {
			return out, errRange
		}
		total = of
	case http.StatusRequestedRangeNotSatisfiable:
		if _, of, ok := contentRange(resp.Header.Get("Content-Range")); ok && of == have && have > 0 {
			return out, c.whole(r, have)
		}
		return out, errRange
	default:
		return out, statusOf(r.URL, resp)
	}
	if r.Bytes > 0 && total > 0 && total != r.Bytes {
		return out, fmt.Errorf("%s: %w: the server has %d bytes, the release %d", r.URL, ErrSize, total, r.Bytes)
	}
	if r.Most > 0 && total > r.Most {
		return out, fmt.Errorf("%s: %w: %d bytes, more than the %d that such a file may have",
			r.URL, ErrBounds, total, r.Most)
	}
	if have == 0 && !r.ByContent {
		mark := cmpTag(resp.Header)
		if err := os.WriteFile(r.To+".from", []byte(r.URL+"\n"+mark+"\n"), 0o666); err != nil {
			return out, err
		}
	}
	got, err := c.receive(cancel, resp.Body, r, have, max(total, 0))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
		return out, err
	}
	if total > 0 && got < total {
		return out, unreachable(r.URL, fmt.Errorf("%w after %d of %d bytes", io.ErrUnexpectedEOF, got, total))
	}
	return out, c.whole(r, got)
}

// whole checks the size of what is there.
func (c *Client) whole(r Request, have int64) error {
	if r.Bytes > 0 && have != r.Bytes {
		return fmt.Errorf("%s: %w: got %d bytes, the release has %d", r.URL, ErrSize, have, r.Bytes)
	}
	return nil
}

// receive appends the body to what is there, from have bytes on.
func (c *Client) receive(
	cancel context.CancelCauseFunc, body io.Reader, r Request, have, total int64,
) (got int64, err error) {
	flags := os.O_WRONLY | os.O_CREATE
	if have == 0 {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(r.To, flags, 0o666)
	if err != nil {
		return have, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return have, err
	}
	stall := c.Stall
	if stall == 0 {
		stall = time.Minute
	}
	watch := time.AfterFunc(stall, func() {
		cancel(fmt.Errorf("%s: %w: no byte for %s", r.URL, ErrUnreachable, stall))
	})
	defer watch.Stop()
	buf := make([]byte, 1<<17)
	for got = have; ; {
		n, err := body.Read(buf)
		watch.Reset(stall)
		if n > 0 {
			if r.Most > 0 && got+int64(n) > r.Most {
				return got, fmt.Errorf("%s: %w: more than the %d bytes that such a file may have", r.URL, ErrBounds,
					r.Most)
			}
			if _, err := f.Write(buf[:n]); err != nil {
				return got, err
			}
			got += int64(n)
			if r.Progress != nil {
				r.Progress(got, total)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return got, f.Sync()
		case err != nil:
			return got, unreachable(r.URL, err)
		}
	}
}

// part is how much of the file is there and can be gone on with, and what the server can
// compare it by.
func (c *Client) part(r Request) (have int64, tag string) {
	if r.ByContent {
		return sizeOf(r.To), ""
	}
	raw, err := os.ReadFile(r.To + ".from")
	if err != nil {
		return 0, ""
	}
	from, tag, _ := strings.Cut(strings.TrimSuffix(string(raw), "\n"), "\n")
	if from != r.URL || tag == "" && !r.Known {
		return 0, ""
	}
	return sizeOf(r.To), tag
}

// cmpTag is what a later request can name in If-Range.
func cmpTag(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

func (c *Client) header(req *http.Request, token string) {
	agent := c.Agent
	if agent == "" {
		agent = "steer"
	}
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Accept-Encoding", "identity") // the bytes of the file, not of a packing
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
}

// client follows redirects, to https only from https, and keeps what the hub says on the way.
func (c *Client) client(out *Response) *http.Client {
	return &http.Client{Transport: c.transport(), CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return fmt.Errorf("a redirect from https to %s is not followed", req.URL.Scheme)
		}
		if req.URL.Host != via[0].URL.Host { // net/http would tell subdomains and other ports
			req.Header.Del("Authorization")
		}
		if r := req.Response; r != nil {
			if sum := strings.Trim(r.Header.Get("X-Linked-Etag"), `"`); isSum(sum) {
				out.SHA256 = sum
			}
			if commit := r.Header.Get("X-Repo-Commit"); commit != "" {
				out.Commit = commit
			}
		}
		return nil
	}}
}

func (c *Client) transport() http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = 30*time.Second, time.Minute
	c.Transport = t
	return t
}

// unreachable says of a failed request what failed.
func unreachable(address string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%s: %w: %w", address, ErrUnreachable, err)
}

// temporary tells whether the same request may succeed later.
func temporary(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		code := status.Status
		return code == http.StatusTooManyRequests || code == http.StatusRequestTimeout ||
			code >= 500 && code != http.StatusNotImplemented
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTimeout // a name that nobody knows stays unknown
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && !op.Timeout() {
		return false // refused: nobody listens
	}
	return errors.Is(err, ErrUnreachable)
}

// retryAfter reads seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(n, 0)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// contentRange reads "bytes 5-9/10" and "bytes */10".
func contentRange(value string) (from, of int64, ok bool) {
	rest, ok := strings.CutPrefix(value, "bytes ")
	span, total, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		return 0, 0, false
	}
	if total != "*" {
		var err error
		if of, err = strconv.ParseInt(total, 10, 64); err != nil || of < 0 {
			return 0, 0, false
		}
	}
	if span == "*" {
		return 0, of, true
	}
	first, _, cut := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	return from, of, cut && err == nil
}

func sizeOf(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
