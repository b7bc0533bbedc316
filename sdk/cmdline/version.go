package cmdline

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Written by the linker: -ldflags "-X gpupulse/sdk/cmdline.version=v0.1.0 …". A
// binary made by plain go build has them empty and asks its build information.
var version, commit, date string

// Build says which code a binary was made of.
type Build struct {
	Version string // v0.1.0, or devel
	Commit  string // empty if unknown
	Date    string // RFC 3339 of the commit, empty if unknown
	Go      string // go1.26.8
}

// CurrentBuild is this binary's.
func CurrentBuild() Build {
	b := Build{Version: version, Commit: commit, Date: date, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision" && b.Commit == "":
			b.Commit = setting.Value
		case setting.Key == "vcs.time" && b.Date == "":
			b.Date = setting.Value
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

// String is what --version prints.
func (b Build) String() string {
	text := b.Version
	if b.Commit != "" {
		text += fmt.Sprintf(" commit %.12s", b.Commit)
	}
	if b.Date != "" {
		text += " of " + b.Date
	}
	return text + " " + b.Go
}
