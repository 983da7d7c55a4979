package jobs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/jobs"
	"github.com/goqmp/qmp/qapi"
)

// event returns an event with data in JSON.
func event(t testing.TB, name, data string) async.Event {
	t.Helper()
	ev, err := async.ParseEvent([]byte(fmt.Sprintf(`{"event": %q, "data": %s, "timestamp": {"seconds": 1, "microseconds": 0}}`, name, data)))
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// play gives a Tracker of job j what the steps say. A step is one of these:
//
//	running              an event JOB_STATUS_CHANGE
//	BLOCK_JOB_READY {}   another event, with further data
//	?running             a reply to query-jobs; the job has this status
//	?running backup      it has that type
//	?concluded create E  it has that error
//	?                    a reply to query-jobs without the job
//	~?running            a reply to query-jobs that is older than the last event
//	gap                  events were missed
func play(t testing.TB, tracker *jobs.Tracker, steps ...string) {
	t.Helper()
	for _, step := range steps {
		word, rest, _ := strings.Cut(step, " ")
		switch {
		case step == "gap":
			tracker.Gap()
		case strings.HasPrefix(step, "?"), strings.HasPrefix(step, "~?"):
			count := tracker.Count()
			if word[0] == '~' {
				count--
				word = word[1:]
			}
			list := []qapi.JobInfo{{ID: "another", Type: "mirror", Status: "ready"}}
			if word != "?" {
				info := qapi.JobInfo{ID: "j", Type: "backup", Status: qapi.JobStatus(word[1:]), CurrentProgress: 1, TotalProgress: 2}
				if typ, why, _ := strings.Cut(rest, " "); typ != "" {
					info.Type = qapi.JobType(typ)
					if why != "" {
						info.Error = &why
					}
				}
				list = append(list, info)
			}
			tracker.Query(list, count)
		case strings.ToUpper(word) == word:
			data := map[string]any{"device": "j", "type": "backup", "len": 10, "offset": 5}
			if err := json.Unmarshal([]byte(rest), &data); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			tracker.Event(event(t, word, string(raw)))
		default:
			tracker.Event(event(t, "JOB_STATUS_CHANGE", fmt.Sprintf(`{"id": "j", "status": %q}`, word)))
		}
	}
}

// A Tracker tells how a job has ended from what was received, and from nothing else.
func TestTracker(t *testing.T) {
	const failed, gone, canceled = "failed: ", "gone", "canceled"
	for name, tt := range map[string]struct {
		steps string // separated by commas
		ends  string // "" it does not, "concluded", "null"
		want  string // "" success, or a part of the error
	}{
		"nothing":          {"", "", ""},
		"running":          {"created,running", "", ""},
		"success":          {"created,running,waiting,pending,concluded,null", "null", ""},
		"block job":        {"running,pending,BLOCK_JOB_COMPLETED {},concluded,null", "null", ""},
		"failed block job": {`running,aborting,BLOCK_JOB_COMPLETED {"error": "why"},concluded,null`, "null", "failed: why"},
		"canceled":         {"running,aborting,BLOCK_JOB_CANCELLED {},concluded,null", "null", canceled},
		"aborted":          {"running,aborting,concluded", "concluded", "failed; QEMU dropped the reason"},
		"aborted, asked":   {"running,aborting,concluded,?concluded create why", "concluded", "failed: why"},
		"canceled, asked":  {"running,aborting,concluded,?concluded create Operation canceled", "concluded", canceled},
		"asked, success":   {"?concluded create", "concluded", ""},
		"asked, failure":   {"?concluded create why", "concluded", "failed: why"},
		"dismissed":        {"?concluded create why,null", "null", "failed: why"},

		// Who sees only the end, or not even that, cannot know.
		"only the end":                  {"concluded,null", "null", gone},
		"only the end, failed":          {"aborting,concluded,null", "null", "failed; QEMU dropped"},
		"only the end of a block job":   {"BLOCK_JOB_COMPLETED {},concluded,null", "null", ""},
		"gap":                           {"created,running,gap,concluded,null", "null", gone},
		"gap, nothing":                  {"created,running,gap,?", "null", gone},
		"gap, block job":                {"created,running,gap,BLOCK_JOB_COMPLETED {},concluded,null", "null", ""},
		"gap, asked":                    {"created,running,gap,?running,concluded,null", "null", ""},
		"gap, asked, aborted":           {"created,running,gap,?aborting,concluded,null", "null", "failed; QEMU"},
		"gap after the result":          {"created,running,pending,concluded,gap,?", "null", ""},
		"gap after the failure":         {"created,running,?aborting backup why,gap,?", "null", "failed: why"},
		"gap, another type":             {"?running,gap,?running mirror", "null", gone},
		"gap, it begins again":          {"?running,gap,?created", "null", gone},
		"gap, it runs after an abort":   {"?running,aborting,gap,?running", "null", "failed; QEMU"},
		"gap, it runs after its end":    {"?running,pending,concluded,gap,?running", "null", ""},
		"another job after it":          {"?running,gap,created,running", "null", gone},
		"a later job with the same id":  {"?running,pending,concluded,null,created,aborting", "null", ""},
		"an earlier job, only asked":    {"aborting,?running", "", ""},
		"an earlier job, before asking": {"aborting,concluded,null,created,running,?running", "", ""},

		// Replies that are older than the events.
		"old reply":              {"running,?running,pending,~?running", "", ""},
		"old reply with error":   {"?running,aborting,concluded,null,~?aborting backup why", "null", "failed; QEMU"},
		"old reply, concluded":   {"?running,aborting,concluded,~?concluded backup why,null", "null", "failed: why"},
		"old reply, not over":    {"?pending,concluded,~?pending", "concluded", ""},
		"old reply, no job":      {"created,~?", "", ""},
		"no job, and then there": {"?,created,running", "", ""},

		// Strange messages.
		"unknown states":  {"created,brooding,running,pending,concluded,null", "null", ""},
		"unknown events":  {"running,BLOCK_JOB_BROODING {}", "", ""},
		"bad data":        {`running,BLOCK_JOB_COMPLETED {"len": "x"},BLOCK_JOB_READY {"offset": null}`, "", ""},
		"no status":       {`running,JOB_STATUS_CHANGE {"id": "j"}`, "", ""},
		"of another job":  {`running,JOB_STATUS_CHANGE {"id": "k", "device": "", "status": "null"}`, "", ""},
		"null twice":      {"running,pending,concluded,null,null", "null", ""},
		"failed at once":  {"created,aborting,concluded,null", "null", "failed; QEMU"},
		"error, resolved": {`running,BLOCK_JOB_ERROR {"operation": "read", "action": "stop"},paused,running,pending,concluded,null`, "null", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tracker := jobs.NewTracker("j")
			if tt.steps != "" {
				play(t, tracker, splitSteps(tt.steps)...)
			}
			if got := tracker.Ended(); got != (tt.ends == "null") {
				t.Errorf("ended: %t", got)
			}
			if got := tracker.Concluded(); got != (tt.ends != "") {
				t.Errorf("concluded: %t", got)
			}
			err := tracker.Err()
			if tt.want == "" {
				if err != nil {
					t.Errorf("Err: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Err: %v, want %q", err, tt.want)
			}
			if errors.Is(err, jobs.ErrGone) != (tt.want == gone) || errors.Is(err, jobs.ErrCanceled) != (tt.want == canceled) {
				t.Errorf("%v is gone: %t, canceled: %t", err, errors.Is(err, jobs.ErrGone), errors.Is(err, jobs.ErrCanceled))
			}
		})
	}
}

// splitSteps splits steps at commas that are not inside JSON.
func splitSteps(text string) []string {
	var steps []string
	depth, start := 0, 0
	for i, c := range text {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth == 0 {
				steps = append(steps, text[start:i])
				start = i + 1
			}
		}
	}
	return append(steps, text[start:])
}

