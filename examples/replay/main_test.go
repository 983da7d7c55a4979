package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/qemutest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const failure = "the disk: qmp: job disk0 (create) failed: Could not create 'no-such-folder/disk.raw': No such file or directory\n"

// What the program prints with QEMU, it prints again without it: over a socket, and in a
// bubble.
func TestReal_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.QEMU)
	file := filepath.Join(t.TempDir(), "r")
	ctx, cancel := context.WithTimeout(t.Context(), qemutest.Patience)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out, file, ""); err != nil {
		t.Error(err)
	}
	if want := "With QEMU:\n" + failure + "Without QEMU:\n" + failure; out.String() != want {
		t.Errorf("it prints:\n%s\nwant:\n%s", out.String(), want)
	}
	wantFailureAgain(t, file)
}

// The recording in the tree is played in a bubble.
func TestRecordingOfTheTree(t *testing.T) { wantFailureAgain(t, "testdata/qemu-7.2.qmp.jsonl") }

func wantFailureAgain(t *testing.T, file string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		vm := qmptest.ReplayFile(t, &qmptest.ReplayOptions{MayStop: true}, file)
		c := async.New(&async.Options{Dialer: vm.Dial})
		defer c.Close()
		if err := c.Connect(t.Context(), "vm1"); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := makeDisk(t.Context(), &out, c); err != nil || out.String() != failure {
			t.Errorf("it prints:\n%s(%v), want:\n%s", out.String(), err, failure)
		}
	})
}

func TestWithoutQEMU(t *testing.T) {
	t.Setenv("QMP_TEST_QEMU", "")
	t.Setenv("PATH", "")
	var out strings.Builder
	if err := run(t.Context(), &out, "", ""); err != nil || out.String() != "Without QEMU:\n"+failure {
		t.Errorf("%v, it prints:\n%s", err, out.String())
	}
}

func TestBadRecording(t *testing.T) {
	whole, err := os.ReadFile("testdata/qemu-7.2.qmp.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"cut off":                 string(whole[:len(whole)/2]),
		`is "disk0", not "disk1"`: strings.Replace(string(whole), `{"job-id":"disk0"`, `{"job-id":"disk1"`, 1),
	} {
		file := filepath.Join(t.TempDir(), "r")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := run(t.Context(), &out, "", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	if err := run(ctx, &out, "", "testdata/qemu-7.2.qmp.jsonl"); err == nil || out.String() != "" {
		t.Errorf("%v, it prints:\n%s", err, out.String())
	}
}
