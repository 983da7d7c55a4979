package pybridge_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/pybridge"
)

// A zero byte begins an abstract name, as in Python, and @ begins none.
func TestAbstractNames(t *testing.T) {
	t.Chdir(t.TempDir())
	name := "goqmp-test-" + strconv.Itoa(os.Getpid())
	for path, listen := range map[string]string{"\x00" + name: "@" + name, "@" + name: "./@" + name} {
		qmptest.ScriptDial(t, listen, handshake()...)
		b := new(pybridge.Bridge)
		want(t, call(t, b, "new", vm, object{"path": path, "server": true}), null)
		if got := call(t, b, "accept", vm, object{"timeout": 60}); !strings.HasPrefix(got, `{"value":{"QMP":`) {
			t.Errorf("%q: %s", path, got)
		}
		call(t, b, "release", vm, nil)
	}
}
