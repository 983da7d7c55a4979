package iotests_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/compat/iotests"
)

// TestStream is the test that the package comment shows.
func TestStream(t *testing.T) {
	iotests.Each(t, []string{"raw", "qcow2"}, func(it *iotests.Test) {
		base, top := it.Path("base.img"), it.Path("top.img")
		it.ImgCreate(base, "64M")
		it.QemuIO(base, "write -P 1 0 1M")
		it.ImgCreate(top, "", "-f", "qcow2", "-b", base, "-F", it.Format)

		vm := it.VM(nil).AddBlockdev(iotests.Dict{
			"driver": "qcow2", "node-name": "top",
			"file": iotests.Dict{"driver": "file", "filename": top},
		}).Launch()
		vm.QMPLog("block-stream", iotests.Dict{"job-id": "job0", "device": "top"})
		vm.RunJob("job0", nil)
		vm.AssertNoActiveBlockJobs()
		vm.AssertBlockPath("top", "backing", "")
		vm.IO("top", "read -P 1 0 1M", "read -P 0 1M 63M")
		vm.Shutdown()

		it.AssertQMPAbsent(it.ImgInfo(top), "backing-filename")
		it.CheckGolden("stream")
	})
}

// The package comment shows TestStream as it is here. The names in its table exist, and
// everything that is exported has a comment.
func TestPackageComment(t *testing.T) {
	mine, err := os.ReadFile("doc_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, whole, _ := strings.Cut(string(mine), "\nfunc TestStream(")
	whole, _, _ = strings.Cut(whole, "\n}\n")
	if lines := strings.Count(whole, "\n") + 2; lines > 25 {
		t.Errorf("the test in the package comment has %d lines", lines)
	}
	comment, names := exported(t)
	shown := regexp.MustCompile(`\s*// go test -update .*`).ReplaceAllString(comment, "")
	if squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }; !strings.Contains(squeeze(shown), squeeze("func TestStream("+whole)) {
		t.Error("the package comment does not show TestStream as it is in doc_test.go")
	}
	for _, name := range regexp.MustCompile(`\b(?:VM|Test)\.[A-Z]\w+`).FindAllString(comment, -1) {
		if !slices.Contains(names, name) {
			t.Errorf("the package comment names %s, which does not exist", name)
		}
	}
}

// fields returns the fields of the structs that decl declares, as "Type.F".
func fields(decl ast.Decl) (names []string) {
	ast.Inspect(decl, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					names = append(names, spec.Name.Name+"."+name.Name)
				}
			}
		}
		return false
	})
	return names
}

// exported returns the package comment, and the names of the package's functions,
// methods and fields, as "F" and "Type.M". A function or method without a comment fails
// the test.
func exported(t *testing.T) (comment string, names []string) {
	t.Helper()
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		comment += f.Doc.Text()
		for _, decl := range f.Decls {
			names = append(names, fields(decl)...)
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			full := f.Name.Name
			if f.Recv != nil {
				receiver := f.Recv.List[0].Type
				if star, ok := receiver.(*ast.StarExpr); ok {
					receiver = star.X
				}
				full = receiver.(*ast.Ident).Name + "." + full
			}
			names = append(names, full)
			if f.Doc == nil {
				t.Errorf("%s: %s has no comment", name, full)
			}
		}
	}
	return comment, names
}
