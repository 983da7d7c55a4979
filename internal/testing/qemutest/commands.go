package qemutest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// NeedsCommands skips a test unless [QEMU] has commands of these names. It asks the
// program (query-commands) and has no list of versions. The reason of the skip
// begins with "QEMU VERSION has no command". CI does not make this skip a failure.
func NeedsCommands(t testing.TB, names ...string) {
	t.Helper()
	has, err := offeredBy(Find(t, QEMU))
	if err != nil {
		t.Fatalf("ask %s for its commands: %v", QEMU, err)
	}
	for _, name := range names {
		if !slices.Contains(has.commands, name) {
			t.Skipf("QEMU %s has no command %s", has.version, name)
		}
	}
}

// An offer is what a program reports about itself.
type offer struct {
	version  string
	commands []string
	objects  []string // the types that -object can make
}

var (
	offersMu sync.Mutex                // held also while a program runs, so that each is asked once
	offers   = make(map[string]*offer) // by the program's path; guarded by offersMu
)

// offeredBy returns the offer of the program at path. Each test binary asks each
// program once.
func offeredBy(path string) (*offer, error) {
	offersMu.Lock()
	defer offersMu.Unlock()
	if known := offers[path]; known != nil {
		return known, nil
	}
	asked, err := ask(path)
	if err == nil {
		offers[path] = asked
	}
	return asked, err
}

// ask starts the program, and sends it a few commands, which it answers in order.
func ask(path string) (*offer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-nodefaults", "-machine", "none", "-display", "none", "-qmp", "stdio")
	cmd.Stdin = strings.NewReader(`{"execute":"qmp_capabilities"}{"execute":"query-version"}{"execute":"query-commands"}` +
		`{"execute":"qom-list-types","arguments":{"implements":"user-creatable"}}{"execute":"quit"}`)
	out, err := cmd.Output()
	var status *exec.ExitError
	switch {
	case errors.As(err, &status):
		return nil, fmt.Errorf("%w: %s", err, status.Stderr)
	case err != nil:
		return nil, err
	}
	var version struct {
		QEMU struct{ Major, Minor, Micro int }
	}
	var commands, objects []struct{ Name string }
	answers := []any{new(json.RawMessage), &version, &commands, &objects}
	for d := json.NewDecoder(strings.NewReader(string(out))); len(answers) > 0; {
		var message struct{ Return json.RawMessage }
		if err := d.Decode(&message); err != nil {
			return nil, fmt.Errorf("%w in %q", err, out)
		}
		if message.Return == nil {
			continue // the greeting, or an event
		}
		if err := json.Unmarshal(message.Return, answers[0]); err != nil {
			return nil, err
		}
		answers = answers[1:]
	}
	asked := &offer{version: fmt.Sprintf("%d.%d.%d", version.QEMU.Major, version.QEMU.Minor, version.QEMU.Micro)}
	for _, c := range commands {
		asked.commands = append(asked.commands, c.Name)
	}
	for _, o := range objects {
		asked.objects = append(asked.objects, o.Name)
	}
	return asked, nil
}
