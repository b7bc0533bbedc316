//go:build unix

package store

import (
	"io/fs"
	"syscall"
)

// allocated is what a file takes on disk, in the blocks of 512 bytes that stat counts in:
// Badger makes its logs larger than what is in them.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512
	}
	return info.Size()
}
