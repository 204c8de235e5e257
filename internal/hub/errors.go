package hub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"steer/internal/fetch"
)

// What a hub refuses, for errors.Is.
var (
	// ErrGated: the owners of the repository want to know who asks.
	ErrGated = errors.New("is gated")
	// ErrToken: the token is none that the hub knows.
	ErrToken = errors.New("the token is refused")
	// ErrNoRepository: there is none, or it is a private one.
	ErrNoRepository = errors.New("there is no such repository")
	// ErrNoRevision: the repository has no such branch, tag or commit.
	ErrNoRevision = errors.New("there is no such revision")
	// ErrNoFile: the repository has no such file.
	ErrNoFile = errors.New("there is no such file")
	// ErrDisabled: the hub has closed the repository.
	ErrDisabled = errors.New("the hub has closed the repository")
	// ErrDiskFull: the file system of the cache has too little room.
	ErrDiskFull = errors.New("not enough room")
)

// Error is what a hub refuses, with what can be done.
type Error struct {
	Ref  Ref
	Kind error
	Help string
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v", e.Ref, e.Kind)
	if e.Help != "" {
		text += ": " + e.Help
	}
	return text
}

// Unwrap gives the kind.
func (e *Error) Unwrap() error { return e.Kind }

// OfflineError: the cache lacks what is wanted, and the hub is not to be asked.
type OfflineError struct {
	Ref   Ref
	Since string // why it is not asked
}

// Error implements error.
func (e *OfflineError) Error() string {
	return fmt.Sprintf("%s is not in the cache, and the hub is not asked, since %s: fetch it where there is a "+
		"network: steer fetch %s", e.Ref, e.Since, e.Ref)
}

// explain says of an answer what it means for who asked.
func (c *Client) explain(r Ref, err error) error {
	s, ok := errors.AsType[*fetch.StatusError](err)
	if !ok {
		return err
	}
	denied := s.Status == http.StatusUnauthorized || s.Status == http.StatusForbidden
	missing := s.Status == http.StatusNotFound
	message := strings.ToLower(s.Message)
	switch {
	case s.Code == "GatedRepo", denied && strings.Contains(message, "gated"):
		return &Error{r, ErrGated, c.gateHelp(r)}
	case strings.Contains(message, "invalid credentials"), denied && c.Token != "" && s.Code == "":
		return &Error{r, ErrToken, fmt.Sprintf("the hub does not know the token in %s, or it may not read this: "+
			"make one at %s/settings/tokens", c.tokenFrom(), c.endpoint())}
	case s.Code == "RevisionNotFound":
		return &Error{r, ErrNoRevision, fmt.Sprintf("its branches and tags are listed at %s", c.Page(r)+"/tree/"+
			MainRevision)}
	case s.Code == "EntryNotFound":
		return &Error{r, ErrNoFile, fmt.Sprintf("steer fetch --list %s shows those that are there", r.Of())}
	case s.Code == "DisabledRepo":
		return &Error{r, ErrDisabled, ""}
	case s.Code == "RepoNotFound", denied && c.Token == "", missing:
		return &Error{r, ErrNoRepository, c.noRepositoryHelp(r)}
	}
	return err
}

func (c *Client) gateHelp(r Ref) string {
	page := c.Page(r)
	if c.Token == "" {
		return fmt.Sprintf("its owners want to know who asks. Sign in and agree to their terms at %s, make a token "+
			"with the right to read at %s/settings/tokens, and set it: export HF_TOKEN=hf_...", page, c.endpoint())
	}
	return fmt.Sprintf("the account of the token in %s has not been let in: agree to the terms at %s (some owners "+
		"answer by hand, after a while), and give a fine-grained token the right to read gated repositories",
		c.tokenFrom(), page)
}

func (c *Client) noRepositoryHelp(r Ref) string {
	other, what := r, "data set"
	if other.Dataset = !r.Dataset; r.Dataset {
		what = "model"
	}
	help := fmt.Sprintf("at %s. Is it spelled right? A %s of that name would be %s", c.Page(r), what, other)
	if c.Token == "" {
		return help + "; a private one needs a token in HF_TOKEN"
	}
	return help + "; a private one needs a token of an account that may read it"
}

// tokenFrom says where the token was found.
func (c *Client) tokenFrom() string {
	if c.TokenFrom == "" {
		return "HF_TOKEN"
	}
	return c.TokenFrom
}
