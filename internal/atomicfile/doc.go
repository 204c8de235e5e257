// Package atomicfile replaces files and folders whole or not at all.
//
// Content is written beside its destination under a temporary name (".name.tmp-…"),
// synced, renamed over the destination, and the folder is synced: after a crash or a
// full disk the destination holds the old content or the new one, never a part. What a
// killed process leaves aside is removed by the next write of the same file, and by
// RemoveLeftovers; a file that a living process is writing is not.
//
//	f, err := atomicfile.Create("result.json")
//	if err != nil { ... }
//	defer f.Abort() // does nothing after Commit
//	... write to f ...
//	return f.Commit()
//
// It imports nothing of this module. Everything that writes a file a user keeps writes it with this package.
package atomicfile
