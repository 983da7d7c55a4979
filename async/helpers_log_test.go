// Helpers of the tests that read the log.
package async_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
)

// A logbook keeps everything that is logged to it, at debug and above.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logbook) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// records returns what was logged, with all attributes.
func (b *logbook) records(t testing.TB) (list []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range bytes.Lines(b.buf.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}

// lines returns what was logged as "LEVEL message".
func (b *logbook) lines(t testing.TB) (list []string) {
	t.Helper()
	for _, r := range b.records(t) {
		list = append(list, fmt.Sprintf("%v %v", r["level"], r["msg"]))
	}
	return list
}

// secretCommands are commands whose arguments hold secrets. Here each secret is
// "hunter2". Everything else in them is shown.
var secretCommands = []struct {
	name string
	args string
}{
	{"object-add", `{"qom-type":"secret","id":"shown","data":"hunter2"}`},
	{"object-add", `{"qom-type":"secret","id":"shown","props":{"data":"hunter2"}}`},
	{"object-add", `{"qom-type":"tls","id":"shown","list":[{"password":"hunter2"}]}`},
	{"object-add", `{"qom-type":"secret","id":"shown","data":{"deep":["hunter2"]}}`},
	{"object-add", `{"qom-type":"secret","id":"shown","d\u0061ta":"hunter2"}`},
	{"blockdev-add", `{"driver":"raw","node-name":"shown","file":{"driver":"https","url":"x","cookie":"hunter2"}}`},
	{"blockdev-reopen", `{"options":[{"driver":"https","node-name":"shown","cookie":"hunter2"}]}`},
	{"set_password", `{"protocol":"shown","password":"hunter2"}`},
	{"change-vnc-password", `{"password":"hunter2","x":"shown"}`},
	{"qom-set", `{"path":"shown","property":"p","value":"hunter2"}`},
	{"qom-set", `{"path":"shown","property":"p","value":{"a":["hunter2"]}}`},
	{"human-monitor-command", `{"command-line":"set_password vnc hunter2","x":"shown"}`},
	{"sev-inject-launch-secret", `{"packet-header":"shown","secret":"hunter2"}`},
	{"blockdev-create", `{"job-id":"shown","options":{"driver":"qcow2","file":{"driver":"https","cookie":"hunter2"}}}`},
	{"x-blockdev-reopen", `{"driver":"https","node-name":"shown","cookie":"hunter2"}`},
	{"change", `{"device":"vnc","target":"shown","arg":"hunter2"}`},
	{"block_passwd", `{"device":"shown","password":"hunter2"}`},
	{"netdev_add", `{"type":"l2tpv3","id":"shown","txcookie":["hunter2"]}`},
	{"send-key", `{"keys":["hunter2"],"x":"shown"}`},
	{"input-send-event", `{"device":"shown","events":["hunter2"]}`},
	{"ringbuf-write", `{"device":"shown","data":"hunter2"}`},
	{"drive-mirror", `{"device":"shown","target":"https://me:hunter2@host/"}`},
	{"transaction", `{"actions":[{"type":"drive-backup","data":{"device":"shown","target":"ftp://me:hunter2@host/"}}]}`},
	{"guest-set-user-password", `{"username":"shown","password":"hunter2","crypted":false}`},
	{"guest-exec", `{"path":"shown","env":["TOKEN=hunter2"],"input-data":"hunter2"}`},
	{"guest-file-write", `{"handle":1,"x":"shown","buf-b64":"hunter2"}`},
}
