package check_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/scripts/check"
)

const top = "../.."

func report(t *testing.T, found []check.Finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func sources(t *testing.T) []check.Source {
	t.Helper()
	all, err := check.ParseTree(top)
	require.NoError(t, err)
	require.Greater(t, len(all), 30, "the tree is not where this test looks")
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, name))
	require.NoError(t, err)
	return string(text)
}

func TestImportsRunDownwards(t *testing.T) { report(t, check.Imports(sources(t))) }

func TestCode(t *testing.T) {
	packages := map[string][]check.Source{}
	for _, source := range sources(t) {
		report(t, check.PackageName(source))
		report(t, check.Sleeps(source))
		report(t, check.Inits(source))
		report(t, check.Undocumented(source))
		packages[source.Dir()] = append(packages[source.Dir()], source)
	}
	for _, sources := range packages {
		report(t, check.State(sources))
	}
}

func TestFiles(t *testing.T) {
	names, err := check.Tree(top)
	require.NoError(t, err)
	for _, name := range names {
		text := []byte(read(t, name))
		report(t, check.FileLength(name, text))
		report(t, check.LockFile(name, text))
		if strings.HasSuffix(name, ".ts") || strings.HasSuffix(name, ".tsx") {
			report(t, check.ScriptImports(name, string(text)))
		}
	}
}

func TestProtocolIsDescribed(t *testing.T) {
	description := read(t, "docs/protocol.md")
	report(t, check.Dumps(description, []byte(read(t, "sdk/wire/testdata/vectors.json")), []byte(read(t, "sdk/telemetry/testdata/readings.json"))))
	for _, source := range sources(t) {
		if source.Path == "sdk/wire/codes.go" {
			report(t, check.Protocol(description, read(t, "sdk/wire/frame.proto"), source))
			report(t, check.Protocol(description, read(t, "sdk/telemetry/reading.proto"), source))
		}
	}
}

func TestSettingsAreDescribed(t *testing.T) {
	page := read(t, "docs/operations.md")
	for _, source := range sources(t) {
		switch source.Path {
		case "server/main.go", "agent/main.go", "sdk/cmdline/program.go":
			report(t, check.Settings("docs/operations.md", page, source))
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	names, err := check.Tree(top)
	require.NoError(t, err)
	seen := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".md") {
			seen++
			report(t, check.Links(top, name, read(t, name)))
		}
	}
	assert.Greater(t, seen, 4)
}
