package cli

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/internal/testing/tlstest"
)

// One QEMU for many checks: jobs, QOM, the schema, the screen and the keyboard.
func TestQEMU(t *testing.T) {
	ca := tlstest.New(t)
	folder := ca.Folder(t, "server", ca.Certificate(t, nil))
	args := append([]string{
		"-device", "VGA", "-blockdev", "null-co,node-name=disk,size=4194304", "-blockdev", "null-co,node-name=copy,size=4194304",
		"-blockdev", "null-co,node-name=base,size=4194304", "-blockdev", `{"driver": "blkdebug", "node-name": "bad", "image": "base", "inject-error": [{"event": "none", "iotype": "read"}]}`,
		"-object", "tls-creds-x509,id=tls0,endpoint=server,verify-peer=on,dir=" + folder,
		"-chardev", "socket,id=tlsmon,host=127.0.0.1,port=0,server=on,wait=off,tls-creds=tls0",
		"-trace", "input_event_key_qcode",
	}, qemutest.OnChardev(t, "tlsmon")...)
	// The machine has a keyboard and a screen. It needs no disk.
	dir := qemutest.Dir(t)
	addr := filepath.Join(dir, "vm")
	p := qemutest.Start(t, qemutest.Command{Program: qemutest.QEMU, Dir: dir, Args: append([]string{
		"-machine", "pc", "-nodefaults", "-display", "none", "-qmp", "unix:vm,server=on,wait=off",
	}, args...)})
	if r := run("", "--retry", "--connect-timeout", "1m", "-c", "query-name", addr); r.status != 0 {
		t.Fatalf("%+v", r)
	}

	t.Run("unknown command", func(t *testing.T) {
		want(t, run("", "-c", "query-statsu", addr), 1, "", "(CommandNotFound): did you mean query-status?\n")
		r := run("", "-v", "-c", "query-statsu", addr)
		want(t, r, 1, "", "(CommandNotFound)\n")
		if strings.Contains(r.stderr, "query-qmp-schema") {
			t.Errorf("--verbose prints the schema: %d bytes", len(r.stderr))
		}
	})
	t.Run("jobs", func(t *testing.T) {
		const backup = "blockdev-backup job-id=j device=disk target=copy sync=full"
		want(t, run("", "-c", backup, "--job", "j", addr), 0, "{}\n"+`{"id":"j","type":"backup","current-progress":4194304,"total-progress":4194304}`+"\n", "")
		r := run("", "-c", "blockdev-mirror job-id=m device=disk target=copy sync=full", "-c", "query-jobs", "--job", "m", "--complete", "--get", "type", "-r", addr)
		want(t, r, 0, "mirror\n", "")
		want(t, run("", "-c", "blockdev-backup job-id=e device=bad target=copy sync=full", "--job", "e", addr), 1, "{}\n", "e")
		want(t, run("", "-c", backup, "--wait-event", "BLOCK_JOB_COMPLETED", "--match", "device=j", "--get", "data/len", "--timeout", "1m", addr), 0, "4194304\n", "")
		want(t, run("", "-c", "blockdev-mirror job-id=m device=disk target=copy sync=full", "--wait-event", "BLOCK_JOB_READY", "--get", "data/len", addr), 0, "4194304\n", "")
		want(t, run("", "--job", "m", "--timeout", "100ms", addr), 4, "", "--timeout")
		want(t, run("", "-c", "block-job-cancel device=m", "--job", "m", addr), 0, "{}\n"+`{"id":"m","type":"mirror","current-progress":4194304,"total-progress":4194304}`+"\n", "")
	})
	t.Run("qom", func(t *testing.T) {
		want(t, run("", "qom", "list", addr), 0, "backend/\nchardevs/\nmachine/\nobjects/\ntype (string)\n", "")
		want(t, run("", "qom", "list", "--json", "/machine/peripheral", addr), 0, `[{"name":"type","type":"string"}]`+"\n", "")
		want(t, run("", "qom", "tree", "/machine/peripheral", addr), 0, "/machine/peripheral\n  type: \"container\" (string)\n", "")
		want(t, run("", "-s", addr, "qom", "tree", "--json", "/objects"), 0, run("", "qom", "tree", "--json", "/objects", addr).stdout, "")
		want(t, run("", "qom", "get", "/machine.graphics", addr), 0, "true\n", "")
		want(t, run("", "qom", "set", "/machine.graphics", "false", addr), 0, "", "")
		r := run("", "qom", "get", "/machine", "--get", "x", addr)
		want(t, r, 2, "", "--get")
		if r := run("", "qom", "get", "/machine", addr); r.status != 0 || !strings.Contains(r.stdout, `"graphics":false`) {
			t.Errorf("%+v", r)
		}
		if r := run("", "qom", "tree", addr); r.status != 0 || strings.Count(r.stdout, "\n/machine/") < 20 {
			t.Errorf("%+v", r)
		}
		want(t, run("", "qom", "get", "/nope", addr), 1, "", "/nope")
		want(t, run("", "qom", "list", "/nope", addr), 1, "", "/nope")
		want(t, run("", "qom", "set", "/machine", "1", addr), 1, "", "PATH.PROPERTY")
	})
	t.Run("schema", func(t *testing.T) {
		if r := run("", "schema", "screendump", addr); r.status != 0 || !strings.HasPrefix(r.stdout, "screendump ") || !strings.Contains(r.stdout, "filename") {
			t.Errorf("%+v", r)
		}
		if r := run("", "schema", "MirrorSync", addr); r.status != 0 || !strings.HasPrefix(r.stdout, "type MirrorSyncMode = top | full") {
			t.Errorf("%+v", r)
		}
		want(t, run("", "schema", "nonsensical", addr), 1, "", "nonsensical")
	})
	t.Run("screenshot", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a.png")
		want(t, run("", "screenshot", file, addr), 0, "", "")
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 320 {
			t.Errorf("%v", err)
		}
		if r := run("", "screenshot", "-", addr); r.status != 0 || !strings.HasPrefix(r.stdout, "\x89PNG") {
			t.Errorf("%d, %q, %d bytes", r.status, r.stderr, len(r.stdout))
		}
		// (QEMU 7.2 keeps the empty set.)
		if r := run("", "-c", "query-fdsets", addr); r.status != 0 || strings.Contains(r.stdout, `"fd":`) {
			t.Errorf("descriptors are left: %+v", r)
		}
		want(t, run("", "screenshot", "/nonexistent/a.png", addr), 1, "", "nonexistent")
		want(t, run("", "screenshot", "--device", "nope", file, addr), 1, "", "nope")
	})
	t.Run("type", func(t *testing.T) {
		want(t, run("B", "type", "--rate", "100", "--enter", "-", addr), 0, "", "")
		want(t, run("", "type", "--rate", "100", "--keys", "--enter", "ctrl-x f1", addr), 0, "", "")
		keys := []string{"shift", "b", "ret", "ctrl", "x", "f1", "ret"}
		for limit := time.Now().Add(qemutest.Patience); ; time.Sleep(qemutest.DialEvery) {
			var got []string
			for line := range strings.Lines(p.Output()) {
				if _, key, ok := strings.Cut(line, "key qcode "); ok && strings.Contains(key, "down 1") {
					got = append(got, strings.TrimSuffix(strings.Fields(key)[0], ","))
				}
			}
			if strings.Join(got, " ") == strings.Join(keys, " ") {
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("the keys are %v, want %v", got, keys)
			}
		}
		want(t, run("", "type", "--keys", "nokey", addr), 1, "", "nokey")
	})
	t.Run("TLS", func(t *testing.T) {
		client := ca.Folder(t, "client", ca.Certificate(t, nil))
		r := run("", "-c", "query-chardev", addr)
		var devices []struct{ Label, Filename string }
		if err := json.Unmarshal([]byte(r.stdout), &devices); err != nil {
			t.Fatalf("%+v", r)
		}
		port := ""
		for _, d := range devices {
			if _, name, ok := strings.Cut(d.Filename, "tcp:"); ok && d.Label == "tlsmon" {
				port, _, _ = strings.Cut(name, ",")
			}
		}
		want(t, run("", "--tls-dir", client, "-c", "query-name", port), 0, "{}\n", "")
		want(t, run("", "--tls", "-c", "query-name", port), 3, "", "certificate")
		want(t, run("", "--tls-dir", client, "--tls-name", "other", "-c", "query-name", port), 3, "", "other")
	})
	t.Run("scripts", func(t *testing.T) {
		const script = "# pauses the machine\nstop\n\ntransaction(\n  block-dirty-bitmap-add node=disk name=b0\n  block-dirty-bitmap-add node=disk name=b1\n)\nquery-status\n"
		want(t, run("", "-f", write(t, "f", script), "--get", "status", addr), 1, "", "f:2: the result has no status")
		if r := run("block-dirty-bitmap-add node=disk name=b0\nquery-status\n", addr); r.status != 0 || !strings.HasPrefix(r.stdout, "{}\n{") || !strings.Contains(r.stdout, `"paused"`) {
			t.Errorf("%+v", r)
		}
		want(t, run("", "-H", "-c", "info status", addr), 0, "VM status: paused\n", "")
		if r := run("", "-c", "query-qmp-schema", addr); r.status != 0 || len(r.stdout) < 100_000 || strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("%d, %q, %d bytes", r.status, r.stderr, len(r.stdout))
		}
		want(t, run("", "-c", "quit", "--wait-event", "SHUTDOWN", "--get", "data/reason", "-r", addr), 0, "host-qmp-quit\n", "")
		want(t, run("", "-c", "query-name", addr), 3, "", addr)
	})
}

