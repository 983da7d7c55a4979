package recorded

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// program reads the scripts of package qmptest and the texts in a Go file.
func (r *recordings) program(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	r.texts = make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
			for i, name := range spec.Names {
				if s, ok := r.constant(spec.Values[i]); ok {
					r.texts[name.Name] = s
				}
			}
		}
		return true
	})
	for _, decl := range file.Decls {
		r.waiting = nil
		ast.Inspect(decl, r.node)
	}
	return nil
}

// node reads what a part of a Go file says. It reports whether its parts are to be read.
func (r *recordings) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.Field:
		return false
	case *ast.CallExpr:
		return !r.step(n)
	case *ast.BinaryExpr, *ast.BasicLit:
		if s, ok := r.constant(n.(ast.Expr)); ok {
			waiting := r.waiting
			r.waiting = nil
			r.scan([]byte(s))
			r.waiting = waiting
			return false
		}
	}
	return true
}

// step reads a step of a script, and reports whether the call is one.
func (r *recordings) step(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	if x, ok := selector.X.(*ast.Ident); !ok || x.Name != "qmptest" {
		return false
	}
	s, ok := r.constant(call.Args[0])
	switch selector.Sel.Name {
	case "Expect", "ExpectOOB", "ExpectWithFDs", "ExpectFunc":
		r.waiting = append(r.waiting, sent{name: s})
		return false
	case "ReturnError":
		r.to(call.Args[2:])
	case "Return":
		command := r.to(call.Args[1:])
		if ok {
			r.all = append(r.all, Message{File: r.file, Command: command, Value: []byte(s)})
		}
	case "Reply":
		if ok {
			r.log = true // to the last command
			r.scan([]byte(strings.ReplaceAll(s, "$id", "0")))
		}
	case "Event":
		data, okData := r.constant(call.Args[1])
		if ok && okData {
			event := Message{File: r.file, Event: s}
			if data != "" {
				event.Value = []byte(data)
			}
			r.all = append(r.all, event)
		}
	default:
		return false
	}
	return true
}

// to returns the command that a step answers: the last one, unless targets says
// something else.
func (r *recordings) to(targets []ast.Expr) string {
	if len(targets) > 0 || len(r.waiting) == 0 {
		return "" // this reader does not follow targets
	}
	last := len(r.waiting) - 1
	name := r.waiting[last].name
	r.waiting = r.waiting[:last]
	return name
}

// constant returns the value of a string expression that has only literals, and constants
// of the same file.
func (r *recordings) constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.Ident:
		s, ok := r.texts[e.Name]
		return s, ok
	case *ast.ParenExpr:
		return r.constant(e.X)
	case *ast.BinaryExpr:
		a, ok := r.constant(e.X)
		b, ok2 := r.constant(e.Y)
		return a + b, ok && ok2 && e.Op == token.ADD
	}
	return "", false
}
