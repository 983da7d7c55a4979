package mux_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/mux"
	"github.com/goqmp/qmp/async/qmptest"
)

// FuzzUser sends any bytes as one user, in pieces of any size. The Mux answers with lines of
// JSON that are replies or events, does not hang, and goes on serving another user; and
// everything that the server receives is a command.
func FuzzUser(f *testing.F) {
	for _, steps := range exchanges() {
		var in []byte
		for _, step := range steps {
			in = append(append(in, step...), "\xff\n"...)
		}
		f.Add(in, uint8(len(in)))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		if bytes.Contains(in, []byte("quit")) {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			s := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
			c := async.New(&async.Options{Dialer: s.Dial})
			if err := c.Connect(t.Context(), "machine"); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			m := mux.New(mux.Over(c), nil)
			defer m.Close()
			near, far := qmptest.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- m.ServeConn(context.Background(), far, &mux.Door{MaxMessage: 10000}) }()
			var out []byte
			reading := make(chan struct{})
			go func() {
				defer close(reading)
				out, _ = io.ReadAll(near)
			}()
			for rest := in; len(rest) > 0; {
				n := min(int(piece)+1, len(rest))
				near.Write(rest[:n])
				rest = rest[n:]
			}
			near.Write([]byte("\xff\n" + plain + `{"execute":"query-name","id":"end"}`))
			synctest.Wait()
			near.Close()
			<-ended
			<-reading
			if !bytes.Contains(out, []byte(`"id": "end"}`)) {
				t.Errorf("%q: no answer to the last command: %s", in, out)
			}
			for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
				var line map[string]json.RawMessage
				if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
					t.Errorf("%q: %s: %v", in, lines.Text(), err)
				}
				if line["QMP"] == nil && line["return"] == nil && line["error"] == nil && line["event"] == nil {
					t.Errorf("%q: %s", in, lines.Text())
				}
			}
			other := (&setup{Server: s, t: t, client: c, mux: m}).enter(nil, false)
			other.send(`{"execute":"query-name","id":1}`)
			other.want(`{"return": {..., "id": 1}`)
			if err := c.Err(); err != nil {
				t.Errorf("%q: the connection to the server has ended: %v", in, err)
			}
		})
	})
}