// Programs that this one starts, and stops.
func TestMachine_QEMU(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	qemu, daemon := qemutest.Find(t, qemutest.QEMU), qemutest.Find(t, qemutest.StorageDaemon)
	want(t, run("", "-c", "query-name", "--", qemu, "-M", "none", "-name", "vm"), 0, `{"name":"vm"}`+"\n", "")
	want(t, run("query-named-block-nodes\n", "--get", "[0]/node-name", "--", daemon, "--blockdev", "null-co,node-name=x"), 0, `"x"`+"\n", "")
	want(t, run("", "-c", "quit", "--", qemu, "-M", "none"), 0, "{}\n", "")
	want(t, run("", "-c", "nonsense", "--", qemu, "-M", "none"), 1, "", "nonsense")
	want(t, run("", "--", qemu, "-nonsense"), 3, "", "-nonsense: invalid option")
	want(t, run("", "qom", "get", "/machine.type", "--", qemu, "-M", "none"), 0, run("", "qom", "get", "/machine.type", "--", qemu, "-M", "none").stdout, "")
	want(t, run("", "schema", "query-name", "--", qemu, "-M", "none"), 0, run("", "schema", "query-name", "--", qemu, "-M", "none").stdout, "")
}

// The commands for the guest agent.
func TestAgent_QEMU(t *testing.T) {
	qemutest.Find(t, qemutest.GuestAgent)
	dir := qemutest.Dir(t)
	qemutest.Start(t, qemutest.Command{Program: qemutest.GuestAgent, Dir: dir, Args: []string{
		"-m", "unix-listen", "-p", dir + "/qga", "-t", dir, "-f", dir + "/pid",
		"-b", "guest-shutdown,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-set-time,guest-fsfreeze-freeze,guest-fsfreeze-freeze-list,guest-fsfreeze-thaw,guest-fstrim",
	}})
	addr := filepath.Join(dir, "qga")
	if r := run("", "--retry", "--connect-timeout", "1m", "agent", "ping", addr); r.status != 0 || !strings.Contains(r.stdout, "answered after") {
		t.Fatalf("%+v", r)
	}
	if r := run("", "agent", "info", addr); r.status != 0 || !strings.Contains(r.stdout, `"guest-exec"`) {
		t.Errorf("%+v", r)
	}
	want(t, run("in\n", "agent", "exec", addr, "--", "/bin/sh", "-c", "cat; echo err >&2; exit 9"), 9, "in\n", "err\n")
	want(t, run("in\n", "agent", "exec", "-n", addr, "/bin/sh", "-c", "cat; kill -9 $$"), 137, "", "")
	want(t, run("in\n", "agent", "exec", "--buffered", "--env", "A=b", "--dir", "/", addr, "/bin/sh", "-c", "echo $A $PWD; cat"), 0, "b /\nin\n", "")
	want(t, run("", "agent", "exec", "--buffered", addr, "/nonexistent"), 1, "", "nonexistent")
	guest, local := filepath.Join(dir, "guest"), write(t, "local", "text")
	want(t, run("", "agent", "put", local, guest, addr), 0, "", "")
	want(t, run("", "agent", "cat", guest, addr), 0, "text", "")
	want(t, run("", "agent", "get", guest, "-", addr), 0, "text", "")
	if r := run("", "agent", "ls", dir, addr); r.status != 0 || !strings.Contains(r.stdout, " guest\n") {
		t.Errorf("%+v", r)
	}
	want(t, run("", "agent", "status", addr), 0, "\"thawed\"\n", "")
	if r := run("", "agent", "ifconfig", addr); r.status != 0 || !strings.Contains(r.stdout, `"lo"`) {
		t.Errorf("%+v", r)
	}
	// What would harm this machine is disabled, and the agent says so.
	for _, args := range [][]string{
		{"freeze"}, {"thaw"}, {"trim"}, {"shutdown"}, {"shutdown", "--mode=reboot"}, {"suspend", "disk"}, {"suspend", "ram"}, {"suspend", "hybrid"},
	} {
		r := run("", append(append([]string{"agent"}, args...), addr)...)
		want(t, r, 1, "", "guest-")
	}
	want(t, run("", "agent", "freeze", addr, "--", "/bin/false"), 1, "", "guest-fsfreeze-freeze")
	want(t, run("", "agent", "ping", "--connect-timeout", "100ms", addr+".none"), 3, "", "no such file")
	want(t, run("", "agent", "ping", "./localhost:x"), 3, "", "localhost:x")
}
