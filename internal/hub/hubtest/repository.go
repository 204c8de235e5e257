package hubtest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// repository is one repository with its history.
type repository struct {
	id      string // ORG/NAME
	dataset bool
	commits map[string]*commit
	refs    map[string]string // branches and tags
	gate    string            // the token that opens it; "" if it is open
	private bool              // it is not even said that it is there
}

// commit is what the repository holds at one time.
type commit struct {
	sha   string
	files map[string]file
}

// file is a file of a commit.
type file struct {
	content []byte
	large   bool // as Git LFS stores it
	sha1    string
	sha256  string
}

// isLarge tells which files the hub stores as Git LFS does.
func isLarge(name string, size int) bool {
	return size > 1<<20 || slices.Contains([]string{".gguf", ".safetensors", ".parquet", ".bin", ".pt", ".pth", ".gz",
		".zst"}, path.Ext(name))
}

func gitBlob(content []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(content))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}

// newFile describes a content as the hub does.
func newFile(name string, content []byte) file {
	f := file{content: content, large: isLarge(name, len(content)), sha1: gitBlob(content)}
	sum := sha256.Sum256(content)
	f.sha256 = hex.EncodeToString(sum[:])
	if f.large {
		pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", f.sha256,
			len(content))
		f.sha1 = gitBlob([]byte(pointer))
	}
	return f
}

// etag is under which name caches keep the content.
func (f file) etag() string {
	if f.large {
		return f.sha256
	}
	return f.sha1
}

// newCommit reads a folder. The commit's name follows from what is in it.
func newCommit(folder fs.FS) (*commit, error) {
	c := &commit{files: map[string]file{}}
	h := sha1.New()
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		f := newFile(name, content)
		c.files[name] = f
		fmt.Fprintf(h, "%s %s\n", name, f.sha256)
		return nil
	})
	c.sha = hex.EncodeToString(h.Sum(nil))
	return c, err
}

// names lists the files in order.
func (c *commit) names() []string {
	var names []string
	for name := range c.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// find gives the commit of a revision.
func (r *repository) find(revision string) (*commit, bool) {
	if sha, ok := r.refs[revision]; ok {
		revision = sha
	}
	c, ok := r.commits[revision]
	return c, ok
}

// describe is the answer of the API.
func (r *repository) describe(c *commit, blobs bool) ([]byte, error) {
	type lfs struct {
		SHA256  string `json:"sha256"`
		Size    int    `json:"size"`
		Pointer int    `json:"pointerSize"`
	}
	type sibling struct {
		Name string `json:"rfilename"`
		Size *int   `json:"size,omitempty"`
		Blob string `json:"blobId,omitempty"`
		LFS  *lfs   `json:"lfs,omitempty"`
	}
	siblings := []sibling{}
	for _, name := range c.names() {
		f := c.files[name]
		s := sibling{Name: name}
		if size := len(f.content); blobs {
			s.Size, s.Blob = &size, f.sha1
			if f.large {
				s.LFS = &lfs{f.sha256, size, 130}
			}
		}
		siblings = append(siblings, s)
	}
	card, tags := cardOf(c.files["README.md"].content)
	var gated any = false
	if r.gate != "" {
		gated = "auto"
	}
	return json.Marshal(map[string]any{
		"_id": "0", "id": r.id, "modelId": r.id, "sha": c.sha, "private": r.private, "gated": gated, "disabled": false,
		"tags": tags, "cardData": card, "siblings": siblings,
	})
}

// cardOf reads the fields that a model's card begins with.
func cardOf(readme []byte) (map[string]any, []string) {
	_, rest, _ := bytes.Cut(readme, []byte("---\n"))
	head, _, ok := bytes.Cut(rest, []byte("\n---"))
	var card map[string]any
	if !ok || yaml.Unmarshal(head, &card) != nil {
		return nil, []string{}
	}
	if l, ok := card["license"].(string); ok {
		return card, []string{"license:" + strings.ToLower(l)}
	}
	return card, []string{}
}