// A Tracker keeps what was said about progress, errors and states.
func TestTrackerInfo(t *testing.T) {
	tracker := jobs.NewTracker("j")
	play(t, tracker, "created", "running", "?running", `BLOCK_JOB_ERROR {"operation": "write", "action": "stop"}`, "paused")
	info := tracker.Info()
	if info.Type != "backup" || info.Status != "paused" || info.Current != 5 || info.Total != 10 || info.IOError == nil || info.IOError.Operation != "write" {
		t.Errorf("%+v", info)
	}
	play(t, tracker, "running")
	if info := tracker.Info(); info.IOError != nil {
		t.Errorf("it runs again: %+v", info)
	}
	for range 600 {
		play(t, tracker, "paused", "running")
	}
	states := tracker.States()
	if len(states) != 1000 || tracker.Count() != 1204 || states[999].Status != "running" || states[0].Status != "paused" || states[0].Time.Unix() != 1 {
		t.Errorf("%d states of %d, from %v to %v", len(states), tracker.Count(), states[0], states[999])
	}
}

// Whatever is received, a Tracker keeps its own rules: what it knows of an end does not
// change, and its errors fit what it knows.
func FuzzTracker(f *testing.F) {
	words := []string{
		"created", "running", "paused", "ready", "standby", "waiting", "pending", "aborting", "concluded", "null", "brooding",
		"BLOCK_JOB_COMPLETED {}", `BLOCK_JOB_COMPLETED {"error": "why"}`, "BLOCK_JOB_CANCELLED {}", "BLOCK_JOB_READY {}",
		`BLOCK_JOB_ERROR {"operation": "read", "action": "stop"}`, "gap", "?", "?created", "?running", "?pending", "?concluded",
		"?concluded backup why", "?aborting backup Operation canceled", "?running mirror", "~?running", "~?", "~?concluded backup why",
	}
	f.Add([]byte("\x00\x01\x06\x08\x09"), "{}")
	f.Add([]byte("\x01\x10\x11"), `{"id": "j", "status": 1}`)
	f.Fuzz(func(t *testing.T, steps []byte, data string) {
		tracker := jobs.NewTracker("j")
		ended := false
		var result error
		for _, b := range steps {
			if int(b) < len(words) {
				play(t, tracker, words[b])
			} else if json.Valid([]byte(data)) {
				names := jobs.EventNames()
				ev, err := async.ParseEvent([]byte(fmt.Sprintf(`{"event": %q, "data": %s}`, names[int(b)%len(names)], data)))
				if err == nil {
					tracker.Event(ev)
				}
			}
			err := tracker.Err()
			switch {
			case ended && !tracker.Ended():
				// Only a new job, before the Tracker was asked, begins again.
				if states := tracker.States(); len(states) > 1 {
					t.Fatalf("a job that had ended is there again: %v", states)
				}
			case ended && tracker.Ended() && fmt.Sprint(err) != fmt.Sprint(result):
				t.Fatalf("the result has changed from %v to %v", result, err)
			case tracker.Ended() && !tracker.Concluded():
				t.Fatal("ended, but not concluded")
			case !tracker.Concluded() && err != nil:
				t.Fatalf("an error before the end: %v", err)
			case len(tracker.States()) > tracker.Count():
				t.Fatal("more states than it counts")
			}
			if err != nil && errors.Is(err, jobs.ErrGone) && errors.Is(err, jobs.ErrCanceled) {
				t.Fatal("both canceled and gone")
			}
			ended, result = tracker.Ended(), err
		}
	})
}

