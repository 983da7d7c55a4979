// Benchmarks of the engine.
package async_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
)

// The baseline is what one writes without a library: encoding/json on the
// socket, one command at a time. Each benchmark runs the baseline and the engine
// against the same server, and reports the engine's time as a multiple of the
// baseline's.

// answerAll serves one connection as fast as it can: it answers every command
// with result. It finds the ends of messages by counting braces, which is
// enough for what the benchmarks send.
func answerAll(b *testing.B, result string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn, result)
		}
	}()
	return path
}

func serve(conn net.Conn, result string) {
	defer conn.Close()
	io.WriteString(conn, `{"QMP": {"version": {"qemu": {"major": 9, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}}`+"\r\n")
	r := bufio.NewReader(conn)
	var msg, out []byte
	depth := 0
	for {
		c, err := r.ReadByte()
		if err != nil {
			return
		}
		if depth == 0 && c != '{' {
			continue // the baseline writes a line end after each command
		}
		msg = append(msg, c)
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth > 0 {
			continue
		}
		text := string(msg)
		msg = msg[:0]
		id := ""
		if i := strings.LastIndex(text, `"id":`); i >= 0 {
			id = ", " + strings.TrimSuffix(text[i:], "}")
		}
		out = fmt.Appendf(out[:0], "{\"return\": %s%s}\r\n", result, id)
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// naive is a client that uses no library.
type naive struct {
	enc *json.Encoder
	dec *json.Decoder
}

func dialNaive(b *testing.B, path string) *naive {
	b.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	n := &naive{json.NewEncoder(conn), json.NewDecoder(conn)}
	var greeting map[string]any
	if err := n.dec.Decode(&greeting); err != nil {
		b.Fatal(err)
	}
	n.execute(b, "qmp_capabilities", nil)
	return n
}

func (n *naive) execute(b *testing.B, cmd string, args any) json.RawMessage {
	msg := map[string]any{"execute": cmd}
	if args != nil {
		msg["arguments"] = args
	}
	if err := n.enc.Encode(msg); err != nil {
		b.Fatal(err)
	}
	var reply struct {
		Return json.RawMessage
		Error  json.RawMessage
	}
	if err := n.dec.Decode(&reply); err != nil {
		b.Fatal(err)
	}
	return reply.Return
}

func dialEngine(b *testing.B, path string) *async.Client {
	b.Helper()
	c, err := async.Dial(context.Background(), path, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// compare times both and reports their ratio. Below 1, the engine is faster.
func compare(b *testing.B, baseline, engine func(n int)) {
	baseline(b.N/10 + 1) // before the measurement, so that neither starts cold
	engine(b.N/10 + 1)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	engine(b.N)
	b.StopTimer()
	ours := time.Since(start)
	start = time.Now()
	baseline(b.N)
	theirs := time.Since(start)
	b.ReportMetric(float64(ours)/float64(theirs), "of-baseline")
}

func BenchmarkExecute(b *testing.B) {
	for _, size := range []int{2, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("reply=%d", size), func(b *testing.B) {
			path := answerAll(b, `"`+strings.Repeat("x", size-2)+`"`)
			n, c := dialNaive(b, path), dialEngine(b, path)
			args := map[string]any{"device": "disk0", "speed": 1 << 40}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b.SetBytes(int64(size))
			compare(b,
				func(k int) {
					for range k {
						n.execute(b, "block-job-set-speed", args)
					}
				},
				func(k int) {
					for range k {
						if _, err := c.Execute(ctx, "block-job-set-speed", args); err != nil {
							b.Fatal(err)
						}
					}
				})
		})
	}
}

// Eight callers use one connection. The engine pipelines their commands; the
// baseline cannot.
func BenchmarkExecuteConcurrent(b *testing.B) {
	path := answerAll(b, `{}`)
	n, c := dialNaive(b, path), dialEngine(b, path)
	compare(b,
		func(k int) {
			for range k {
				n.execute(b, "query-status", nil)
			}
		},
		func(k int) {
			done := make(chan struct{})
			for range 8 {
				go func() {
					for range k/8 + 1 {
						if _, err := c.Execute(context.Background(), "query-status", nil); err != nil {
							b.Error(err)
							break
						}
					}
					done <- struct{}{}
				}()
			}
			for range 8 {
				<-done
			}
		})
}

// What the engine notes at each read, for Health, as a part of the time of a command.
func BenchmarkHealthNotes(b *testing.B) {
	path := answerAll(b, `{}`)
	c, note := dialEngine(b, path), async.Pulse()
	compare(b,
		func(k int) {
			for range k {
				if _, err := c.Execute(context.Background(), "query-status", nil); err != nil {
					b.Fatal(err)
				}
			}
		},
		func(k int) {
			for range k {
				note()
			}
		})
}
