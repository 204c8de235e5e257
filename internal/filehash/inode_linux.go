package filehash

import (
	"io/fs"
	"syscall"
	"time"
)

// inode fills in what only the file system knows.
func (id *identity) inode(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok {
		id.Changed = time.Unix(st.Ctim.Unix()).UnixNano()
		id.Inode, id.Device = st.Ino, uint64(st.Dev)
	}
	return ok
}
