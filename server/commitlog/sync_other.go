//go:build !linux

package commitlog

import "os"

// datasync makes a file's data durable.
func datasync(f *os.File) error { return f.Sync() }

// lock does nothing here: only Linux is a server's platform, others serve development.
func lock(*os.File) error { return nil }
