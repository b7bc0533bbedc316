package check

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxLines is where a file stops telling one story.
const maxLines = 600

// FileLength checks a file's number of lines. Generated files and the catalogue
// of metrics, which is data, may be long.
func FileLength(name string, text []byte) []Finding {
	if !slices.Contains([]string{".go", ".ts", ".tsx", ".css", ".sh"}, path.Ext(name)) {
		return nil
	}
	base := path.Base(name)
	data := strings.HasSuffix(base, ".pb.go") || strings.HasSuffix(base, "_pb.ts") || strings.Contains(base, ".gen.") ||
		path.Dir(name) == "sdk/telemetry" && strings.HasPrefix(base, "catalogue")
	lines := bytes.Count(text, []byte("\n"))
	if data || lines <= maxLines {
		return nil
	}
	return []Finding{{name, fmt.Sprintf("%d lines, over %d: does it still tell one story?", lines, maxLines)}}
}

// PackageName refuses packages that are named for nothing in particular.
func PackageName(source Source) []Finding {
	name := strings.TrimSuffix(source.File.Name.Name, "_test")
	empty := []string{"util", "utils", "common", "helper", "helpers", "model", "models", "base", "types", "misc", "shared"}
	if !slices.Contains(empty, name) {
		return nil
	}
	return []Finding{{source.Path, "package " + name + " says nothing about what is in it"}}
}

// LockFile refuses the address of a registry in an npm lock file: everybody
// installs from the registry of their own settings.
func LockFile(name string, text []byte) []Finding {
	if path.Base(name) != "package-lock.json" || !bytes.Contains(text, []byte(`"resolved":`)) {
		return nil
	}
	return []Finding{{name, `"resolved" names a registry's host; run npm install --package-lock-only --omit-lockfile-registry-resolved`}}
}
