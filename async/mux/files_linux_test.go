package mux_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
)

// A user cannot take all descriptors of the process: while some of them wait, it is not read.
func TestWaitingDescriptors(t *testing.T) {
	t.Parallel()
	s, path := door(t, nil)
	release := (&setup{Server: s, t: t}).slow()
	s.Handle("getfd", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	u := dialUnix(t, path)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	many := make([]*os.File, 250)
	for i := range many {
		many[i] = w
	}
	u.send(`{"execute":"slow"}`)
	for range 60 {
		u.sendFiles(`{"execute":"getfd","arguments":{"fdname":"x"}}`, many...)
	}
	most := 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end) && most < 1000; time.Sleep(time.Millisecond) {
		most = max(most, opened(t, w))
	}
	if most < 250 || most > 600 {
		t.Errorf("the Mux held up to %d descriptors of one user, want 250 to 600", most)
	}
	close(release)
	u.want(`{"return": {}}`)
	for range 60 {
		u.want(`{"return": ...`)
	}
}

// opened returns how many descriptors of this process are the same pipe as f.
func opened(t *testing.T, f *os.File) (n int) {
	t.Helper()
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || !strings.HasPrefix(pipe, "pipe:") {
		t.Fatalf("%s, %v", pipe, err)
	}
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && to == pipe { // others are closed meanwhile
			n++
		}
	}
	return n
}
