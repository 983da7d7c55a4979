//go:build unix

package tools

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

// startAgent starts a guest agent on this machine, and connects to it. It does not execute
// what would harm the machine.
func startAgent(t *testing.T) (context.Context, *agent.Client, string) {
	t.Helper()
	qemutest.Find(t, qemutest.GuestAgent)
	dir := qemutest.Dir(t)
	qemutest.Start(t, qemutest.Command{Program: qemutest.GuestAgent, Dir: dir, Args: []string{
		"-m", "unix-listen", "-p", dir + "/qga", "-t", dir, "-f", dir + "/pid",
		"-b", "guest-shutdown,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-set-time,guest-set-user-password,guest-fsfreeze-freeze,guest-fsfreeze-freeze-list,guest-fstrim,guest-set-vcpus",
	}})
	ctx := qemutest.Context(t)
	a, err := agent.Dial(ctx, dir+"/qga", &agent.Options{Engine: async.Options{Backoff: async.Every(qemutest.DialEvery)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return ctx, a, dir
}

func TestAgent(t *testing.T) {
	ctx, a, dir := startAgent(t)

	t.Run("info", func(t *testing.T) {
		info, err := AgentInfo(ctx, a)
		if err != nil || info.Version == "" || info.OS == nil || info.HostName == "" || len(info.Disabled) == 0 || len(info.Commands) < 10 {
			t.Errorf("%+v, %v", info, err)
		}
	})
	t.Run("exec", func(t *testing.T) {
		for _, buffered := range []bool{false, true} {
			var stdout, stderr bytes.Buffer
			p := Program{Args: []string{"/bin/sh", "-c", `cat; echo "$A $PWD" >&2; exit 7`}, Env: []string{"A=b", "PATH=" + os.Getenv("PATH")}, Dir: "/", Buffered: buffered}
			err := AgentExec(ctx, a, p, strings.NewReader("input\n"), &stdout, &stderr)
			exit, ok := errors.AsType[*agent.ExitError](err)
			if !ok || exit.Code != 7 || stdout.String() != "input\n" || stderr.String() != "b /\n" {
				t.Errorf("%v, %q, %q", err, &stdout, &stderr)
			}
		}
		if err := AgentExec(ctx, a, Program{Args: []string{"/nonexistent"}, Buffered: true}, nil, io.Discard, io.Discard); err == nil {
			t.Error("no error")
		}
	})
	t.Run("exec ends with its caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		mark := filepath.Join(dir, "ended")
		out := &starter{cancel: cancel}
		err := AgentExec(ctx, a, Program{Args: []string{"/bin/sh", "-c", `trap "echo x >` + mark + `; exit" TERM; echo started; while :; do sleep 0.01; done`}}, nil, out, io.Discard)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		for limit := time.Now().Add(qemutest.Patience); ; time.Sleep(qemutest.DialEvery) {
			if _, err := os.Stat(mark); err == nil {
				break
			}
			if time.Now().After(limit) {
				t.Fatal("the program goes on in the guest")
			}
		}
	})
	t.Run("files", func(t *testing.T) {
		local, guest := filepath.Join(dir, "local"), filepath.Join(dir, "guest")
		text := strings.Repeat("0123456789\x00\xff\n", 100_000)
		if err := os.WriteFile(local, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := AgentPut(ctx, a, local, guest, nil); err != nil || n != int64(len(text)) {
			t.Fatalf("%d, %v", n, err)
		}
		var b bytes.Buffer
		if err := AgentCat(ctx, a, guest, &b); err != nil || b.String() != text {
			t.Errorf("%d bytes, %v", b.Len(), err)
		}
		b.Reset()
		if n, err := AgentGet(ctx, a, guest, "-", &b); err != nil || n != int64(len(text)) || b.String() != text {
			t.Errorf("%d, %v", n, err)
		}
		in := filepath.Join(dir, "in")
		if err := os.Mkdir(in, 0o700); err != nil {
			t.Fatal(err)
		}
		if n, err := AgentGet(ctx, a, guest, in, nil); err != nil || n != int64(len(text)) {
			t.Errorf("%d, %v", n, err)
		}
		if got, err := os.ReadFile(filepath.Join(in, "guest")); err != nil || string(got) != text {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		// A device and a link stay what they are, and so does the mode of a file.
		null := filepath.Join(dir, "null") // so that a fault does not replace the system's own
		if err := os.Symlink(os.DevNull, null); err != nil {
			t.Fatal(err)
		}
		if _, err := AgentGet(ctx, a, guest, null, nil); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(null); err != nil || info.Mode().Type()&os.ModeDevice == 0 {
			t.Errorf("the device was replaced: %v, %v", info, err)
		}
		target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
		if err := errors.Join(os.WriteFile(target, []byte("old"), 0o640), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
		if _, err := AgentGet(ctx, a, guest, link, nil); err != nil {
			t.Error(err)
		}
		got, err := os.ReadFile(target)
		if info, linkErr := os.Lstat(link); err != nil || string(got) != text || linkErr != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%d bytes, %v; the link is %v, %v", len(got), err, info.Mode(), linkErr)
		}
		plain := filepath.Join(dir, "plain")
		if err := os.WriteFile(plain, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		fresh, err := os.Stat(plain)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{target: 0o640, filepath.Join(in, "guest"): fresh.Mode()} {
			if info, err := os.Stat(path); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, want the mode %v, error %v", path, info.Mode(), want, err)
			}
		}
		if _, err := AgentGet(ctx, a, guest+".none", in, nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
		if entries, _ := os.ReadDir(in); len(entries) != 1 {
			t.Errorf("a failed copy left %v", entries)
		}
		if n, err := AgentPut(ctx, a, "-", guest, strings.NewReader("short")); err != nil || n != 5 {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := AgentPut(ctx, a, local, in+"/", nil); err != nil {
			t.Error(err)
		}
		var list strings.Builder
		if err := AgentList(ctx, a, in, &list); err != nil || strings.Count(list.String(), "\n") != 2 || !strings.Contains(list.String(), " local\n") {
			t.Errorf("%q, %v", list.String(), err)
		}
		list.Reset()
		if err := AgentList(ctx, a, guest, &list); err != nil || !strings.Contains(list.String(), "           5 ") {
			t.Errorf("%q, %v", list.String(), err)
		}
		list.Reset()
		if err := AgentList(ctx, a, "/", &list); err != nil || !strings.Contains(list.String(), " etc\n") {
			t.Errorf("%q, %v", list.String(), err)
		}
		if err := AgentList(ctx, a, guest+".none", &list); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
		for _, bad := range [][2]string{{"-", in + "/"}, {dir, guest}, {local + ".none", guest}, {local, "/nonexistent/x"}} {
			if _, err := AgentPut(ctx, a, bad[0], bad[1], strings.NewReader("")); err == nil {
				t.Errorf("%v: no error", bad)
			}
		}
		if err := AgentCat(ctx, a, guest+".none", &b); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
		if _, err := AgentGet(ctx, a, guest, "/nonexistent/x", nil); err == nil {
			t.Error("no error")
		}
	})
}

// A starter cancels when the program has written something.
type starter struct{ cancel func() }

func (s *starter) Write(p []byte) (int, error) {
	s.cancel()
	return len(p), nil
}

// If an agent does not tell about its guest, that is not an error.
func TestAgentInfoOfASilentAgent(t *testing.T) {
	vm := qmptest.Start(t, &qmptest.Options{NoGreeting: true})
	a, err := agent.Dial(t.Context(), vm.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	info, err := AgentInfo(t.Context(), a)
	if err != nil || info.OS != nil || info.HostName != "" || len(info.Commands) == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	a.Close()
	if info, err := AgentInfo(t.Context(), a); err == nil {
		t.Errorf("no connection, and %+v", info)
	}
}
