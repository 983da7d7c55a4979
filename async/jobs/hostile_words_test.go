package jobs_test

import (
	"errors"
	"testing"

	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/internal/harmless"
	"github.com/goqmp/qmp/internal/testing/harmlesstest"
	"github.com/goqmp/qmp/qapi"
)

const spell = harmlesstest.Spell + "\n"

// What QEMU says of a job, and the names that a program gives, are harmless in the text of
// each error. The fields have them unchanged.
// Holds secure.
func TestWordsOfAServerAreHarmless(t *testing.T) {
	t.Parallel()
	info := func(status qapi.JobStatus) jobs.Info {
		return jobs.Info{
			ID: "I" + spell, Type: "T" + spell, Status: status, Error: "E" + spell,
			IOError: &jobs.IOError{Operation: "O" + spell, Action: "stop"},
		}
	}
	failed := &jobs.Error{Job: info("concluded")}
	canceled := info("concluded")
	canceled.Canceled = true
	for _, err := range []error{
		failed,
		&jobs.Error{Job: canceled},
		&jobs.Error{Job: jobs.Info{ID: spell}},
		&jobs.Error{Job: info(spell), Gone: true},
		&jobs.Error{Job: info("paused"), Gone: true},
		&jobs.NotFoundError{ID: spell},
		&jobs.NotFoundError{ID: spell, NotStarted: true},
		&jobs.WaitError{Subject: spell, Wanted: spell, Situation: spell, Err: errors.New(spell)},
		&jobs.MigrationError{Info: jobs.MigrationInfo{Status: spell}, Gone: true},
		&jobs.MigrationError{Info: jobs.MigrationInfo{Status: "failed", Error: spell}},
	} {
		if text := err.Error(); text != harmless.Line(text) {
			t.Errorf("a terminal obeys the text of a %T: %q", err, text)
		}
	}
	if failed.Job.Error != "E"+spell {
		t.Errorf("the field of the error has %q", failed.Job.Error)
	}
}

// The same for the errors of calls, whose words come from a server.
// Holds secure.
func TestWordsOfAJobAreHarmless(t *testing.T) {
	t.Parallel()
	s, c := newSim(t)
	job := s.started(c, simJob{info: qapi.JobInfo{ID: "job0" + spell, Type: "backup" + spell}, finalize: true}, nil)
	defer job.Close()
	s.finish("job0"+spell, "disk"+spell)
	failed := job.Wait(t.Context())
	_, none := jobs.Attach(t.Context(), c, "none"+spell, nil)
	for _, err := range []error{failed, none} {
		if err == nil {
			t.Fatal("no error")
		}
		if text := err.Error(); text != harmless.Line(text) {
			t.Errorf("a terminal obeys the text of a %T: %q", err, text)
		}
	}
	if e, ok := errors.AsType[*jobs.Error](failed); !ok || e.Job.Error != "disk"+spell {
		t.Errorf("got %T %q", failed, failed)
	}
}
