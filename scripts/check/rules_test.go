package check_test

import (
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/scripts/check"
)

func source(t *testing.T, path, text string) check.Source {
	t.Helper()
	s, err := check.ParseText(token.NewFileSet(), path, text)
	require.NoError(t, err)
	return s
}

// reasons joins what was found, for tests that ask for a word in it.
func reasons(found []check.Finding) string {
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func TestImportRules(t *testing.T) {
	for _, c := range []struct{ path, imports, want string }{
		{"sdk/wire/x.go", "gpupulse/sdk/telemetry", "stands below everything"},
		{"sdk/topic/x.go", "gpupulse/sdk/wire", "stand below everything"},
		{"sdk/client.go", "gpupulse/sdk/telemetry", "never names telemetry"},
		{"sdk/client.go", "gpupulse/sdk/wire", ""},
		{"agent/main.go", "gpupulse/server/hub", "never meet"},
		{"agent/main_test.go", "gpupulse/server/hub", "never meet"},
		{"server/main_test.go", "gpupulse/agent/source", "never meet"},
		{"server/main.go", "gpupulse/server/hub", ""},
		{"server/hub/hub.go", "gpupulse/server/commitlog", "its own Log"},
		{"server/hub/hub_test.go", "gpupulse/server/commitlog", ""},
		{"server/api/api.go", "gpupulse/server/store", "Querier"},
		{"server/api/api.go", "github.com/dgraph-io/badger/v4", "only server/store"},
		{"server/store/store.go", "github.com/dgraph-io/badger/v4", ""},
		{"sdk/cmd/gpupulse/main.go", "github.com/alecthomas/kong", "only sdk/cmdline"},
		{"server/novelty/x.go", "gpupulse/sdk", "no wall yet"},
		{"server/novelty/x.go", "fmt", ""},
	} {
		t.Run(c.path+" "+c.imports, func(t *testing.T) {
			found := check.Imports([]check.Source{source(t, c.path, "package x\n\nimport _ \""+c.imports+"\"\n")})
			if c.want == "" {
				assert.Empty(t, found)
				return
			}
			assert.Contains(t, reasons(found), c.path+":3")
			assert.Contains(t, reasons(found), c.want)
		})
	}
}

func TestScriptImportRules(t *testing.T) {
	for _, c := range []struct{ path, text, want string }{
		{"ui/src/live/fleet.ts", `import { Tile } from "../tiles/Tile"`, "knows no component"},
		{"ui/src/live/fleet.ts", `import { Ring } from './ring'`, ""},
		{"ui/src/api/client.ts", "import type {\n  Page,\n} from '../pages/fleet/Page'", "knows no component"},
		{"ui/src/pages/fleet/Page.tsx", `import { Chart } from "../gpu/Chart"`, "no other page"},
		{"ui/src/pages/fleet/Page.tsx", `import { Tile } from "./Tile"`, ""},
		{"ui/src/pages/fleet/Page.tsx", `import { fleet } from "../../live/fleet"`, ""},
		{"ui/src/main.tsx", `import { Page } from "./pages/fleet/Page"`, ""},
	} {
		found := check.ScriptImports(c.path, c.text)
		if c.want == "" {
			assert.Empty(t, found, c)
		} else {
			assert.Contains(t, reasons(found), c.want)
		}
	}
}

func TestStateRules(t *testing.T) {
	for text, want := range map[string]string{
		"var count int":                                          "count holds state",
		"var seen = make(map[string]bool)":                       "seen holds state",
		"var lock = sync.Mutex{}":                                "lock holds state",
		"var pool = sync.Pool{}":                                 "",
		"var table = map[string]int{}\nfunc f() { table[``]++ }": "table is changed",
		"var a = 1\nfunc f() { a = 2 }":                          "a is changed",
		"var a = 1\nfunc f() { a := 2; a = 3; _ = a }":           "",
		"var a = 1\nfunc f(a int) { a++ }":                       "",
		"var _ error = (*t)(nil)\ntype t struct{}":               "",
		"var errGone = errors.New(``)":                           "",
		"var names = map[int]string{1: `x`}":                     "",
		"//go:embed x\nvar files embed.FS":                       "",
	} {
		found := check.State([]check.Source{source(t, "sdk/x.go", "package sdk\n\n"+text+"\n")})
		if want == "" {
			assert.Empty(t, found, text)
		} else {
			assert.Contains(t, reasons(found), want, text)
		}
	}
	assert.Empty(t, check.State([]check.Source{source(t, "sdk/cmdline/version.go", "package cmdline\nvar version, commit, date string")}))
}

func TestCodeRules(t *testing.T) {
	sleeping := "package x\nimport `time`\nfunc f() { time.Sleep(1) }"
	assert.Len(t, check.Sleeps(source(t, "x_test.go", sleeping)), 1)
	assert.Empty(t, check.Sleeps(source(t, "x.go", sleeping)))
	bubble := "package x\nimport (\"testing/synctest\"; \"time\")\nfunc f() { synctest.Test(nil, func() { time.Sleep(1) }) }"
	assert.Empty(t, check.Sleeps(source(t, "x_test.go", bubble)))
	assert.Len(t, check.Inits(source(t, "x.go", "package x\nfunc init() {}")), 1)
	assert.Empty(t, check.Inits(source(t, "x.go", "package x\ntype t int\nfunc (t) init() {}")))
	assert.Len(t, check.PackageName(source(t, "x.go", "package helpers")), 1)
	assert.Empty(t, check.PackageName(source(t, "x.go", "package hub")))
}

func TestDocumentationRule(t *testing.T) {
	bare := "package x\nfunc F() {}\ntype T struct{}\nfunc (T) M() {}\nfunc (T) Error() string\nfunc (t) M() {}\ntype t int\nconst C = 1\n"
	assert.Len(t, check.Undocumented(source(t, "x.go", bare)), 4)
	told := "package x\n// F does.\nfunc F() {}\n// All.\nconst (\n\tA = 1\n\tB = 2\n)\nvar (\n\tV = 1 // of it\n)\n"
	assert.Empty(t, check.Undocumented(source(t, "x.go", told)))
	assert.Empty(t, check.Undocumented(source(t, "x_test.go", bare)))
}

func TestFileRules(t *testing.T) {
	long := []byte(strings.Repeat("\n", 601))
	assert.Len(t, check.FileLength("server/hub/hub.go", long), 1)
	assert.Len(t, check.FileLength("ui/src/main.tsx", long), 1)
	for _, name := range []string{"sdk/wire/frame.pb.go", "ui/src/api/schema.gen.ts", "sdk/telemetry/catalogue.go", "notes.txt"} {
		assert.Empty(t, check.FileLength(name, long), name)
	}
	lock := []byte(`{"resolved": "somewhere"}`)
	assert.Len(t, check.LockFile("ui/package-lock.json", lock), 1)
	assert.Empty(t, check.LockFile("ui/package-lock.json", []byte(`{"integrity": "sha512"}`)))
}

func TestProtocolRule(t *testing.T) {
	proto := "message Ack {\n  uint64 subscription = 1;\n  repeated Range ranges = 2;\n}\nenum Start {\n  START_ALL = 1;\n}\n"
	codes := source(t, "codes.go", "package wire\ntype Code uint32\nconst (\n\tBadTopic Code = 101\n)\n")
	full := "`Ack` `subscription` `ranges` `Start` `START_ALL`\n| 101 | BadTopic | … |\n"
	assert.Empty(t, check.Protocol(full, proto, codes))
	for _, word := range []string{"`Ack`", "`ranges`", "`START_ALL`", "101", "BadTopic"} {
		assert.Len(t, check.Protocol(strings.Replace(full, word, "", 1), proto, codes), 1, word)
	}
}

func TestDumpRule(t *testing.T) {
	frames, readings := []byte(`{"good": [{"name": "go", "hex": "0a02"}]}`), []byte(`[{"name": "x", "hex": "ff"}]`)
	assert.Empty(t, check.Dumps("```hex go\n0a         first\n02\n```\n", frames, readings))
	assert.Len(t, check.Dumps("```hex go\n0a 03  first\n```\n", frames, readings), 1)
	assert.Len(t, check.Dumps("```hex stop\n0a 02\n```\n", frames, readings), 1)
	assert.Empty(t, check.Dumps("```hex reading x\nff\n```\n", frames, readings))
	assert.Len(t, check.Dumps("nothing", frames, readings), 1)
}

func TestSettingsRule(t *testing.T) {
	settings := source(t, "main.go", "package main\ntype s struct {\n\tDataDir string `help:\"Where.\"`\n\tGPUs int `help:\"How many.\" name:\"sim-gpus\"`\n\tother int\n}\n")
	assert.Empty(t, check.Settings("x.md", "`--data-dir` and `--sim-gpus`", settings))
	assert.Len(t, check.Settings("x.md", "`--data-dir-of-another` and `--sim`", settings), 2)
}

func TestLinkRule(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "x.go"), []byte("package x\nfunc Open() {}\n"), 0o600))
	found := check.Links(root, "docs/a.md", "[`Open`](../x.go) [here](#top) [out](https://example.org)\n[`Opener`](../x.go)\n[gone](y.md)\n")
	require.Len(t, found, 2)
	assert.Equal(t, "docs/a.md:2: x.go has no Opener", found[0].String())
	assert.Equal(t, "docs/a.md:3: there is no docs/y.md", found[1].String())
}
