package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Read asks for something small, such as a description in JSON, and takes it into memory, at most
// so many bytes. It tries again as [Client.Download] does.
func (c *Client) Read(ctx context.Context, address, token string, most int64) (body []byte, err error) {
	err = c.persist(ctx, func() int64 { return 0 }, func() error {
		resp, cancel, err := c.ask(ctx, http.MethodGet, address, token, true)
		if err != nil {
			return err
		}
		defer cancel()
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return statusOf(address, resp)
		}
		if body, err = io.ReadAll(io.LimitReader(resp.Body, most+1)); err != nil {
			return unreachable(address, err)
		}
		if int64(len(body)) > most {
			return fmt.Errorf("%s: %w: more than the %d bytes that such an answer may have", address, ErrBounds, most)
		}
		return nil
	})
	return body, err
}

// Head asks what a server says of a file. A redirect to another host is not followed: what leads
// there is the answer.
func (c *Client) Head(ctx context.Context, address, token string) (header http.Header, err error) {
	err = c.persist(ctx, func() int64 { return 0 }, func() error {
		resp, cancel, err := c.ask(ctx, http.MethodHead, address, token, false)
		if err != nil {
			return err
		}
		defer cancel()
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode >= http.StatusBadRequest {
			return statusOf(address, resp)
		}
		header = resp.Header
		return nil
	})
	return header, err
}

// ask sends one request with a bound on its time; cancel ends it once the answer is read.
func (c *Client) ask(ctx context.Context, method, address, token string, everywhere bool) (
	resp *http.Response, cancel context.CancelFunc, err error) {
	stall := c.Stall
	if stall == 0 {
		stall = time.Minute
	}
	ctx, cancel = context.WithTimeout(ctx, 2*stall)
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	c.header(req, token)
	client := c.client(&Response{})
	if follow := client.CheckRedirect; !everywhere {
		client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if req.URL.Host != via[0].URL.Host {
				return http.ErrUseLastResponse
			}
			return follow(req, via)
		}
	}
	if resp, err = client.Do(req); err != nil {
		cancel()
		return nil, nil, unreachable(address, err)
	}
	return resp, cancel, nil
}
