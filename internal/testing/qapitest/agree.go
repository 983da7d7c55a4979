package qapitest

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/goqmp/qmp/internal/qapigen"
)

// An explanation is the reason why definitions and a QEMU differ.
type explanation struct {
	until  string // the newest release that differs
	path   string // the beginning of a difference
	reason string
}

// otherTarget is why an x86 QEMU does not have some parts that the newest release has for
// every target.
const otherTarget = "before 11.1 only QEMU for other targets (s390x, Arm) has it, by a condition that 11.1 does not have"

var explanations = []explanation{
	{"10.0", "dump-skeys: ", otherTarget},
	{"10.0", "query-gic-capabilities: ", otherTarget},
	{"10.0", "query-cpu-model-baseline: ", otherTarget},
	{"10.0", "query-cpu-model-comparison: ", otherTarget},
	{"10.0", "query-cpu-model-expansion, result.deprecated-props: ", otherTarget},
	{"10.0", "query-s390x-cpu-polarization: ", otherTarget},
	{"10.0", "set-cpu-topology: ", otherTarget},
	{"10.0", "CPU_POLARIZATION_CHANGE: ", otherTarget},
	{
		"7.2", "query-block, result.inserted.image.format-specific[vmdk].data.extents.",
		"until 7.2 the extents were of type ImageInfo; the members that VmdkExtentInfo does not have are kept as unknown ones",
	},
}

// Agree checks that the definitions of a program agree with schema, the result of
// query-qmp-schema of a QEMU of this release: arguments, events and results, down to the
// last member, value and branch. Differences need an explanation.
func Agree(t *testing.T, program string, schema []byte, release string) {
	t.Helper()
	defs, history, err := qapigen.ReadFacts(program)
	if err != nil {
		t.Fatal(err)
	}
	var infos []qapigen.Info
	if err := json.Unmarshal(schema, &infos); err != nil {
		t.Fatal(err)
	}
	if len(infos) < 500 {
		t.Fatalf("the schema has only %d entries", len(infos))
	}
	for _, difference := range qapigen.Compare(defs, history, infos, release) {
		reason := ""
		for _, e := range explanations {
			if strings.HasPrefix(difference, e.path) && qapigen.CompareReleases(release, e.until) <= 0 {
				reason = e.reason
			}
		}
		if reason == "" {
			t.Errorf("QEMU %s: %s", release, difference)
		} else {
			t.Logf("QEMU %s: %s (%s)", release, difference, reason)
		}
	}
}
