//go:build !linux

package filehash

import "io/fs"

// inode is not known here: nothing is remembered.
func (id *identity) inode(fs.FileInfo) bool { return false }
