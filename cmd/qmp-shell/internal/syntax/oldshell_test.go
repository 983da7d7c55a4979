package syntax

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// A script is what a person typed into QEMU's old qmp-shell, and what that sent.
type script struct {
	Feature string   // what its documentation says, or how it behaves
	Lines   []string // what is typed
	Sent    []string // what the old program sends, without the id

	// Ours has what this package makes of it, and Why the reason, if that differs.
	Ours []string `json:",omitzero"`
	Why  string   `json:",omitempty"`
}

const scriptsFile = "testdata/oldshell.json"

func readScripts(t *testing.T) []script {
	t.Helper()
	b, err := os.ReadFile(scriptsFile)
	if err != nil {
		t.Fatal(err)
	}
	var scripts []script
	if err := json.Unmarshal(b, &scripts); err != nil {
		t.Fatal(err)
	}
	return scripts
}

// Lines in the syntax of the old qmp-shell become the same messages, byte by byte. The
// differences are meant: each has its reason.
func TestOldShell(t *testing.T) {
	for _, s := range readScripts(t) {
		t.Run(s.Feature, func(t *testing.T) {
			want := s.Sent
			if s.Why != "" {
				want = s.Ours
			}
			got := parseLines(t, s.Lines)
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%q\n got %s\nwant %s", s.Lines, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
			}
			if s.Why != "" && strings.Join(s.Ours, "\n") == strings.Join(s.Sent, "\n") {
				t.Error("there is no difference any more")
			}
		})
	}
}

// parseLines parses lines as an interactive shell does. A line that is wrong sends
// nothing.
func parseLines(t *testing.T, lines []string) []string {
	var sent []string
	text := ""
	for _, line := range lines {
		text += line
		cmd, err := Parse(text)
		if errors.Is(err, ErrIncomplete) {
			text += "\n"
			continue
		}
		if err == nil {
			sent = append(sent, string(cmd.Wire()))
		}
		text = ""
	}
	if text != "" {
		t.Errorf("%q is not complete", text)
	}
	return sent
}
