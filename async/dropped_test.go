// Tests that a server cannot fill the log with messages that belong to nobody.
// The code that they hold: dropped.go.
package async_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
)

// Of the messages that belong to no call, ten are logged in a minute. The others are
// counted, and the log tells how many they were in the next period, or at the end. So a
// megabyte of short messages does not make 54 megabytes of log.
// Holds E16.
func TestDroppedMessagesDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const stray = 1 << 19 // of two bytes each
		p := memory(t, connected("", qmptest.Send(strings.Repeat("{}", stray)),
			qmptest.Expect("a"), qmptest.Return(`{}`),
			qmptest.Pause(time.Minute), qmptest.Send(strings.Repeat(`{"id":9,"return":{}}`, 15)),
			qmptest.Expect("b"), qmptest.Return(`{}`))...)
		var book logbook
		c := dial(t, p, &async.Options{Logger: slog.New(slog.NewJSONHandler(&book, nil))})
		execute(t, c, "a", `{}`)
		if n := book.buf.Len(); n > 4<<10 {
			t.Errorf("%d bytes of stray messages made %d bytes of log", 2*stray, n)
		}
		execute(t, c, "b", `{}`)
		wantNil(t, "Disconnect", c.Disconnect(t.Context()))
		var got []string
		for _, r := range book.records(t) {
			got = append(got, fmt.Sprint(r["level"], " ", r["msg"], " ", r["count"]))
		}
		line := "WARN qmp: message dropped <nil>"
		want := strings.Join([]string{
			strings.Repeat(line+"\n", 10) + fmt.Sprint("WARN qmp: more messages dropped ", stray-10),
			strings.Repeat(line+"\n", 10) + "INFO qmp: disconnected <nil>",
			"WARN qmp: more messages dropped 5",
		}, "\n")
		// The reader tells the last count, and another goroutine logs the end.
		other := strings.Join([]string{
			strings.Repeat(line+"\n", 10) + fmt.Sprint("WARN qmp: more messages dropped ", stray-10),
			strings.Repeat(line+"\n", 10) + "WARN qmp: more messages dropped 5",
			"INFO qmp: disconnected <nil>",
		}, "\n")
		if all := strings.Join(got, "\n"); all != want && all != other {
			t.Errorf("got the log\n%s\nwant\n%s", all, want)
		}
	})
}
