package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/internal/testing/harmlesstest"
)

const spell = harmlesstest.Spell + "\n"

// The texts of errors are harmless, whatever their fields have.
// Holds secure.
func TestErrorTextsAreHarmless(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&agent.ExitError{Path: spell, Code: 3, Stderr: []byte(spell)},
		&agent.ExitError{Path: spell, Signal: 9},
		&agent.TruncatedError{Path: spell, Stdout: true},
		&agent.LostProcessError{Path: spell, PID: 17, Err: errors.New(spell)},
		&agent.LostReplyError{Command: spell, Err: errors.New(spell)},
		&agent.StreamError{Path: spell, Err: errors.New(spell)},
		&agent.ChecksumError{Name: spell, Here: "1", Guest: spell},
		&agent.DisabledError{Command: spell, Version: spell},
		&agent.DisabledError{Command: spell, Version: spell, Listed: true},
		&agent.DisabledError{Command: spell, Version: spell, Listed: true, Frozen: true},
		&agent.LeaseError{Err: errors.New(spell)},
		&agent.ThawError{Err: errors.New(spell)},
	} {
		harmlesstest.Want(t, "an error's text", err)
	}
}

// What a guest says, and the names of its files, are harmless in the text of each error.
// Holds secure.
func TestWordsOfAGuestAreHarmless(t *testing.T) {
	t.Parallel()
	name := strings.ReplaceAll(spell, "\x00", "") // no file's name has a zero byte
	file := "/" + name
	// Any of the calls may fail with the words of the agent, or with those of a program.
	calls := func(t *testing.T, a *agent.Client) {
		ctx := t.Context()
		_, err := a.Open(ctx, file)
		harmlesstest.Want(t, "Open", err)
		_, err = a.Create(ctx, file)
		harmlesstest.Want(t, "Create", err)
		_, err = a.CopyOut(ctx, nil, file, nil)
		harmlesstest.Want(t, "CopyOut", err)
		_, err = a.CopyIn(ctx, file, bytes.NewReader(nil), 1, nil)
		harmlesstest.Want(t, "CopyIn", err)
		_, err = a.Command(ctx, file, spell).Output()
		harmlesstest.Want(t, "Output", err)
		stream := a.Command(ctx, file)
		stream.Stream = true
		harmlesstest.Want(t, "a stream", stream.Run())
		guest := a.FS(ctx, "/")
		_, err = fs.Stat(guest, name)
		harmlesstest.Want(t, "Stat", err)
		_, err = fs.ReadDir(guest, name)
		harmlesstest.Want(t, "ReadDir", err)
		_, err = fs.ReadFile(guest, name)
		harmlesstest.Want(t, "ReadFile of an FS", err)
		if e, ok := errors.AsType[*fs.PathError](err); !ok || !strings.HasSuffix(e.Path, name) {
			t.Errorf("the path of the error is %+v, want it unchanged", e)
		}
		_, err = guest.Open("../" + spell)
		harmlesstest.Want(t, "a wrong name", err)
	}
	refuse := refusal("cannot" + spell)
	exec := func(status map[string]any) map[string]func(*qmptest.Command) (any, error) {
		return map[string]func(*qmptest.Command) (any, error){
			"guest-file-open": refuse, "guest-exec": value(map[string]int{"pid": 1}), "guest-exec-status": value(status),
		}
	}
	for what, handlers := range map[string]map[string]func(*qmptest.Command) (any, error){
		"the agent refuses":   {"guest-file-open": refuse, "guest-exec": refuse},
		"a lost process":      {"guest-file-open": refuse, "guest-exec": value(map[string]int{"pid": 1}), "guest-exec-status": refuse},
		"a program complains": exec(map[string]any{"exited": true, "exitcode": 1, "err-data": []byte("No such file" + spell)}),
		"no permission":       exec(map[string]any{"exited": true, "exitcode": 1, "err-data": []byte("Permission denied" + spell)}),
		"an odd program":      exec(map[string]any{"exited": true, "exitcode": 1, "err-data": []byte("x"), "out-data": []byte(spell)}),
		"not base64":          exec(map[string]any{"exited": true, "exitcode": 0, "out-data": spell}),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { calls(t, simulatedClient(t, handlers)) })
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a := simulatedClient(t, exec(map[string]any{"exited": false}))
		ctx, cancel := context.WithCancel(t.Context())
		cmd := a.Command(ctx, file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cancel()
		harmlesstest.Want(t, "Wait", cmd.Wait())
		odd := simulatedClient(t, exec(map[string]any{"exited": true, "exitcode": 0, "out-data": []byte(spell + " 1 1")}))
		_, err := fs.Stat(odd.FS(t.Context(), "/"), name)
		harmlesstest.Want(t, "an odd stat", err)
	})
}