// A reply that is older than a gap does not end the gap.
func TestTrackerGapBeforeTheReply(t *testing.T) {
	tracker := jobs.NewTracker("j")
	play(t, tracker, "created", "running", "?running")
	there := []qapi.JobInfo{{ID: "j", Type: "backup", Status: "running"}}
	for _, reply := range [][]qapi.JobInfo{there, nil} {
		count := tracker.Count()
		tracker.Gap()
		tracker.Query(reply, count)
		if tracker.Ended() {
			t.Fatal("an old reply has ended the job")
		}
	}
	play(t, tracker, "concluded", "null")
	if err := tracker.Err(); !errors.Is(err, jobs.ErrGone) {
		t.Errorf("Err: %v", err)
	}
}

// An event of another job is not decoded: with many jobs that would cost a lot for each
// event. An id with escapes is found all the same.
func TestTrackerOfManyJobs(t *testing.T) {
	tracker := jobs.NewTracker("j\u00e9b")
	other := event(t, "JOB_STATUS_CHANGE", `{"id": "another", "status": "running"}`)
	if allocs := testing.AllocsPerRun(100, func() {
		if tracker.Event(other) {
			t.Error("the event of another job was taken")
		}
	}); allocs > 0 {
		t.Errorf("an event of another job allocates %v times", allocs)
	}
	for _, data := range []string{
		`{"id": "j\u00e9b", "status": "created"}`,
		`{"id": "\u006a\u00e9b", "status": "running"}`,
	} {
		if !tracker.Event(event(t, "JOB_STATUS_CHANGE", data)) {
			t.Errorf("the event %s was not taken", data)
		}
	}
	if got := tracker.Info().Status; got != "running" {
		t.Errorf("the job is %s, want running", got)
	}
}
