//go:build unix

package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/syntax"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// connect connects to a program that has just been started.
func connect(t *testing.T, addr string, opts async.Options) *async.Client {
	t.Helper()
	opts.Backoff = async.Every(qemutest.DialEvery)
	c, err := async.Dial(qemutest.Context(t), addr, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// execute sends a line, and returns QEMU's refusal.
func execute(t *testing.T, c *async.Client, line string) error {
	t.Helper()
	cmd, err := syntax.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.Do(qemutest.Context(t), cmd.Message())
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return reply.Err()
}

// A real machine: what is completed is what it has, and it refuses and takes what Check
// says.
func TestRealQEMU(t *testing.T) {
	c := connect(t, qemutest.Monitor(t, "-chardev", "null,id=c0", "-object", "iothread,id=io0",
		"-blockdev", "driver=null-co,node-name=n0,size=1048576", "-blockdev", "driver=null-co,node-name=n1,size=1048576"), async.Options{})
	cat := New(c)
	start := time.Now()
	if err := cat.Load(qemutest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Logf("QEMU %s, known after %v", cat.Version(), time.Since(start))

	for _, line := range []string{"block-dirty-bitmap-add node=n0 name=b0", "transaction( block-dirty-bitmap-add node=n0 name=b1\nblock-dirty-bitmap-add node=n1 name=b2 )"} {
		if got := problems(t, cat, line); got != "" {
			t.Errorf("%s: %s", line, got)
		}
		if err := execute(t, c, line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for text, want := range map[string]string{
		"blockdev-del node-name=":                             "n0 n1",
		"block-dirty-bitmap-remove node=n0 name=":             "b0 b1",
		"transaction( block-dirty-bitmap-clear node=n1 name=": "b2",
		"block-export-add type=nbd iothread=":                 "io0",
		"object-del id=i":                                     "io0",
		"chardev-remove id=c":                                 "c0",
		"qom-list path=/obj":                                  "/objects",
		"qom-get path=/objects/io0 property=poll-max":         "poll-max-ns",
		"device-list-properties typename=virtio-blk-pci-n":    "virtio-blk-pci-non-transitional",
		"device_add driver=e1000 rom":                         "romfile rombar",
	} {
		got := cat.Complete(qemutest.Context(t), text, len(text))
		names := strings.Join(slices.Sorted(slices.Values(labels(got))), " ")
		if text == "device_add driver=e1000 rom" {
			if !strings.Contains(names, "romfile") || !strings.Contains(names, "rombar") {
				t.Errorf("%s: %s", text, names)
			}
		} else if names != want || got.Note != "" {
			t.Errorf("%s: %s %s, want %s", text, names, got.Note, want)
		}
	}
	for _, line := range []string{
		"no-such-command", "set_link nam=x up=true", "set_link name=x up=on", "set_link name=x", "job-cancel id=5",
		"blockdev-add driver=null-co node-name=n2 file=n0", "blockdev-add driver=nul-co", "memsave val=0x10 size=1 filename=/dev/null",
		"blockdev-add driver=raw file={\"driver\":\"null-co\",\"fil\":1}", "transaction( block-dirty-bitmap-ad node=n0 name=b )",
	} {
		if got := problems(t, cat, line); got == "" || strings.HasPrefix(got, "(") {
			t.Errorf("%s: %q, and QEMU will refuse it", line, got)
		}
		var refused *async.ExecuteError
		if err := execute(t, c, line); !errors.As(err, &refused) {
			t.Errorf("%s: QEMU took it: %v", line, err)
		}
	}
	if got := strings.Join(labels(cat.CompleteHuman(qemutest.Context(t), "info blo", 8)), " "); got != "block block-jobs blockstats" {
		t.Errorf("info blo: %s", got)
	}
	if help, err := cat.Help(qemutest.Context(t), "query-status", 0); err != nil || !strings.Contains(help, "Result: object StatusInfo") || !strings.Contains(help, "guest-panicked") {
		t.Errorf("%v\n%s", err, help)
	}
}

// The storage daemon has introspection of its own.
func TestRealStorageDaemon(t *testing.T) {
	d := qemutest.Start(t, qemutest.Command{
		Program: qemutest.StorageDaemon,
		Args:    []string{"--chardev", "socket,id=m,path=qmp,server=on", "--monitor", "chardev=m", "--blockdev", "driver=null-co,node-name=n0,size=1048576"},
	})
	cat := New(connect(t, d.Path("qmp"), async.Options{}))
	if err := cat.Load(qemutest.Context(t)); err != nil {
		t.Fatal(err)
	}
	if got := complete(t, cat, "blockdev-del node-name="); got != "n0" || cat.Version() == "" || cat.Note() != "" {
		t.Errorf("%s, version %q, note %q", got, cat.Version(), cat.Note())
	}
	if got := problems(t, cat, "query-status"); !strings.Contains(got, "has no command") {
		t.Error(got)
	}
}

// The agent names its commands, and takes what the catalog says about them.
func TestRealAgent(t *testing.T) {
	p := qemutest.Start(t, qemutest.Command{
		Program: qemutest.GuestAgent,
		Args:    []string{"-m", "unix-listen", "-p", "qga", "-t", ".", "-f", "pid"},
	})
	c := connect(t, p.Path("qga"), async.Options{SkipGreeting: true, SkipNegotiation: true})
	cat := New(c)
	if err := cat.Load(qemutest.Context(t)); err != nil {
		t.Fatal(err)
	}
	if got := complete(t, cat, "guest-file-o"); got != "guest-file-open" || cat.Version() == "" || cat.Note() == "" {
		t.Errorf("%s, version %q, note %q", got, cat.Version(), cat.Note())
	}
	if got := problems(t, cat, "guest-ping"); got != "" {
		t.Error(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), qemutest.Patience)
	defer cancel()
	if _, err := c.Execute(ctx, "guest-ping", nil); err != nil {
		t.Error(err)
	}
}
