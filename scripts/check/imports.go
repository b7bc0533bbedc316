package check

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "gpupulse"

// wall says which of our packages a package may import. Names are folders; one
// that ends in /... takes in all below it. The first wall that fits counts.
type wall struct {
	from   string
	to     []string
	reason string
}

func walls() []wall {
	return []wall{
		{"sdk/wire", []string{"sdk/topic"}, "the protocol stands below everything but the grammar of topics"},
		{"sdk/topic", nil, "topics stand below everything"},
		{"sdk/cmdline", nil, "a binary's frame knows no part that runs in it"},
		{"sdk/telemetry", []string{"sdk/topic"}, "a reading knows the grammar of topics and nothing else of ours"},
		{"sdk", []string{"sdk/wire", "sdk/topic"}, "the client carries opaque bytes; it never names telemetry"},
		{"sdk/...", []string{"sdk/..."}, "the SDK knows neither server nor agent"},
		{"agent/...", []string{"agent/...", "sdk/..."}, "agent and server never meet"},
		{"server/commitlog", nil, "the log stores bytes: it knows no frame, no topic and no reading"},
		{"server/auth", []string{"sdk/topic"}, "rights know the grammar of topics and nothing else of ours"},
		{"server/store", []string{"sdk/telemetry"}, "the store knows readings; who brings and who asks is not its matter"},
		{"server/collector", []string{"sdk", "sdk/wire", "sdk/telemetry"}, "the collector is a client of the hub like any other, and stores through its own Appender"},
		{"server/hub", []string{"sdk/wire", "sdk/topic", "server/auth"}, "the hub carries opaque bytes and logs through its own Log"},
		{"server/hub/...", []string{"sdk/wire", "sdk/topic", "server/hub"}, "the contract test of a log knows the hub alone"},
		{"server/web", []string{"ui"}, "the web server hands out files"},
		{"server/api", []string{"sdk/wire", "sdk/topic", "sdk/telemetry", "server/hub", "server/auth"}, "the API asks the hub for its state and reads history through its own Querier"},
		{"server", []string{"server/...", "sdk/...", "ui"}, "agent and server never meet"},
		{"ui", nil, "the user interface's package only embeds files"},
		{"scripts/check", nil, "the rules stand beside the house"},
		{"scripts/...", []string{"sdk/..."}, "a script is a client like any other"},
	}
}

// library is a third-party package that has owners: only they know that it exists.
type library struct {
	path   string
	owners []string
	reason string
}

func libraries() []library {
	return []library{
		{"github.com/dgraph-io/badger", []string{"server/store"}, "the store may be swapped for another engine"},
		{"github.com/labstack/echo", []string{"server/api"}, "routes and their errors are told in one place"},
		{"github.com/coder/websocket", []string{"server/hub", "sdk"}, "frames meet the socket in two places only"},
		{"github.com/prometheus/prometheus", []string{"server/store", "server/api"}, "PromQL is a way to ask the store"},
		{"github.com/alecthomas/kong", []string{"sdk/cmdline"}, "flags, environment and file are one thing, told once"},
		{"go.yaml.in/yaml", []string{"sdk/cmdline"}, "flags, environment and file are one thing, told once"},
	}
}

// Imports checks walls and owners. Tests may look into any package beside which
// they stand, but agent and server do not meet in them either.
func Imports(sources []Source) []Finding {
	var found []Finding
	for _, source := range sources {
		for _, spec := range source.File.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the compiler says it better
			}
			if reason := refuse(source, name); reason != "" {
				found = append(found, Finding{source.place(spec.Pos()), reason})
			}
		}
	}
	return found
}

func refuse(source Source, name string) string {
	if ours, ok := strings.CutPrefix(name, module+"/"); ok {
		return refuseOurs(source, ours)
	}
	if source.Test() {
		return ""
	}
	for _, l := range libraries() {
		if under(name, l.path+"/...") && !slices.Contains(l.owners, source.Dir()) {
			return fmt.Sprintf("only %s may import %s: %s", strings.Join(l.owners, " and "), l.path, l.reason)
		}
	}
	return ""
}

func refuseOurs(source Source, ours string) string {
	from := source.Dir()
	if source.Test() {
		side, other := "agent", "server"
		if under(from, "server/...") {
			side, other = other, side
		}
		if under(from, side+"/...") && under(ours, other+"/...") {
			return "agent and server never meet, in tests neither"
		}
		return ""
	}
	for _, w := range walls() {
		if !under(from, w.from) {
			continue
		}
		for _, to := range w.to {
			if under(ours, to) {
				return ""
			}
		}
		return fmt.Sprintf("%s must not import %s: %s", from, ours, w.reason)
	}
	return fmt.Sprintf("package %s has no wall yet: say in scripts/check/imports.go what it may import", from)
}

// under tells whether a path fits a name, or stands at or below name/... .
func under(path, name string) bool {
	if parent, ok := strings.CutSuffix(name, "/..."); ok {
		return path == parent || strings.HasPrefix(path, parent+"/")
	}
	return path == name
}

// ScriptImports checks what a TypeScript file of the user interface imports: what is
// live and what asks the API knows no component, and a page knows no other page.
func ScriptImports(name, text string) []Finding {
	rest, ok := strings.CutPrefix(name, "ui/src/")
	room, _, _ := strings.Cut(rest, "/")
	if !ok || !strings.Contains(rest, "/") {
		return nil
	}
	var found []Finding
	for _, match := range regexp.MustCompile(`(?m)^(?:import|export)[^'"]*['"](\.[^'"]*)['"]`).FindAllStringSubmatch(text, -1) {
		target := strings.TrimPrefix(path.Join(path.Dir(name), match[1]), "ui/src/")
		switch {
		case (room == "live" || room == "api") && slices.Contains([]string{"pages", "chart", "tiles", "components"}, firstFolder(target)):
			found = append(found, Finding{name, room + " must not import " + target + ": it knows no component"})
		case room == "pages" && firstFolder(target) == "pages" && page(target) != page(rest):
			found = append(found, Finding{name, "must not import " + target + ": a page knows no other page"})
		}
	}
	return found
}

func firstFolder(name string) string {
	folder, _, _ := strings.Cut(name, "/")
	return folder
}

// page is the folder of a page, or the file where it has none.
func page(name string) string {
	_, rest, _ := strings.Cut(name, "/")
	return firstFolder(rest)
}
