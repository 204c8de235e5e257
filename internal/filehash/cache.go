package filehash

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"steer/internal/atomicfile"
)

// Smallest is the size in bytes from which a file's hash is remembered; a smaller one is read
// in no time.
const Smallest = 8 << 20

// settled is how long ago a file must have been written: a second write within the clock's
// grain of the first could leave the same time (as Git's index has it).
const settled = 2 * time.Second

// Cache remembers hashes in a folder, one small file each. What is in it is believed as long as
// the file has the size, the times of change and the inode it had when it was hashed. A nil
// Cache remembers nothing. Any number of processes may share a folder.
type Cache struct {
	dir string
	now func() time.Time
}

// NewCache is a cache in dir, which is made when there is something to keep.
func NewCache(dir string) *Cache { return &Cache{dir: dir, now: time.Now} }

// identity is what tells one content of a file from another without reading it.
type identity struct {
	Path     string `json:"path"` // absolute
	Size     int64  `json:"size"`
	Modified int64  `json:"mtime_ns"`
	Changed  int64  `json:"ctime_ns"` // of the inode: a time that no program can set
	Inode    uint64 `json:"inode"`
	Device   uint64 `json:"device"`
}

// entry is a file of the cache.
type entry struct {
	identity
	SHA256 string `json:"sha256"`
}

// Sum is the SHA-256 of the file at path, in hexadecimal: remembered, or read.
func (c *Cache) Sum(path string) (string, error) {
	before, known := c.identify(path)
	if known {
		if sum, ok := c.recall(before); ok {
			return sum, nil
		}
	}
	sum, err := read(path)
	if err != nil {
		return "", err
	}
	// Not what changed meanwhile.
	if after, ok := c.identify(path); known && ok && after == before {
		c.keep(entry{before, sum})
	}
	return sum, nil
}

// identify tells a file's identity; ok is false where its hash is not to be remembered.
func (c *Cache) identify(path string) (id identity, ok bool) {
	if c == nil {
		return id, false
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return id, false
	}
	info, err := os.Stat(abs)
	if err != nil || !info.Mode().IsRegular() || info.Size() < Smallest {
		return id, false
	}
	id = identity{Path: abs, Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if !id.inode(info) {
		return id, false
	}
	last := time.Unix(0, max(id.Modified, id.Changed))
	return id, c.now().Sub(last) > settled
}

// file is where the hash of a path is kept.
func (c *Cache) file(path string) string {
	name := sha256.Sum256([]byte(path))
	return filepath.Join(c.dir, hex.EncodeToString(name[:16])+".json")
}

// recall finds a hash. A damaged entry is none.
func (c *Cache) recall(id identity) (sum string, ok bool) {
	raw, err := os.ReadFile(c.file(id.Path))
	if err != nil {
		return "", false
	}
	var e entry
	if json.Unmarshal(raw, &e) != nil || e.identity != id {
		return "", false
	}
	digest, err := hex.DecodeString(e.SHA256)
	return e.SHA256, err == nil && len(digest) == sha256.Size
}

// keep writes an entry whole or not at all. Where that fails, the file is read again next time,
// which is slower and as right.
func (c *Cache) keep(e entry) {
	raw, err := json.Marshal(e)
	if err != nil || os.MkdirAll(c.dir, 0o700) != nil {
		return
	}
	_ = atomicfile.WriteFile(c.file(e.Path), raw, 0o600)
}
