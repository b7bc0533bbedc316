package check

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Finding is one broken rule.
type Finding struct {
	Place  string // path from the top of the tree, with the line where there is one
	Reason string
}

func (f Finding) String() string { return f.Place + ": " + f.Reason }

// Source is one parsed Go file.
type Source struct {
	Path string // from the top of the tree, with slashes
	File *ast.File
	Set  *token.FileSet
}

// Dir is the folder that the file stands in: its package's path inside the module.
func (s Source) Dir() string { return path.Dir(s.Path) }

// Test tells whether the file is a test.
func (s Source) Test() bool { return strings.HasSuffix(s.Path, "_test.go") }

// Generated tells whether a program wrote the file.
func (s Source) Generated() bool { return ast.IsGenerated(s.File) }

// place names a position inside the file.
func (s Source) place(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", s.Path, s.Set.Position(pos).Line)
}

// ParseText makes a Source of a text, as if it stood at path. The files of one
// package share a set.
func ParseText(set *token.FileSet, path, text string) (Source, error) {
	file, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return Source{}, fmt.Errorf("parse %s: %w", path, err)
	}
	return Source{Path: path, File: file, Set: set}, nil
}

// Tree lists the files below root that people write and keep, with slashes and
// sorted. What is built, installed or collected is left out.
func Tree(root string) ([]string, error) {
	skipped := []string{"node_modules", ".git", "bin", "dist", "run", "data"}
	var files []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skipped, entry.Name()):
			return filepath.SkipDir
		case entry.Type().IsRegular():
			short, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			files = append(files, filepath.ToSlash(short))
		}
		return nil
	})
	return files, err
}

// ParseTree parses every Go file of the tree.
func ParseTree(root string) ([]Source, error) {
	files, err := Tree(root)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	var sources []Source
	for _, name := range files {
		if path.Ext(name) != ".go" || strings.Contains(name, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		source, err := ParseText(set, name, string(text))
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	return sources, nil
}
