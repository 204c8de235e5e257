package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// What goes wrong, for errors.Is.
var (
	// ErrUnreachable: no answer from the address.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrSize: the server's file has not the size of the release.
	ErrSize = errors.New("wrong size")
	// ErrChecksum: a file is not the one that the catalogue knows.
	ErrChecksum = errors.New("wrong checksum")
	// ErrBounds: an archive or a file is larger, or reaches further, than it may.
	ErrBounds = errors.New("refused")
	// ErrNotThere: the source lacks the file.
	ErrNotThere = errors.New("is not there")
	// ErrOffline: without a network only a mirror is asked.
	ErrOffline = errors.New("not asked, since --offline")
)

// StatusError is an answer of a server that is no file.
type StatusError struct {
	URL    string
	Status int
	// After is how long the server asks to wait, 0 if it does not say.
	After time.Duration
	// Code and Message are what the Hugging Face hub says of it, "" elsewhere.
	Code, Message string
}

// statusOf is the error of an answer that is no file.
func statusOf(address string, resp *http.Response) *StatusError {
	return &StatusError{
		URL: address, Status: resp.StatusCode, After: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Code: resp.Header.Get("X-Error-Code"), Message: resp.Header.Get("X-Error-Message"),
	}
}

// Error implements error: what the answer means, and what can be done.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: the server answers %d %s", e.URL, e.Status, http.StatusText(e.Status))
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return text + ": it wants to know who asks"
	case e.Status == http.StatusNotFound || e.Status == http.StatusGone:
		return text + ": the file has moved or was taken away"
	case e.Status == http.StatusTooManyRequests && e.After > 0:
		return text + fmt.Sprintf(": too many requests, try again in %s", e.After.Round(time.Second))
	case e.Status == http.StatusTooManyRequests:
		return text + ": too many requests, try again later"
	case e.Status >= 500:
		return text + ": a fault of theirs, try again later"
	}
	return text
}

// Is makes 404 and 410 [ErrNotThere].
func (e *StatusError) Is(target error) bool {
	return target == ErrNotThere && (e.Status == http.StatusNotFound || e.Status == http.StatusGone)
}

// denied tells whether the server wants a token, or a better one.
func denied(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && (s.Status == http.StatusUnauthorized || s.Status == http.StatusForbidden)
}
