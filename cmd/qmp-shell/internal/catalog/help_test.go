package catalog

import (
	"errors"
	"strings"
	"testing"
)

// The pages of help, as a person sees them.
func TestHelp(t *testing.T) {
	c := loaded(t, newMachine(t, "11.1"))
	var all strings.Builder
	for _, topic := range []string{
		"set_link", "query-status", "blockdev-add driver=raw", "transaction", "migrate-pause", "query-kvm", "ringbuf-read",
		"JOB_STATUS_CHANGE", "STOP", "JobStatus", "blockdevref", "BlockdevCacheOptions", "SetPasswordOptions", "x-debug-block-dirty-bitmap-sha256",
	} {
		text, err := c.Help(t.Context(), topic, 72)
		if err != nil {
			t.Errorf("%s: %v", topic, err)
		}
		all.WriteString("> help " + topic + "\n" + text + "\n")
		for line := range strings.Lines(text) {
			if len(line) > 73 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, "required") {
				t.Errorf("%s: %d characters: %s", topic, len(line), line)
			}
		}
	}
	golden(t, "help.txt", all.String())
}

func TestHelpOfUnknown(t *testing.T) {
	c := loaded(t, newMachine(t, "7.2"))
	for topic, want := range map[string]string{
		"query-statu":      `QEMU has no command, event or type "query-statu": did you mean query-status?`,
		"JobStatuss":       `QEMU has no command, event or type "JobStatuss": did you mean JobStatus?`,
		"query-xen":        "QEMU has no command",
		"query-dirty":      "QEMU has no command",
		"set-cpu-topology": "this QEMU is 7.2.0, which is too old: it is there since 8.2",
		"":                 `QEMU has no command, event or type ""`,
	} {
		_, err := c.Help(t.Context(), topic, 0)
		var unknown *UnknownTopicError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), want) || unknown.Topic != topic {
			t.Errorf("%s: %v, want %s", topic, err, want)
		}
	}
}

// Every type that a command or an event uses has a name. Only inline arguments have none,
// in QEMU's documentation either.
func TestTypeNames(t *testing.T) {
	for _, version := range []string{"7.2", "10.0", "11.1"} {
		s := loaded(t, newMachine(t, version)).known()
		roots := make(map[string]bool)
		for _, name := range s.commands {
			roots[s.command(name).ArgType] = true
		}
		for _, name := range s.events {
			roots[s.entries[name].Event.ArgType] = true
		}
		names := s.typeNames()
		seen := make(map[string]bool)
		for typ, info := range s.entries {
			if info.Object == nil && info.Enum == nil && info.Alternate == nil || roots[typ] {
				continue
			}
			if users := s.users(typ); names[typ] == "" && len(users) > 0 {
				t.Errorf("%s: type %s has no name; used by %q", version, typ, users)
			}
			seen[names[typ]] = true
		}
		for _, want := range []string{"StatusInfo", "RunState", "BlockdevRef", "BlockdevDriver", "JobStatus"} {
			if !seen[want] {
				t.Errorf("%s: no type %s", version, want)
			}
		}
	}
}
