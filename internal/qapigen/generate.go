package qapigen

import (
	"bytes"
	"fmt"
	"go/format"
	"regexp"
	"slices"
	"strings"
)

// Options say what [Generate] writes.
type Options struct {
	Package string // the package's name

	// Introduction is what follows the words "Package NAME" at the beginning of the
	// package's documentation; "" if another file has that.
	Introduction string

	Reference string   // the address of QEMU's reference manual; "" for no links
	Anchors   string   // the name space of the manual's anchors, such as "QMP"; "" for links without anchors
	History   *History // the source of Deprecated in the tables; may be nil
	Tests     bool     // write calls_test.go too, with which a test calls every function
}

// Generate returns the Go files of a package, by name. The same schema and options give
// the same bytes.
func Generate(s *Schema, o Options) (map[string][]byte, error) {
	g := &generator{Schema: s, Options: o}
	g.nameAll()
	files := make(map[string][]byte)
	for _, module := range g.modules() {
		defs := slices.DeleteFunc(slices.Clone(s.Defs), func(d *Definition) bool { return d.Module != module })
		for _, part := range parts {
			if err := g.part(files, module, part, defs); err != nil {
				return nil, fmt.Errorf("module %s, %s: %w", module, part.name, err)
			}
		}
	}
	var body bytes.Buffer
	g.w = &body
	g.tables()
	src, err := g.file(body.Bytes())
	if err != nil {
		return nil, err
	}
	files["tables.go"] = src
	if src := g.packageDoc(); src != nil {
		if files[docFile], err = format.Source(src); err != nil {
			return nil, err
		}
	}
	if o.Tests {
		body.Reset()
		g.callsTest()
		if files["calls_test.go"], err = g.file(body.Bytes()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// maxLines is the number of lines after which a file is not continued: the next
// definition begins another file.
const maxLines = 600

// part adds one part of a module to files: as one file, or as several numbered ones.
func (g *generator) part(files map[string][]byte, module string, p part, defs []*Definition) error {
	var bodies [][]byte
	var body bytes.Buffer
	g.w = &body
	for _, d := range defs {
		p.write(g, d)
		if bytes.Count(body.Bytes(), []byte("\n")) > maxLines {
			bodies = append(bodies, bytes.Clone(body.Bytes()))
			body.Reset()
		}
	}
	if body.Len() > 0 {
		bodies = append(bodies, body.Bytes())
	}
	name := strings.ReplaceAll(module, "-", "_") + "_" + p.name
	for i, body := range bodies {
		src, err := g.file(body)
		if err != nil {
			return err
		}
		if len(bodies) == 1 {
			files[name+".go"] = src
		} else {
			files[fmt.Sprintf("%s_%d.go", name, i+1)] = src
		}
	}
	return nil
}

// A part is one kind of file of a module. Its name must not be that of an operating
// system or an architecture: a file whose name ends in such a name is compiled only
// there.
type part struct {
	name  string
	write func(*generator, *Definition)
}

var parts = []part{
	{"commands", (*generator).command},
	{"events", (*generator).event},
	{"types", (*generator).object},
	{"enums", (*generator).enum},
	{"json", (*generator).methods},
}

type generator struct {
	*Schema
	Options
	w     *bytes.Buffer
	types map[string]string      // the Go names of types, by their QAPI names
	funcs map[*Definition]string // the Go names of commands and events

	fieldNames  map[*Definition][]string // the Go names of what Unfold returns
	branchNames map[*Definition][]string // the Go names of branches
	values      map[*Definition][]string // the Go names of an enum's values

	renamed []Renaming // in the schema's order
}

// p prints to the current file.
func (g *generator) p(format string, args ...any) { fmt.Fprintf(g.w, format, args...) }

// modules returns the modules in the schema's order.
func (g *generator) modules() []string {
	var modules []string
	for _, d := range g.Defs {
		if !slices.Contains(modules, d.Module) {
			modules = append(modules, d.Module)
		}
	}
	return modules
}

// open reports whether a command takes arguments that its definition does not
// list (gen: false).
func (d *Definition) open() bool { return d.Gen != nil && !*d.Gen }

// argumentsName returns the Go name of the struct of a command's arguments.
func (g *generator) argumentsName(d *Definition) string {
	if d.Data != "" {
		return g.types[d.Data]
	}
	return g.funcs[d] + "Arguments"
}

// title returns the first line of a generated file.
func (g *generator) title() string {
	source := "QAPI definitions"
	if g.Release != "" {
		source += " of QEMU " + g.Release
	}
	return fmt.Sprintf("%s from %s. DO NOT EDIT.", header, source)
}

// notCode matches comments, strings and tags.
var notCode = regexp.MustCompile("//.*|'(?:[^'\\\\]|\\\\.)*'|\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")

// file returns a formatted Go file: header, package and imports, and then body.
func (g *generator) file(body []byte) ([]byte, error) {
	var b bytes.Buffer
	code := notCode.ReplaceAll(body, nil)
	uses := func(pkg string) bool { return regexp.MustCompile(`\b` + pkg + `\.`).Match(code) }
	pkg := g.Package
	if uses(pkg) {
		pkg += "_test" // the file imports the package
	}
	fmt.Fprintf(&b, "%s\n\npackage %s\n\n", g.title(), pkg)
	imports := [][2]string{
		{"context", "context"},
		{"time", "time"},
		{"json", "github.com/go-json-experiment/json"},
		{"jsontext", "github.com/go-json-experiment/json/jsontext"},
		{"async", "github.com/goqmp/qmp/async"},
		{"qapitest", "github.com/goqmp/qmp/internal/testing/qapitest"},
		{"support", "github.com/goqmp/qmp/qapi/support"},
	}
	if pkg != g.Package {
		imports = append(imports, [2]string{g.Package, map[string]string{
			"qapi": "github.com/goqmp/qmp/qapi", "qga": "github.com/goqmp/qmp/qapi/qga",
		}[g.Package]})
	}
	var std, others []string
	for _, i := range imports {
		if !uses(i[0]) {
			continue
		}
		if strings.Contains(i[1], "/") {
			others = append(others, i[1])
		} else {
			std = append(std, i[1])
		}
	}
	if len(std)+len(others) > 0 {
		b.WriteString("import (\n")
		for _, i := range std {
			fmt.Fprintf(&b, "\t%q\n", i)
		}
		if len(std) > 0 && len(others) > 0 {
			b.WriteString("\n")
		}
		for _, i := range others {
			fmt.Fprintf(&b, "\t%q\n", i)
		}
		b.WriteString(")\n\n")
	}
	b.Write(body)
	src, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w in:\n%s", err, b.Bytes())
	}
	return src, nil
}

// typeName returns the Go type of t.
func (g *generator) typeName(t Type) string {
	name := builtins[t.Name]
	if name == "" {
		name = g.types[t.Name]
	}
	if t.Array {
		return "[]" + name
	}
	return name
}

// isObject reports whether values of t are JSON objects, that is, structs and
// unions.
func (g *generator) isObject(t Type) bool {
	d := g.Type(t.Name)
	return !t.Array && d != nil && (d.Kind == Struct || d.Kind == Union)
}
