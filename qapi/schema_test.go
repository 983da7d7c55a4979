package qapi_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/qapi"
)

// names returns the names of the parameters, sorted.
func names(ps []qapi.Parameter) string {
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// What may be written next: the base of a union, and then the members of the branch that
// was chosen, at any depth.
func TestParametersFor(t *testing.T) {
	t.Parallel()
	_, s := introspect(t, "10.0")
	const base = "active auto-read-only cache detect-zeroes discard driver force-share node-name read-only"
	for _, tt := range []struct {
		given map[string]string
		path  string
		want  string
	}{
		{nil, "job-cancel", "id"},
		{nil, "query-status", ""},
		{nil, "no-such", ""},
		{nil, "blockdev-add", base},
		{map[string]string{"driver": "no-such"}, "blockdev-add", base},
		{map[string]string{"driver": "raw"}, "blockdev-add", "active auto-read-only cache detect-zeroes discard driver file force-share node-name offset read-only size"},
		{nil, "blockdev-add file", base},
		{map[string]string{"driver": "null-co"}, "blockdev-add file", "active auto-read-only cache detect-zeroes discard driver force-share latency-ns node-name read-only read-zeroes size"},
		{nil, "blockdev-add cache", "direct no-flush"},
		{map[string]string{"transport": "socket", "type": "unix"}, "migrate channels addr", "abstract path tight transport type"},
		{nil, "transaction actions", "type"},
		{map[string]string{"type": "abort"}, "transaction actions", "data type"},
		{nil, "JOB_STATUS_CHANGE", "id status"},
	} {
		if got := names(s.ParametersFor(tt.given, strings.Fields(tt.path)...)); got != tt.want {
			t.Errorf("%s, given %v: %s, want %s", tt.path, tt.given, got, tt.want)
		}
	}

	all := s.Parameters("blockdev-add")
	if len(all) < 100 {
		t.Errorf("all branches of blockdev-add have %d members", len(all))
	}
	for _, want := range []qapi.Parameter{
		{Name: "driver", Kind: "enum", Discriminator: true},
		{Name: "read-only", Kind: "boolean", Optional: true},
		{Name: "cache-size", Kind: "int", Optional: true, Case: "qcow2"},
		{Name: "children", Kind: "array", Elements: "alternate", Case: "quorum"},
		{Name: "filename", Kind: "string", Case: "file"},
	} {
		i := slices.IndexFunc(all, func(p qapi.Parameter) bool { return p.Name == want.Name && p.Case == want.Case })
		if i < 0 {
			t.Errorf("blockdev-add does not have %s of %q", want.Name, want.Case)
			continue
		}
		got := all[i]
		if got.Kind != want.Kind || got.Optional != want.Optional || got.Elements != want.Elements || got.Discriminator != want.Discriminator {
			t.Errorf("%+v, want %+v", got, want)
		}
		if want.Name == "driver" && !slices.Contains(got.Values, "qcow2") {
			t.Errorf("the values of driver are %v", got.Values)
		}
	}
	if !s.Deprecated("drive-backup") || s.Deprecated("blockdev-backup") || s.Deprecated("no-such") {
		t.Error("drive-backup is deprecated, and blockdev-backup is not")
	}
	if !slices.Contains(s.Features("blockdev-add", "x-perf"), "unstable") && !slices.Contains(s.Features("blockdev-backup", "x-perf"), "unstable") {
		t.Error("x-perf is unstable")
	}
	if !s.HasResult("query-block", "inserted", "image", "format-specific", "data") || s.HasResult("query-block", "no-such") ||
		s.HasResult("no-such") || !s.HasResult("query-block") {
		t.Error("results")
	}
	if !s.AllowsOOB("yank") || s.AllowsOOB("stop") || s.AllowsOOB("no-such") {
		t.Error("out of band")
	}
	if s.Version() != "10.0.22" {
		t.Error(s.Version())
	}
}

// A schema takes less than 1 MB.
func TestSchemaIsSmall(t *testing.T) {
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := held()
	_, s := introspect(t, "11.1")
	took := int64(held()) - int64(before)
	t.Logf("%d bytes", took)
	if took > 1<<20 {
		t.Errorf("a schema takes %d bytes", took)
	}
	runtime.KeepAlive(s)
}

func BenchmarkSchema(b *testing.B) {
	_, s := introspect(b, "11.1")
	for name, f := range map[string]func() bool{
		"has":            func() bool { return s.Has("migrate", "uri") },
		"has-deep":       func() bool { return s.Has("blockdev-add", "file", "driver", "qcow2") },
		"parameters-for": func() bool { return s.ParametersFor(map[string]string{"driver": "qcow2"}, "blockdev-add") != nil },
		"commands":       func() bool { return s.Commands() != nil },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !f() {
					b.Fatal("nothing")
				}
			}
		})
	}
}
