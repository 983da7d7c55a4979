//go:build unix && !race

// A test that takes minutes under the race detector (rule E9): `make cover` runs it
// without. The code that it holds: options.go.
package async_test

import (
	"os"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
)

// With the default options the client receives the largest guest-file-read that
// the agent answers. The agent refuses to read one byte more.
func TestE9LargestFileRead_QEMU(t *testing.T) {
	t.Parallel()
	a := startAgent(t)
	c := newClient(t, agent())
	ctx := t.Context() // the test sets no limit: the agent may be slow
	if err := c.Connect(ctx, a.Path("qga")); err != nil {
		t.Fatal(err)
	}
	const most = 48 << 20
	f, err := os.Create(a.Path("file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantNil(t, "Truncate", f.Truncate(most+1))
	handle, err := async.Call[int64](ctx, c, "guest-file-open", arguments{"path": f.Name(), "mode": "r"})
	wantNil(t, "guest-file-open", err)
	reply, err := c.Do(ctx, async.Command{Name: "guest-file-read", Args: arguments{"handle": handle, "count": most}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(reply.Raw()); n <= 64<<20 {
		t.Errorf("the reply has %d bytes, want more than 64 MiB", n)
	}
	var read struct {
		Count  int64
		BufB64 []byte
		EOF    bool
	}
	if err := reply.Decode(&read); err != nil || read.Count != most || len(read.BufB64) != most || read.EOF {
		t.Errorf("read %d, %d bytes, end of file %v, error %v", read.Count, len(read.BufB64), read.EOF, err)
	}
	_, err = c.Execute(ctx, "guest-file-read", arguments{"handle": handle, "count": most + 1})
	if e := wantAs[*async.ExecuteError](t, "a byte more", err); !strings.Contains(e.Desc, "count") {
		t.Errorf("a byte more is refused with %v", e)
	}
	if _, err := c.Execute(ctx, "guest-file-close", arguments{"handle": handle}); err != nil {
		t.Error(err)
	}
}
