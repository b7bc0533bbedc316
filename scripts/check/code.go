package check

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Sleeps finds time.Sleep in tests. Where testing/synctest is imported it moves a
// bubble's clock and costs nothing.
func Sleeps(source Source) []Finding {
	bubble := slices.ContainsFunc(source.File.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
	if !source.Test() || bubble {
		return nil
	}
	var found []Finding
	ast.Inspect(source.File, func(node ast.Node) bool {
		if e, ok := node.(ast.Expr); ok && isSelector(e, "time", "Sleep") {
			found = append(found, Finding{source.place(e.Pos()),
				"a test sleeps; wait for the thing itself: synctest, a channel, require.Eventually at the border of a process"})
		}
		return true
	})
	return found
}

// Inits finds functions that run before main does.
func Inits(source Source) []Finding {
	var found []Finding
	for _, declaration := range source.File.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if ok && f.Recv == nil && f.Name.Name == "init" && !source.Generated() {
			found = append(found, Finding{source.place(f.Pos()), "init: call it where it is needed"})
		}
	}
	return found
}

// State finds package variables that hold state: those without a value, those
// that are filled by make, new or a constructor of sync, and those that the
// package changes anywhere. The sources are one package. Tables, sentinel errors
// and compiled patterns are fine.
func State(sources []Source) []Finding {
	var found []Finding
	var written []Source
	for _, source := range sources {
		if source.Test() || source.Generated() {
			continue
		}
		written = append(written, source)
		for _, spec := range packageVariables(source) {
			for i, name := range spec.Names {
				if name.Name != "_" && !writtenByLinker(source, name.Name) && (len(spec.Values) <= i || !constant(spec.Values[i])) {
					found = append(found, Finding{source.place(name.Pos()), "package variable " + name.Name + " holds state; put it into a type"})
				}
			}
		}
	}
	if len(written) == 0 {
		return nil
	}
	return append(found, changes(written)...)
}

// writtenByLinker are the variables that -ldflags -X sets: it can set nothing else.
func writtenByLinker(source Source, name string) bool {
	return source.Dir() == "sdk/cmdline" && slices.Contains([]string{"version", "commit", "date"}, name)
}

func packageVariables(source Source) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, declaration := range source.File.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR || embeds(group.Doc) {
			continue
		}
		for _, spec := range group.Specs {
			if value := spec.(*ast.ValueSpec); !embeds(value.Doc) {
				specs = append(specs, value)
			}
		}
	}
	return specs
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// constant tells whether an expression makes something that is only read afterwards.
func constant(value ast.Expr) bool {
	switch value := value.(type) {
	case *ast.BasicLit, *ast.FuncLit, *ast.BinaryExpr, *ast.SelectorExpr, *ast.Ident:
		return true
	case *ast.CompositeLit:
		selector, ok := value.Type.(*ast.SelectorExpr)
		pool := isSelector(value.Type, "sync", "Pool") // memory to use again, and nothing in it to know
		return !ok || pool || !isName(selector.X, "sync") && !isName(selector.X, "atomic")
	case *ast.UnaryExpr:
		return constant(value.X)
	case *ast.CallExpr:
		return !isName(value.Fun, "make") && !isName(value.Fun, "new")
	}
	return false
}

// changes finds where a package assigns to one of its variables. Its imports are
// not looked at: the package's own names are known without them.
func changes(sources []Source) []Finding {
	files := make([]*ast.File, len(sources))
	for i, source := range sources {
		files[i] = source.File
	}
	uses := map[*ast.Ident]types.Object{}
	lenient := types.Config{Importer: noImports{}, Error: func(error) {}}
	ours, err := lenient.Check(sources[0].Dir(), sources[0].Set, files, &types.Info{Uses: uses})
	if ours == nil {
		return []Finding{{sources[0].Dir(), err.Error()}}
	}
	var found []Finding
	for _, source := range sources {
		ast.Inspect(source.File, func(node ast.Node) bool {
			for _, target := range targets(node) {
				name := root(target)
				if object, ok := uses[name].(*types.Var); ok && object.Parent() == ours.Scope() {
					found = append(found, Finding{source.place(name.Pos()), "package variable " + name.Name + " is changed; put it into a type"})
				}
			}
			return true
		})
	}
	return found
}

type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	return nil, errors.New("not looked at: " + path)
}

// targets are what a statement assigns to.
func targets(node ast.Node) []ast.Expr {
	switch node := node.(type) {
	case *ast.AssignStmt:
		if node.Tok != token.DEFINE {
			return node.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{node.X}
	}
	return nil
}

// root is the variable at the beginning of a.b[i].c.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// Undocumented finds exported names without a comment. Commands, tests and
// generated code have no readers of their documentation.
func Undocumented(source Source) []Finding {
	if source.Test() || source.Generated() || source.File.Name.Name == "main" {
		return nil
	}
	var found []Finding
	report := func(name *ast.Ident) {
		found = append(found, Finding{source.place(name.Pos()), "exported " + name.Name + " has no comment"})
	}
	for _, declaration := range source.File.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !obvious(d) {
				report(d.Name)
			}
		case *ast.GenDecl:
			for _, name := range undocumentedSpecs(d) {
				report(name)
			}
		}
	}
	return found
}

// obvious are methods whose interface says all there is to say.
func obvious(f *ast.FuncDecl) bool {
	return f.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String", "Len", "Less", "Swap", "Push", "Pop", "Describe", "Collect"}, f.Name.Name)
}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	name := root(f.Recv.List[0].Type)
	return name != nil && name.IsExported()
}

func undocumentedSpecs(d *ast.GenDecl) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && spec.Name.IsExported() {
				names = append(names, spec.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && name.IsExported() {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func isSelector(e ast.Expr, of, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	return ok && isName(selector.X, of) && selector.Sel.Name == name
}
