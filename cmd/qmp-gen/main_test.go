package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The code in the folder acme is what the program writes for the schema there.
func TestGeneratedFilesAreFresh(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "acme")
	if err := run([]string{"-schema", "acme/schema/qapi-schema.json", "-release", "2.1", "-o", dir}, t.Output()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join("acme", f.Name()))
		want, wantErr := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			t.Errorf("acme/%s is stale (%v, %v): run 'make generate'", f.Name(), err, wantErr)
		}
	}
	if len(files) < 8 {
		t.Errorf("only %d files", len(files))
	}
}

// The errors say what to do, and where a schema is at fault.
func TestFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, src := range map[string]string{
		"good.json":     "{ 'command': 'x' }",
		"includes.json": "{ 'include': 'sub/bad.json' }",
		"missing.json":  "\n  { 'include': 'no.json' }",
		"type.json":     "{ 'command': 'x',\n  'returns': 'Thing' }",
	} {
		if err := os.WriteFile(name, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("sub/bad.json", []byte("# text\n{ 'struct': 'S',\n  'data': { 'a': 12 } }"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args string
		want string
	}{
		"nothing":             {"", "give either -schema or -facts (-help lists the flags)"},
		"both":                {"-schema x -facts qemu", "give either"},
		"an argument":         {"good.json", `unexpected argument "good.json": give the schema with -schema`},
		"an unknown flag":     {"-schemas x", "flag provided but not defined"},
		"unknown facts":       {"-facts kvm -o out", "want qemu or qga"},
		"a bad package":       {"-schema good.json -package a-b", "-package a-b is not a package's name"},
		"a bad folder":        {"-schema good.json -o 2x", "the folder's name 2x is not a package's name: give another one with -package"},
		"no such file":        {"-schema no.json -o out", "no.json"},
		"a fault in a file":   {"-schema includes.json -o out", "sub/bad.json:3:18: want a string in single quotes"},
		"a missing include":   {"-schema missing.json -o out", "missing.json:2:16: include: open no.json"},
		"a type that is none": {"-schema type.json -o out", "type.json:1:14: command x: the type of its result, Thing, is not defined"},
	} {
		err := run(strings.Fields(tt.args), t.Output())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := os.Stat("out"); err == nil {
		t.Error("a run that failed has made the folder")
	}
	var help bytes.Buffer
	if err := run([]string{"-help"}, &help); err != nil || !strings.Contains(help.String(), "qmp-gen -schema qapi/qapi-schema.json") {
		t.Errorf("-help: %v\n%s", err, &help)
	}
}

// Files of an earlier run go, other files stay.
func TestWrite(t *testing.T) {
	t.Chdir(t.TempDir())
	put := func(name, src string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("a.json", "{ 'include': 'b.json' }\n{ 'command': 'x' }")
	put("b.json", "{ 'command': 'y' }")
	generate := func() error { return run([]string{"-schema", "a.json", "-o", "out"}, t.Output()) }
	names := func() string {
		t.Helper()
		files, err := filepath.Glob("out/*")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(files, " ")
	}
	if err := generate(); err != nil {
		t.Fatal(err)
	}
	put("out/own.go", "package out")
	put("b.json", "")
	if err := generate(); err != nil {
		t.Fatal(err)
	}
	if got, want := filepath.ToSlash(names()), "out/a_commands.go out/own.go out/schema_doc.go out/tables.go"; got != want {
		t.Errorf("the folder has %s, want %s", got, want)
	}
	put("out/b_commands.go", "package out")
	put("b.json", "{ 'command': 'y' }")
	if err := generate(); err == nil || !strings.Contains(err.Error(), "b_commands.go is not a file of qmp-gen") {
		t.Errorf("a file would have been replaced: %v", err)
	}
	if src, err := os.ReadFile("out/b_commands.go"); err != nil || string(src) != "package out" {
		t.Errorf("the file of the user is now %q (%v)", src, err)
	}
}
