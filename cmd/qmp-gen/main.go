// Command qmp-gen writes Go code from QAPI definitions: one function per command,
// one struct per event, and the types that both use.
//
// It reads schema files, such as those of a QEMU that you build yourself:
//
//	qmp-gen -schema qapi/qapi-schema.json -release 10.0 -package vendorqapi -o vendorqapi
//
// The generated code imports packages async and qapi/support of this module, and
// github.com/go-json-experiment/json. Files in the folder that an earlier run has
// written and this one does not write are removed.
//
// With -facts in place of -schema it writes the code of QEMU's own schema. This
// module's packages qapi and qapi/qga are made that way.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goqmp/qmp/internal/qapigen"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "qmp-gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("qmp-gen", flag.ContinueOnError)
	facts := flags.String("facts", "", "in place of -schema: write the code of QEMU's own schema, which this program contains: qemu or qga")
	schema := flags.String("schema", "", "the `file` that includes the others, such as qapi/qapi-schema.json")
	release := flags.String("release", "", "the release that the schema files belong to, for the comments")
	pkg := flags.String("package", "qapi", "the `name` of the package")
	out := flags.String("o", ".", "the `folder` that the files are written to")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var files map[string][]byte
	var err error
	switch {
	case *facts != "" && *schema == "":
		files, err = qapigen.FromFacts(*facts, *pkg)
	case *schema != "" && *facts == "":
		files, err = fromSchema(*schema, *release, *pkg)
	default:
		return errors.New("give either -schema or -facts")
	}
	if err != nil {
		return err
	}
	return write(*out, files)
}

// fromSchema returns the generated files for a schema file and those that it includes.
func fromSchema(file, release, pkg string) (map[string][]byte, error) {
	s, err := qapigen.Parse(os.DirFS(filepath.Dir(file)), filepath.Base(file))
	if err != nil {
		return nil, err
	}
	s.Release = release
	return qapigen.Generate(s, qapigen.Options{Package: pkg})
}

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
