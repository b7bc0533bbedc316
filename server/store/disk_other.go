//go:build !unix

package store

import "io/fs"

// allocated is a file's size.
func allocated(info fs.FileInfo) int64 { return info.Size() }
