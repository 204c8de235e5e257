package function

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// HTTP says how a server is asked: one POST for each sample, whose body is the question that a program reads as a line,
// and whose answer has the form of a program's.
type HTTP struct {
	URL string
	// Header is sent with each request.
	Header map[string]string
	// Timeout of one request.
	Timeout time.Duration
	// Retries is how often a request is sent again that failed on the way or that the server could
	// not serve (5xx, 429).
	Retries int
	// Concurrency is the number of requests under way at once; 0 is one.
	Concurrency int
	// Scores names the scores that it gives; none: it gives one.
	Scores []string
	// Fields are the columns of the row that it is given; none: all.
	Fields []string
	// Wait is how long to wait before the first retry; it doubles. 0 is half a second.
	Wait time.Duration
}

// maxWait bounds the wait before a retry.
const maxWait = 30 * time.Second

// server is an HTTP function.
type server struct {
	HTTP
	name    string
	columns []string
	client  *http.Client
	nextID  int64
}

// OpenHTTP makes the reward of a name. It asks nothing yet.
func OpenHTTP(name string, h HTTP) (Function, error) {
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("http: want the address of a server, such as http://127.0.0.1:8000/score, got %q", h.URL)
	}
	h.Concurrency = max(1, h.Concurrency)
	if h.Wait == 0 {
		h.Wait = 500 * time.Millisecond
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = h.Concurrency
	return &server{HTTP: h, name: name, columns: columnsOf(name, h.Scores),
		client: &http.Client{Timeout: h.Timeout, Transport: transport}}, nil
}

// Names implements Function.
func (s *server) Names() []string { return s.columns }

// Close implements Function.
func (s *server) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Score implements Function. The error is that of the first sample, in their order, that has one.
func (s *server) Score(ctx context.Context, samples []Sample) ([][]float64, error) {
	out := table(len(s.columns), len(samples))
	failed := make([]error, len(samples))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(s.Concurrency, max(1, len(samples))) {
		workers.Go(func() {
			for i := range next {
				scores, err := s.one(ctx, s.nextID+int64(i), &samples[i])
				if failed[i] = err; err != nil {
					cancel()
					continue
				}
				for k, x := range scores {
					out[k][i] = x
				}
			}
		})
	}
	for i := range samples {
		next <- i
	}
	close(next)
	workers.Wait()
	s.nextID += int64(len(samples))
	return out, firstOf(failed)
}

// firstOf is the first error that is not the end of a context, or that.
func firstOf(errs []error) error {
	var ended error
	for _, err := range errs {
		if errors.Is(err, context.Canceled) {
			ended = err
		} else if err != nil {
			return err
		}
	}
	return ended
}

// one asks about a sample, again where that may help.
func (s *server) one(ctx context.Context, id int64, sample *Sample) ([]float64, error) {
	body, err := ask(id, sample, s.Fields)
	if err != nil {
		return nil, &Error{Reward: s.name, Sample: sample, What: "the sample cannot be written as JSON", Err: err}
	}
	wait := s.Wait
	for attempt := 0; ; attempt++ {
		text, again, err := s.post(ctx, body)
		if err == nil {
			return s.read(text, sample)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !again || attempt >= s.Retries {
			return nil, &Error{Reward: s.name, Sample: sample, What: fmt.Sprintf("%s: %v", s.URL, err),
				Mend: s.mend(again, attempt)}
		}
		select {
		case <-time.After(wait + rand.N(wait/4+1)): // requests that failed together come back apart
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wait = min(2*wait, maxWait)
	}
}

func (s *server) mend(again bool, attempts int) string {
	if !again {
		return "look at what the server says; the same request would fail again"
	}
	return fmt.Sprintf("it was sent %d times (retries: %d); look whether the server runs, or raise timeout or retries",
		attempts+1, s.Retries)
}

// post sends a request; again tells whether an error may pass.
func (s *server) post(ctx context.Context, body []byte) (text []byte, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range s.Header {
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer res.Body.Close()
	text, err = io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, true, err
	case res.StatusCode != http.StatusOK:
		again := res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests
		return nil, again, fmt.Errorf("it answered %s: %s", res.Status, show(bytes.TrimSpace(text)))
	case len(text) > maxAnswerBytes:
		return nil, false, fmt.Errorf("it answered with more than %d bytes", maxAnswerBytes)
	}
	return bytes.TrimSpace(text), false, nil
}

// read reads an answer.
func (s *server) read(text []byte, sample *Sample) ([]float64, error) {
	r, err := parseReply(text, s.Scores)
	if err != nil {
		return nil, &Error{Reward: s.name, Sample: sample, What: s.URL + " " + err.Error(), Want: wantOf(s.Scores)}
	}
	return r.scores, nil
}
