package iotests

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/record"
	"github.com/goqmp/qmp/internal/secrets"
)

// Each VM's connection is recorded, and its process's output kept, until the test ends. If
// the test has failed then, both stay in a folder of the test. So a failure that is rare
// can be looked at, and played without QEMU.

// A keeper has the folder for what is kept of a test, and the recordings that are being
// written. It belongs to the goroutine of its test.
type keeper struct {
	output string // the directory for the folders of failed tests; "" for that of temporary files
	folder string // the test's own; "" until the first VM is made
	files  map[string]bool
	vms    []*keptVM
}

// A keptVM is what is kept of one VM.
type keptVM struct {
	vm   *VM
	base string           // the path of its files, without their endings
	rec  *record.Recorder // nil if the file could not be made
	err  error            // the first error of the recording
}

// The endings of what is kept of a VM.
const (
	recordingSuffix = ".qmp.jsonl"
	outputSuffix    = ".log"
)

// outputDir returns the directory for the folders of failed tests, or "" if nobody has
// named one.
func outputDir(tb TB, opts *Options) string {
	if dir := first(opts.OutputDir, os.Getenv("OUTPUT_DIR")); dir != "" {
		return dir
	}
	artifacts := flag.Lookup("test.artifacts")
	if t, ok := tb.(interface{ ArtifactDir() string }); ok && testing.Testing() && artifacts != nil && artifacts.Value.String() == "true" {
		return t.ArtifactDir()
	}
	return ""
}

// record makes the tracer that records a VM. If there is no file, it returns nil, and a
// failure of the test says why.
func (it *Test) record(vm *VM) *async.Tracer {
	k := &it.keep
	kept := &keptVM{vm: vm}
	k.vms = append(k.vms, kept)
	if k.folder == "" {
		if kept.err = k.makeFolder(it); kept.err != nil {
			return nil
		}
	}
	name := fileName(vm.name)
	for i := 2; k.files[name]; i++ {
		name = fmt.Sprintf("%s-%d", fileName(vm.name), i)
	}
	k.files[name] = true
	kept.base = filepath.Join(k.folder, name)
	if kept.rec, kept.err = record.Create(kept.base+recordingSuffix, nil); kept.err != nil {
		return nil
	}
	return kept.rec.Tracer(vm.name)
}

// makeFolder makes the test's folder. If nobody has named a directory, it is in the
// directory of the test, which is removed even if the test program is killed.
func (k *keeper) makeFolder(it *Test) (err error) {
	k.files = make(map[string]bool)
	if k.output == "" {
		k.folder = filepath.Join(it.Dir, "kept")
		return os.Mkdir(k.folder, 0o700)
	}
	if err := os.MkdirAll(k.output, 0o777); err != nil {
		return err
	}
	k.folder, err = os.MkdirTemp(k.output, fileName(it.Name())+"-")
	return err
}

// fileName returns name without what a file's name cannot have.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
}

// end closes the recordings when the test is over. If the test has failed, it says where
// they are; otherwise it removes them.
func (k *keeper) end(it *Test) {
	it.Helper()
	for _, v := range k.vms {
		if v.rec != nil {
			v.err = v.rec.Close()
		}
	}
	if k.folder == "" && len(k.vms) == 0 {
		return
	}
	p, _ := it.TB.(*programTB)
	interrupted := k.output == "" && p != nil && p.interrupted // by the user, who needs no explanation
	if !it.Failed() || interrupted {
		if err := os.RemoveAll(k.folder); err != nil {
			it.Errorf("remove the recordings of the test: %v", err)
		}
		return
	}
	if k.output == "" && k.folder != "" {
		if err := k.move(it.Name()); err != nil {
			it.Logf("the recordings of the test are not kept: %v", err)
			return
		}
	}
	k.tell(it)
}

// move moves the folder from the test's directory to that of temporary files.
func (k *keeper) move(name string) error {
	target, err := os.MkdirTemp("", "failed-"+fileName(name)+"-")
	if err != nil {
		return err
	}
	files, err := os.ReadDir(k.folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := moveFile(filepath.Join(k.folder, f.Name()), filepath.Join(target, f.Name())); err != nil {
			return err
		}
	}
	for _, v := range k.vms {
		if v.base != "" {
			v.base = filepath.Join(target, filepath.Base(v.base))
		}
	}
	k.folder = target
	return nil
}

// moveFile renames a file. Between two file systems it copies it.
func moveFile(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// tell writes the output of the processes, and logs what is kept.
func (k *keeper) tell(it *Test) {
	it.Helper()
	var b strings.Builder
	for _, v := range k.vms {
		command := v.vm.Machine.CommandLine()
		if command == nil { // it was never launched
			if v.base != "" {
				_ = os.Remove(v.base + recordingSuffix)
			}
			continue
		}
		if v.err != nil {
			writeField(&b, v.vm.name, "its recording is not whole: "+v.err.Error())
		}
		if v.base == "" {
			continue
		}
		text := "command line: " + quote(command) + "\n" + secrets.Output(v.vm.Machine.Log(), command)
		if err := os.WriteFile(v.base+outputSuffix, []byte(text), 0o600); err != nil {
			writeField(&b, v.vm.name, err.Error())
		}
		writeField(&b, v.vm.name, v.base+recordingSuffix+"\n"+v.base+outputSuffix)
	}
	if b.Len() > 0 {
		it.Logf("kept of the failed test (qmptest.ReplayFile plays a recording without QEMU):%s", b.String())
	} else if k.folder != "" {
		_ = os.Remove(k.folder) // empty
	}
}
