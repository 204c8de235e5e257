package machine

import "golang.org/x/sys/unix"

// FreeDisk is how many bytes this user may still write on the disk that holds a folder.
func FreeDisk(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
