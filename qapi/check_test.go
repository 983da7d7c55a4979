package qapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/qapi"
)

// A recording answers with the schema and the version of a QEMU. It counts the other
// commands.
type recording struct {
	schema, version string
	others          int
}

func (r *recording) Do(_ context.Context, cmd async.Command) (async.Reply, error) {
	reply := "{}"
	switch cmd.Name {
	case "query-qmp-schema":
		reply = r.schema
	case "query-version":
		reply = r.version
	default:
		r.others++
	}
	return async.ParseReply(cmd.Name, []byte(`{"return":`+reply+`}`))
}

// introspect returns the recorded schema of a release.
func introspect(t testing.TB, release string) (*recording, *qapi.Schema) {
	t.Helper()
	major, minor := 0, 0
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	r := &recording{
		schema:  string(qapitest.Introspection(t, release)),
		version: fmt.Sprintf(`{"qemu":{"major":%d,"minor":%d,"micro":22},"package":""}`, major, minor),
	}
	s, err := qapi.Introspect(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// The error of Checked says which part is missing, since when QEMU has it, and which
// QEMU this is: at any depth.
func TestCheckedSays(t *testing.T) {
	t.Parallel()
	recordings, schemas := make(map[string]*recording), make(map[string]*qapi.Schema)
	for _, tt := range []struct{ release, command, args, want string }{
		{"7.2", "migrate", `{"channels":[]}`, "channels of migrate (since 8.2; this QEMU is 7.2.22)"},
		{"7.2", "query-accelerators", `{}`, "the command query-accelerators (since 10.2.0; this QEMU is 7.2.22)"},
		{"7.2", "blockdev-add", `{"driver":"vmnet","node-name":"n"}`, "driver.vmnet of blockdev-add (this QEMU is 7.2.22)"},
		{"7.2", "blockdev-add", `{"driver":"qcow2","file":{"driver":"file","filename":"f","x-no":1}}`, "file.x-no of blockdev-add (this QEMU is 7.2.22)"},
		{"7.2", "blockdev-add", `{"driver":"qcow2","file":"f","discard-no-unref":true}`, "discard-no-unref of blockdev-add (since 8.1; this QEMU is 7.2.22)"},
		{"7.2", "blockdev-add", `{"driver":"raw","file":{"driver":"qcow2","file":"f","discard-no-unref":true}}`, "file.discard-no-unref of blockdev-add (since 8.1; this QEMU is 7.2.22)"},
		{"7.2", "blockdev-add", `{"driver":"raw","file":{"driver":"raw","file":"f","active":true}}`, "file.active of blockdev-add (since 10.0; this QEMU is 7.2.22)"},
		{
			"7.2", "transaction", `{"actions":[{"type":"abort","data":{}},{"type":"blockdev-backup","data":{"device":"a","target":"b","sync":"full","discard-source":true}}]}`,
			"actions.data.discard-source of transaction (since 9.1; this QEMU is 7.2.22)",
		},
		{"7.2", "object-add", `{"qom-type":"acpi-generic-initiator","id":"i"}`, "qom-type.acpi-generic-initiator of object-add (since 9.0; this QEMU is 7.2.22)"},
		{"11.1", "migrate", `{"uri":"x","blk":true}`, "blk of migrate (removed in 9.1; this QEMU is 11.1.22)"},
		{"11.1", "x-query-profile", `{}`, "the command x-query-profile (removed in 8.1; this QEMU is 11.1.22)"},
		{"11.1", "blockdev-add", `{"driver":"gluster","node-name":"n"}`, "driver.gluster of blockdev-add (removed in 11.1; this QEMU is 11.1.22)"},
		{"10.0", "dump-skeys", `{"filename":"f"}`, "the command dump-skeys (since 2.5, but not in every build; this QEMU is 10.0.22)"},
	} {
		if schemas[tt.release] == nil {
			recordings[tt.release], schemas[tt.release] = introspect(t, tt.release)
		}
		r, schema := recordings[tt.release], schemas[tt.release]
		_, err := qapi.Checked(r, schema).Do(t.Context(), async.Command{Name: tt.command, Args: json.RawMessage(tt.args)})
		if _, ok := errors.AsType[*qapi.UnsupportedError](err); !ok || err.Error() != "qmp: not sent: the server does not have "+tt.want {
			t.Errorf("%s %s:\n%v, want\n%s", tt.command, tt.args, err, tt.want)
		}
		if r.others > 0 {
			t.Errorf("%s was sent", tt.command)
		}
	}
}

// What the server has is sent: every workflow's arguments fit the oldest QEMU.
func TestCheckedSends(t *testing.T) {
	t.Parallel()
	r, schema := introspect(t, "7.2")
	c := qapi.Checked(r, schema)
	for i, err := range []error{
		qapi.BlockdevAdd(t.Context(), c, node),
		qapi.NetdevAdd(t.Context(), c, netdev),
		qapi.Migrate(t.Context(), c, &qapi.MigrateArguments{URI: new("unix:x")}),
		qapi.DeviceAdd(t.Context(), c, &qapi.DeviceAddArguments{Driver: "x", Further: map[string]any{"y": 1}}),
	} {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if r.others != 4 {
		t.Errorf("%d commands were sent", r.others)
	}
}
