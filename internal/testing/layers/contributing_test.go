package layers

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestContributing compares the floors that CONTRIBUTING.md lists with rooms. The
// list has all rooms except those of internal/testing and the package without code.
func TestContributing(t *testing.T) {
	b, err := os.ReadFile("../../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]int)
	for _, line := range regexp.MustCompile(`(?m)^    (\d)  (\S+(?:, \S+)*)  `).FindAllStringSubmatch(string(b), -1) {
		floor, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		for dir := range strings.SplitSeq(line[2], ", ") {
			listed[dir] = floor
		}
	}
	for _, r := range rooms {
		dir := strings.TrimSuffix(r.dir, "/*")
		floor, ok := listed[dir]
		delete(listed, dir)
		switch {
		case dir == "." || strings.HasPrefix(dir, "internal/testing/"):
		case !ok:
			t.Errorf("CONTRIBUTING.md does not list %s, which is on floor %d", dir, r.floor)
		case floor != r.floor:
			t.Errorf("CONTRIBUTING.md says that %s is on floor %d; it is on floor %d", dir, floor, r.floor)
		}
	}
	for dir := range listed {
		t.Errorf("CONTRIBUTING.md lists %s, which rooms does not have", dir)
	}
}
