package async

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
)

func TestSmoke(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "q")
	cmd := exec.Command("qemu-system-x86_64", "-machine", "none", "-display", "none", "-qmp", "unix:"+sock+",server=on,wait=off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := Dial(ctx, sock, &Options{Backoff: func() backoff.BackOff { return backoff.NewConstantBackOff(10 * time.Millisecond) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", c.Greeting())
	l := c.NewListener(nil)
	for _, q := range []string{"query-status", "stop", "nonsense", "query-qmp-schema", "cont"} {
		v, err := c.Execute(ctx, q, nil)
		t.Log(q, string(v[:min(len(v), 100)]), len(v), err)
		evs, err := l.Drain()
		t.Log(evs, err)
	}
	v, err := c.ExecuteOOB(ctx, "migrate-pause", nil)
	t.Log(v, err)
	v, err = c.Execute(ctx, "quit", nil)
	t.Log(string(v), err)
	for ev, err := range l.All(ctx) {
		t.Log(ev.Name, err)
	}
	if err := c.Disconnect(ctx); !errors.Is(err, io.EOF) {
		t.Log(err)
	}
	t.Log(c.Runstate())
}
