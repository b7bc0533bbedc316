package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// frameNames finds the messages and enum values of a .proto file. A name of a
// frame is one word in code style, so docs must write it so.
func frameNames(proto string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^(?:message|enum)\s+(\w+)|^\s+(START_\w+)\s*=`).FindAllStringSubmatch(proto, -1) {
		names = append(names, match[1]+match[2])
	}
	return names
}

// fieldNames finds the fields of a .proto file's messages, those of a oneof left out.
func fieldNames(proto string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^  \w[\w.<>, ]* (\w+)\s*=\s*\d+;`).FindAllStringSubmatch(proto, -1) {
		names = append(names, match[1])
	}
	return names
}

// codeNumbers finds the codes of codes.go as name -> number.
func codeNumbers(source Source) map[string]string {
	codes := map[string]string{}
	ast.Inspect(source.File, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if ok && isName(spec.Type, "Code") && len(spec.Values) == 1 {
			if number, ok := spec.Values[0].(*ast.BasicLit); ok {
				codes[spec.Names[0].Name] = number.Value
			}
		}
		return true
	})
	return codes
}

// Protocol checks that the protocol's description names every message and field
// of a .proto file in code style, and every code in a table row with its number.
func Protocol(description, proto string, codes Source) []Finding {
	var found []Finding
	missing := func(what, name string) {
		found = append(found, Finding{"docs/protocol.md", fmt.Sprintf("%s %s is not described", what, name)})
	}
	for _, name := range frameNames(proto) {
		if !strings.Contains(description, "`"+name+"`") {
			missing("message", name)
		}
	}
	for _, name := range fieldNames(proto) {
		if !strings.Contains(description, "`"+name+"`") {
			missing("field", name)
		}
	}
	for name, number := range codeNumbers(codes) {
		row := regexp.MustCompile(`(?m)^\|\s*` + number + `\s*\|\s*` + name + `\s*\|`)
		if !row.MatchString(description) {
			missing("code", number+" "+name)
		}
	}
	return found
}

// Dumps checks that each block of a description that begins with ```hex NAME has the
// bytes of the good frame of that name, or ```hex reading NAME of that reading. What follows the bytes on a line, after two
// spaces, is explanation.
func Dumps(description string, frames, readings []byte) []Finding {
	type vector struct{ Name, Hex string }
	var known struct{ Good []vector }
	var payloads []vector
	if err := errors.Join(json.Unmarshal(frames, &known), json.Unmarshal(readings, &payloads)); err != nil {
		return []Finding{{"golden vectors", err.Error()}}
	}
	want := map[string]string{}
	for _, v := range known.Good {
		want[v.Name] = v.Hex
	}
	for _, v := range payloads {
		want["reading "+v.Name] = v.Hex
	}
	var found []Finding
	blocks := regexp.MustCompile("(?ms)^```hex ([^\n]*)\n(.*?)^```").FindAllStringSubmatch(description, -1)
	for _, block := range blocks {
		var got strings.Builder
		for _, line := range strings.Split(block[2], "\n") {
			bytes, _, _ := strings.Cut(line, "  ")
			got.WriteString(strings.ReplaceAll(bytes, " ", ""))
		}
		if got.String() != want[block[1]] {
			found = append(found, Finding{"docs/protocol.md", fmt.Sprintf("the bytes of %q are not the golden vector's", block[1])})
		}
	}
	if len(blocks) == 0 {
		found = append(found, Finding{"docs/protocol.md", "shows no frame as bytes"})
	}
	return found
}

// Settings checks that a page names every flag of a file's settings structs, as
// `--flag`. A flag is a field with a help tag.
func Settings(pageName, page string, source Source) []Finding {
	var found []Finding
	ast.Inspect(source.File, func(node ast.Node) bool {
		field, ok := node.(*ast.Field)
		if !ok || field.Tag == nil || len(field.Names) != 1 {
			return true
		}
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
		if _, isFlag := tag.Lookup("help"); !isFlag {
			return true
		}
		flag := tag.Get("name")
		if flag == "" {
			flag = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field.Names[0].Name, "$1-$2"))
		}
		if !strings.Contains(page, "`--"+flag+"`") {
			found = append(found, Finding{pageName, fmt.Sprintf("--%s of %s is not described", flag, source.Path)})
		}
		return true
	})
	return found
}

// link is [text](target) in Markdown.
type link struct {
	line         int
	text, target string
}

func links(markdown string) []link {
	var found []link
	pattern := regexp.MustCompile(`\[([^\]]+)\]\(([^)\s]+)\)`)
	for i, line := range strings.Split(markdown, "\n") {
		for _, match := range pattern.FindAllStringSubmatch(line, -1) {
			found = append(found, link{i + 1, match[1], match[2]})
		}
	}
	return found
}

// Links checks that every relative link of a Markdown file leads to a file, and
// that each name in code style in a link's text is in that file where it leads
// to source: [`Append` and `commit`](../server/commitlog/commit.go).
func Links(root, name, markdown string) []Finding {
	var found []Finding
	for _, l := range links(markdown) {
		target, _, _ := strings.Cut(l.target, "#")
		if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		place := fmt.Sprintf("%s:%d", name, l.line)
		file := path.Join(path.Dir(name), target)
		info, err := os.Stat(filepath.Join(root, file))
		if err != nil {
			found = append(found, Finding{place, "there is no " + file})
			continue
		}
		if info.Mode().IsRegular() {
			found = append(found, namesInside(root, file, place, l.text)...)
		}
	}
	return found
}

// namesInside looks for a link's names in the file that it leads to, as whole words.
func namesInside(root, file, place, text string) []Finding {
	if extension := path.Ext(file); extension != ".go" && extension != ".ts" && extension != ".tsx" {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return []Finding{{place, err.Error()}}
	}
	var found []Finding
	for _, match := range regexp.MustCompile("`([A-Za-z_][A-Za-z_0-9]*)`").FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`\b` + match[1] + `\b`).Match(content) {
			found = append(found, Finding{place, fmt.Sprintf("%s has no %s", file, match[1])})
		}
	}
	return found
}
