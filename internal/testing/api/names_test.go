package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A surfaceIndex is what a package exports, by name: "F", "T", "T.M" for a method
// or a field. The value is the type of a field, such as "Options" or
// "qmpsync.Options", and "" for others.
type surfaceIndex map[string]string

// index returns what each public package exports, by the package's name.
func index(t *testing.T) map[string]surfaceIndex {
	t.Helper()
	all := make(map[string]surfaceIndex)
	for _, dir := range packages(t) {
		name, files := parsed(t, dir)
		names := make(surfaceIndex)
		for _, f := range files {
			for _, decl := range f.Decls {
				names.add(decl)
			}
		}
		all[name] = names
	}
	return all
}

// parsed returns the files of a package, with comments, and its name.
func parsed(t *testing.T, dir string) (name string, files []*ast.File) {
	t.Helper()
	folder := filepath.Join(root, dir)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		name, files = f.Name.Name, append(files, f)
	}
	return name, files
}

func (s surfaceIndex) add(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		if decl.Recv != nil {
			name = typeName(decl.Recv.List[0].Type) + "." + name
		}
		s[name] = ""
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					s[name.Name] = ""
				}
			case *ast.TypeSpec:
				s[spec.Name.Name] = ""
				var fields *ast.FieldList
				switch typ := spec.Type.(type) {
				case *ast.StructType:
					fields = typ.Fields
				case *ast.InterfaceType:
					fields = typ.Methods
				default:
					continue
				}
				for _, field := range fields.List {
					for _, name := range field.Names {
						s[spec.Name.Name+"."+name.Name] = typeName(field.Type)
					}
					if len(field.Names) == 0 { // embedded
						typ := typeName(field.Type)
						s[spec.Name.Name+"."+typ[strings.LastIndex(typ, ".")+1:]] = typ
					}
				}
			}
		}
	}
}

// typeName returns "T" or "pkg.T", also for a pointer to it, and "" for others.
func typeName(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.StarExpr:
		return typeName(expr.X)
	case *ast.IndexExpr:
		return typeName(expr.X)
	case *ast.SelectorExpr:
		return typeName(expr.X) + "." + expr.Sel.Name
	case *ast.Ident:
		return expr.Name
	}
	return ""
}

// has reports whether package pkg exports a name such as "T", "T.M" or "T.F.G".
func has(all map[string]surfaceIndex, pkg, name string) bool {
	names := all[pkg]
	if _, ok := names[name]; ok {
		return true
	}
	head, rest, ok := strings.Cut(name, ".")
	field, last, more := strings.Cut(rest, ".")
	if !ok || !more {
		return false
	}
	typ, ok := names[head+"."+field]
	if other, local, qualified := strings.Cut(typ, "."); qualified {
		pkg, typ = other, local
	}
	return ok && typ != "" && has(all, pkg, typ+"."+last)
}

// Patterns for names of this module's exports in a text.
var (
	docLink   = regexp.MustCompile(`\[\*?((?:[a-z]\w*\.)?[A-Z]\w*(?:\.[A-Z]\w*)*)\]`)
	option    = regexp.MustCompile(`(?:^|[^\w.\]])(Options(?:\.[A-Z]\w*)+)`)
	qualified = regexp.MustCompile(`\b(async|qmpsync|legacy|compat|machine|qtest|iotests|qmptest)((?:\.[A-Z]\w*)+)`)
	advised   = regexp.MustCompile(`\bcall ([A-Z]\w+)(?: or ([A-Z]\w+))?`)
)

// TestDocComments requires that the links and the options in comments of the public
// packages exist.
func TestDocComments(t *testing.T) {
	all := index(t)
	links := 0
	for _, dir := range packages(t) {
		pkg, files := parsed(t, dir)
		for _, f := range files {
			if ast.IsGenerated(f) {
				continue // its comments name things of QEMU
			}
			imports := make(map[string]bool) // true for imports that are not public packages of this module
			for _, spec := range f.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				imports[path[strings.LastIndex(path, "/")+1:]] = !strings.HasPrefix(path, module) || strings.Contains(path, "/internal/")
			}
			for _, group := range f.Comments {
				text := group.Text()
				for _, m := range docLink.FindAllStringSubmatch(text, -1) {
					links++
					in, name := pkg, m[1]
					if other, rest, ok := strings.Cut(name, "."); ok && strings.ToLower(other[:1]) == other[:1] {
						in, name = other, rest
					}
					if all[in] == nil || imports[in] || len(name) == 1 {
						continue // from another module, or a type parameter
					}
					if !has(all, in, name) {
						t.Errorf("%s: a comment links to [%s], which does not exist: ...%s...", dir, m[1], around(text, m[0]))
					}
				}
				for _, m := range option.FindAllStringSubmatch(text, -1) {
					if !has(all, pkg, m[1]) {
						t.Errorf("%s: a comment names %s, which the package does not have: ...%s...", dir, m[1], around(text, m[1]))
					}
				}
				namesExist(t, all, dir+": a comment", text)
			}
		}
	}
	if links < 300 {
		t.Errorf("found only %d links in comments; the test does not recognize them any more", links)
	}
}

// TestErrorTexts requires that an option or a call that an error's text advises
// exists in the package that the user calls. Users of four packages get the errors
// of the engine and of the internal packages. Such an error names an option with its
// package, and advises only calls that all four packages have.
func TestErrorTexts(t *testing.T) {
	all := index(t)
	texts := 0
	dirs := append(packages(t), "internal/proto", "internal/socket", "internal/contexts")
	for _, dir := range dirs {
		pkg, files := parsed(t, dir)
		users := []string{pkg}
		if pkg == "async" || strings.HasPrefix(dir, "internal/") {
			users = []string{"async", "qmpsync", "legacy", "compat"}
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil || !strings.Contains(text, " ") {
					return true
				}
				texts++
				namesExist(t, all, dir+": the text", text)
				for _, m := range option.FindAllStringSubmatch(text, -1) {
					t.Errorf("%s: the text %q names %s without its package, such as %s.%s", dir, text, m[1], users[0], m[1])
				}
				for _, m := range advised.FindAllStringSubmatch(text, -1) {
					for _, call := range m[1:] {
						for _, user := range users {
							if call != "" && !exports(all[user], call) {
								t.Errorf("%s: the text %q advises to call %s, which package %s does not have", dir, text, call, user)
							}
						}
					}
				}
				return true
			})
		}
	}
	if texts < 200 {
		t.Errorf("found only %d texts; the test does not recognize them any more", texts)
	}
}

// TestPagesNames requires that the names of exports on the pages exist.
func TestPagesNames(t *testing.T) {
	all := index(t)
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") || path == "CHANGELOG.md" {
			return err // the changelog also has names that were removed
		}
		page, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(page), -1) {
			namesExist(t, all, path, code)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// namesExist requires that every name with a package in text exists.
func namesExist(t *testing.T, all map[string]surfaceIndex, where, text string) {
	t.Helper()
	for _, m := range qualified.FindAllStringSubmatch(text, -1) {
		if name := m[2][1:]; !has(all, m[1], name) {
			t.Errorf("%s names %s.%s, which does not exist: ...%s...", where, m[1], name, around(text, m[0]))
		}
	}
}

// exports reports whether a package has a function or a method of this name.
func exports(names surfaceIndex, call string) bool {
	for name := range names {
		if name == call || strings.HasSuffix(name, "."+call) {
			return true
		}
	}
	return false
}

// around returns part and the text around it.
func around(text, part string) string {
	at := strings.Index(text, part)
	return strings.Join(strings.Fields(text[max(at-40, 0):min(at+len(part)+40, len(text))]), " ")
}
