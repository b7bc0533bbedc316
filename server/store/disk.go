package store

import "os"

// diskUsage adds up what the files of a directory take on disk. A file that goes away
// meanwhile counts for nothing.
func diskUsage(dir string) (bytes int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0 // the directory's own faults show elsewhere
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += allocated(info)
		}
	}
	return bytes
}
