package tools

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qapitest"
	"github.com/goqmp/qmp/qapi"
)

// introspection returns what a QEMU replied to query-qmp-schema.
func introspection(t testing.TB, version string) []qapi.SchemaInfo {
	t.Helper()
	var infos []qapi.SchemaInfo
	if err := json.Unmarshal(qapitest.Introspection(t, version), &infos); err != nil {
		t.Fatal(err)
	}
	return infos
}

func TestSearch(t *testing.T) {
	for _, version := range []string{"7.2", "11.1"} {
		s := NewSchema(introspection(t, version))
		for _, tt := range []struct {
			pattern string
			want    []string // beginnings of lines, in this order
		}{
			{"query-status", []string{"command query-status -> StatusInfo"}},
			{"QUERY_STATUS", []string{"command query-status -> StatusInfo"}},
			{"watchdog", []string{
				"event WATCHDOG action=WatchdogAction", "command watchdog-set-action action=WatchdogAction", "type WatchdogAction = reset | shutdown | poweroff",
			}},
			{"job-id", []string{"command blockdev-backup   # has job-id", "type BlockdevBackupOptions   # has job-id"}},
			{"BlockdevRef", []string{"type BlockdevRef = ", "type BlockdevRefOrNull = "}},
			{"block-dirty-*-add", []string{"command block-dirty-bitmap-add node=str name=str [granularity=int]"}},
			{"blockdev-options", nil},
			{"BlockdevOptions", []string{"type BlockdevOptions = { driver=BlockdevDriver"}},
			{"[", nil},
			{"*[", nil},
		} {
			lines := s.Search(tt.pattern)
			rest := lines
			for _, want := range tt.want {
				i := slices.IndexFunc(rest, func(line string) bool { return strings.HasPrefix(line, want) })
				if i < 0 {
					t.Errorf("%s: %s: no line %q in\n%s", version, tt.pattern, want, strings.Join(lines, "\n"))
					break
				}
				rest = rest[i+1:]
			}
			if tt.want == nil && len(lines) > 0 {
				t.Errorf("%s: %s: %q", version, tt.pattern, lines)
			}
		}
		// An argument that is required stands before those that are not.
		line := s.Search("blockdev-mirror")[0]
		if !strings.HasPrefix(line, "command blockdev-mirror device=str target=str sync=MirrorSyncMode [") {
			t.Errorf("%s", line)
		}
		if line := s.Search("drive-backup")[0]; !strings.Contains(line, "(deprecated)") {
			t.Errorf("%s", line)
		}
	}
	// What an old QEMU does not have is not found.
	if lines := NewSchema(introspection(t, "7.2")).Search("blockdev-set-active"); len(lines) > 0 {
		t.Errorf("%q", lines)
	}
}

// Almost every type that QEMU has gets its name from package qapi.
func TestTypesHaveNames(t *testing.T) {
	infos := introspection(t, "11.1")
	s := NewSchema(infos)
	total, unnamed := 0, []string{}
	for _, i := range infos {
		if i.Enum == nil && i.Alternate == nil && (i.Object == nil || len(i.Object.Members) == 0) {
			continue
		}
		total++
		if s.names[i.Name] == "" {
			unnamed = append(unnamed, s.definition(i.Name))
		}
	}
	if len(unnamed)*20 > total {
		t.Errorf("%d of %d types have no name:\n%s", len(unnamed), total, strings.Join(unnamed, "\n"))
	}
}

func BenchmarkSearch(b *testing.B) {
	infos := introspection(b, "11.1")
	for b.Loop() {
		NewSchema(infos).Search("iothread")
	}
}
