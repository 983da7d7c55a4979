package qmptest

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"testing/synctest"
)

// Whatever bytes a client sends, everything that the machine sends is a message,
// one on each line, and the connection ends.
func FuzzServer(f *testing.F) {
	for _, dialogue := range dialogues {
		var sent []byte
		for _, e := range dialogue {
			sent = append(sent, e.send...)
		}
		f.Add(sent)
	}
	f.Add([]byte(`{"execute":"a"`))
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := Start(t, &Options{Network: Memory})
			conn, err := s.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				conn.Write(sent)
				synctest.Wait() // until the machine has answered everything
				conn.(*PipeConn).CloseWrite()
			}()
			got, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(got) {
				if !json.Valid(line) || line[0] != '{' || !bytes.HasSuffix(line, []byte("\r\n")) {
					t.Errorf("the machine sent %q, want a JSON object on a line", line)
				}
			}
		})
	})
}

// layout changes nothing but white space.
func FuzzLayout(f *testing.F) {
	f.Add([]byte(`{"a": [1, {}, [], "x\"\\"], "b": {"c" : -1e5}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var want bytes.Buffer
		if json.Compact(&want, text) != nil {
			return
		}
		for _, pretty := range []bool{false, true} {
			var got bytes.Buffer
			if err := json.Compact(&got, layout(nil, text, pretty, CRLF)); err != nil || got.String() != want.String() {
				t.Errorf("pretty %v: %q became %q, %v", pretty, &want, &got, err)
			}
		}
	})
}
