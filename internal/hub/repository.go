package hub

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/fetch"
)

// Card is the file that describes a repository.
const Card = "README.md"

// Hash is the name of a file's content: the SHA-256 of a large file, Git's SHA-1 of another.
type Hash string

var hashPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

func (h Hash) valid() bool { return hashPattern.MatchString(string(h)) }

// SHA256 is the hash if it is one, "" otherwise.
func (h Hash) SHA256() string {
	if len(h) == 64 {
		return string(h)
	}
	return ""
}

// File is a file of a repository.
type File struct {
	Path string `json:"path"`
	// Bytes is its size, -1 if the hub does not say.
	Bytes int64 `json:"bytes"`
	// Hash of its content, "" if the hub does not say.
	Hash Hash `json:"hash,omitempty"`
}

// Repository is what a hub says of a repository at a revision.
type Repository struct {
	// Ref at the revision that was asked for.
	Ref Ref `json:"-"`
	// Commit that this is now.
	Commit string `json:"commit"`
	Files  []File `json:"files"`
	// Licence as its card names it, "" if it names none.
	Licence string `json:"licence,omitempty"`
	// Gated: its owners ask for an agreement.
	Gated bool `json:"gated,omitempty"`
}

// Page is where people read of a repository.
func (c *Client) Page(r Ref) string {
	if r.Dataset {
		return c.endpoint() + "/datasets/" + r.ID
	}
	return c.endpoint() + "/" + r.ID
}

// answer is what a hub's API says of a repository, as far as it is read here.
type answer struct {
	ID       string          `json:"id"`
	SHA      string          `json:"sha"`
	Gated    json.RawMessage `json:"gated"` // false, "auto" or "manual"
	Disabled bool            `json:"disabled"`
	Tags     []string        `json:"tags"`
	Card     json.RawMessage `json:"cardData"`
	Siblings []struct {
		Name string `json:"rfilename"`
		Size *int64 `json:"size"`
		Blob string `json:"blobId"`
		LFS  *struct {
			SHA256 string `json:"sha256"`
			Size   *int64 `json:"size"`
		} `json:"lfs"`
	} `json:"siblings"`
}

// mostAnswer is how long a description of a repository may be: some have ten thousands of files.
const mostAnswer = 64 << 20

// Repository asks the hub what a repository holds.
func (c *Client) Repository(ctx context.Context, r Ref) (*Repository, error) {
	if c.Offline != "" {
		return nil, &OfflineError{Ref: r, Since: c.Offline}
	}
	kind := "models"
	if r.Dataset {
		kind = "datasets"
	}
	address := fmt.Sprintf("%s/api/%s/%s/revision/%s?blobs=true", c.endpoint(), kind, r.ID,
		url.PathEscape(r.revision()))
	raw, err := c.http().Read(ctx, address, c.Token, mostAnswer)
	if err != nil {
		if errors.Is(err, fetch.ErrUnreachable) {
			return nil, fmt.Errorf("%s: %w (HF_ENDPOINT names another hub)", r.Of(), err)
		}
		return nil, c.explain(r.Of(), err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("%s: want a description of a repository in JSON: %w: is HF_ENDPOINT the address of a "+
			"hub?", address, err)
	}
	return a.repository(address, r.Of())
}

func (a *answer) repository(address string, r Ref) (*Repository, error) {
	if !IsCommit(a.SHA) {
		return nil, fmt.Errorf("%s: field \"sha\": want a commit of 40 digits, got %q", address, a.SHA)
	}
	if a.Disabled {
		return nil, &Error{Ref: r, Kind: ErrDisabled}
	}
	out := &Repository{Ref: r, Commit: a.SHA, Licence: a.licence()}
	out.Gated = len(a.Gated) > 0 && !bytes.Equal(a.Gated, []byte("false")) && !bytes.Equal(a.Gated, []byte("null"))
	for i, s := range a.Siblings {
		if !local(s.Name) {
			return nil, fmt.Errorf("%s: field \"siblings[%d].rfilename\": %q: want a path inside the repository",
				address, i, s.Name)
		}
		f := File{Path: s.Name, Bytes: -1, Hash: Hash(s.Blob)}
		if s.Size != nil {
			f.Bytes = *s.Size
		}
		if s.LFS != nil {
			f.Hash = Hash(s.LFS.SHA256)
			if s.LFS.Size != nil {
				f.Bytes = *s.LFS.Size
			}
		}
		if !f.Hash.valid() {
			f.Hash = ""
		}
		out.Files = append(out.Files, f)
	}
	return out, nil
}

// licence is the one of the card, or else of the tags.
func (a *answer) licence() string {
	var card map[string]any
	if err := json.Unmarshal(a.Card, &card); err == nil {
		if text := licenceIn(card); text != "" {
			return text
		}
	}
	for _, t := range a.Tags {
		if text, ok := strings.CutPrefix(t, "license:"); ok {
			return text
		}
	}
	return ""
}

// licenceOf reads the licence of a card: it begins with YAML between lines of ---.
func licenceOf(card []byte) string {
	_, rest, ok := bytes.Cut(bytes.ReplaceAll(card, []byte("\r\n"), []byte("\n")), []byte("---\n"))
	head, _, closed := bytes.Cut(rest, []byte("\n---"))
	var fields map[string]any
	if !ok || !closed || yaml.Unmarshal(head, &fields) != nil {
		return ""
	}
	return licenceIn(fields)
}

// licenceIn finds the licence among the fields of a card: a word, several, or a name of their own.
func licenceIn(card map[string]any) string {
	name, _ := card["license_name"].(string)
	link, _ := card["license_link"].(string)
	switch l := card["license"].(type) {
	case string:
		if l == "other" && cmp.Or(name, link) != "" {
			return cmp.Or(name, link)
		}
		return l
	case []any:
		var all []string
		for _, x := range l {
			all = append(all, fmt.Sprint(x))
		}
		return strings.Join(all, ", ")
	}
	return name
}

// complete asks for what the description leaves open about a file.
func (c *Client) complete(ctx context.Context, repo *Repository, f *File) error {
	if f.Hash.valid() && f.Bytes >= 0 {
		return nil
	}
	h, err := c.http().Head(ctx, c.address(repo, f.Path), c.Token)
	if err != nil {
		return c.explain(repo.Ref.With(f.Path), err)
	}
	tag := strings.Trim(strings.TrimPrefix(cmp.Or(h.Get("X-Linked-Etag"), h.Get("Etag")), "W/"), `"`)
	if f.Hash = Hash(tag); !f.Hash.valid() {
		return fmt.Errorf("%s: the hub names no hash of the file (header Etag: %q): it could not be checked: "+
			"is HF_ENDPOINT the address of a hub?", repo.Ref.With(f.Path), tag)
	}
	size := cmp.Or(h.Get("X-Linked-Size"), h.Get("Content-Length"))
	if f.Bytes, err = strconv.ParseInt(size, 10, 64); err != nil || f.Bytes < 0 {
		return errors.Join(err, fmt.Errorf("%s: the hub names no size of the file", repo.Ref.With(f.Path)))
	}
	return nil
}

// address is where a file is fetched from.
func (c *Client) address(repo *Repository, file string) string {
	kind := fetch.Model
	if repo.Ref.Dataset {
		kind = fetch.Data
	}
	return fetch.HubFile(c.endpoint(), kind, repo.Ref.ID, repo.Commit, escape(file))
}
