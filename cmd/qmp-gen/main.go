// Command qmp-gen writes Go code from QAPI definitions: one function per command,
// one struct per event, and the types that both use.
//
// It reads schema files, such as those of a QEMU that you build yourself. In the folder
// of your module, with QEMU's sources beside it:
//
//	go run github.com/goqmp/qmp/cmd/qmp-gen@latest \
//		-schema ../qemu/qapi/qapi-schema.json -release 10.0 -package vendorqapi -o vendorqapi
//	go get github.com/goqmp/qmp@latest
//	go build ./vendorqapi
//
// The file that -schema names includes the others. A fault in one of them is reported
// with its file, line and column. Then a program calls a command like this:
//
//	fans, err := vendorqapi.QueryFans(ctx, c) // c is an *async.Client, for example
//
// Each module of the schema has files of its own. tables.go lists all commands and
// events; schema_doc.go has the package comment, with the names that had to be changed.
//
// The code imports packages async and qapi/support of this module, and
// github.com/go-json-experiment/json. The same schema gives the same code: check it in,
// and put the command into a go:generate line. Files in the folder that an earlier run
// has written and this one does not write are removed. Other files stay; one that has the
// name of a new file is an error.
//
// The folder acme beside this program's source has a small schema, the code that was
// written for it, and a test that uses the code.
//
// With -facts in place of -schema qmp-gen writes the code of QEMU's own schema. This
// module's packages qapi and qapi/qga are made that way.
package main

// The lines stand here, and not in the packages that they write: go generate fails if a
// file of the package that it reads disappears.
//
//go:generate go run . -facts qemu -o ../../qapi
//go:generate go run . -facts qga -o ../../qapi/qga
//go:generate go run . -schema acme/schema/qapi-schema.json -release 2.1 -o acme

import (
	"errors"
	"flag"
	"fmt"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/goqmp/qmp/internal/qapigen"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "qmp-gen:", err)
		os.Exit(1)
	}
}

const usage = `qmp-gen writes Go code from QAPI definitions:

  qmp-gen -schema qapi/qapi-schema.json -package vendorqapi -o vendorqapi

Then build it: it imports github.com/goqmp/qmp (go get github.com/goqmp/qmp@latest).

`

// run executes the program. It prints its help to out.
func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("qmp-gen", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage)
		flags.PrintDefaults()
	}
	schema := flags.String("schema", "", "the `file` that includes the others, such as qapi/qapi-schema.json")
	facts := flags.String("facts", "", "in place of -schema: write the code of QEMU's own schema, which this program contains; the `program` is qemu or qga")
	release := flags.String("release", "", "the release that the schema files belong to, for the comments")
	pkg := flags.String("package", "", "the `name` of the package (default: the folder's name)")
	folder := flags.String("o", ".", "the `folder` that the files are written to; it is made if it is missing")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: give the schema with -schema (-help lists the flags)", flags.Arg(0))
	}
	if (*facts == "") == (*schema == "") {
		return errors.New("give either -schema or -facts (-help lists the flags)")
	}
	name, err := packageName(*pkg, *folder)
	if err != nil {
		return err
	}
	var files map[string][]byte
	switch *facts {
	case "":
		files, err = fromSchema(*schema, *release, name)
	case "qemu", "qga":
		files, err = qapigen.FromFacts(*facts, name)
	default:
		return fmt.Errorf("-facts %s: want qemu or qga", *facts)
	}
	if err != nil {
		return err
	}
	return write(*folder, files)
}

// packageName returns name, or else the name of the folder. The error says that it
// cannot be the name of a package.
func packageName(name, dir string) (string, error) {
	flag := "-package " + name
	if name == "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		name = filepath.Base(abs)
		flag = "the folder's name " + name
	}
	if !token.IsIdentifier(name) {
		return "", fmt.Errorf("%s is not a package's name: give another one with -package", flag)
	}
	return name, nil
}

// fromSchema returns the generated files for a schema file and those that it includes.
func fromSchema(file, release, pkg string) (map[string][]byte, error) {
	s, err := qapigen.Parse(disk{}, filepath.ToSlash(file))
	if err != nil {
		return nil, err
	}
	s.Release = release
	return qapigen.Generate(s, qapigen.Options{
		Package:      pkg,
		Introduction: "has the commands, events and types of a QAPI schema as Go functions and structs.",
	})
}

// disk opens the files of the system by any name. (The file systems of package os refuse
// names that lead out of a folder, and schema files include others in that way.)
type disk struct{}

func (disk) Open(name string) (fs.File, error) { return os.Open(filepath.FromSlash(name)) }

// write writes the files to dir. It removes the generated files in dir that are not
// among them.
func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := qapigen.Generated(dir)
	if err != nil {
		return err
	}
	for name := range files {
		_, err := os.Stat(filepath.Join(dir, name))
		if err == nil && !slices.Contains(old, name) {
			return fmt.Errorf("%s is not a file of qmp-gen: rename it, or choose another folder with -o", filepath.Join(dir, name))
		}
	}
	for _, name := range old {
		if _, ok := files[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name, src := range files {
		if err := os.WriteFile(filepath.Join(dir, name), src, 0o644); err != nil {
			return err
		}
	}
	return nil
}
