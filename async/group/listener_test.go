package group_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/group"
	"github.com/goqmp/qmp/async/qmptest"
)

// The events of all members come in one stream, in the order in which they were
// received, with the name of the member.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2")
		all, stops := g.NewListener(nil), g.NewListener(nil, "STOP")
		defer all.Close()
		defer stops.Close()
		vms["vm1"].emit(t, "STOP", nil)
		vms["vm2"].emit(t, "STOP", nil)
		vms["vm2"].emit(t, "RESUME", nil)
		vms["vm1"].emit(t, "RESUME", map[string]int{"n": 7})

		for _, want := range []string{"vm1 STOP", "vm2 STOP", "vm2 RESUME"} {
			ev, err := all.Next(t.Context())
			if got := ev.Member + " " + ev.Name; got != want || err != nil {
				t.Errorf("Next: %s, %v, want %s", got, err, want)
			}
		}
		ev, err := all.Next(t.Context())
		if string(ev.Data) != `{"n": 7}` || string(ev.Raw()) == "" || ev.Timestamp.IsZero() || err != nil {
			t.Errorf("Next: %+v, %v, want the event as it came", ev, err)
		}
		wantRead(t, stops, "vm1 STOP", "vm2 STOP")
		wantRead(t, all)
	})
}

// An event that a machine sent before a reply is in the queue when the call returns.
// Holds E3.
func TestEventsComeBeforeTheReply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, _ := joined(t, "vm1", "vm2", "vm3")
		l := g.NewListener(nil)
		defer l.Close()
		if _, err := group.Call[any](t.Context(), g, nil, "stop", nil); err != nil {
			t.Fatal(err)
		}
		got := read(l)
		slices.Sort(got)
		if want := []string{"vm1 STOP", "vm2 STOP", "vm3 STOP"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
	})
}

// Members join and leave while a listener reads. Holds E5.
func TestEventsJoinAndLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g clients
		l := g.NewListener(nil)
		defer l.Close()
		vm1, vm2 := start(t, "vm1"), start(t, "vm2")
		vm1.emit(t, "BEFORE", nil) // it has not joined yet

		time.AfterFunc(time.Second, func() {
			add(t, &g, "vm1", vm1.client)
			vm1.Emit("JOINED", nil)
		})
		if ev, err := l.Next(t.Context()); ev.Member != "vm1" || ev.Name != "JOINED" {
			t.Errorf("the reader that waited without members: %s %s, %v", ev.Member, ev.Name, err)
		}
		add(t, &g, "vm2", vm2.client)
		vm1.emit(t, "A", nil)
		vm2.emit(t, "A", nil)
		g.Remove("vm1")
		vm1.emit(t, "AFTER", nil)
		vm2.emit(t, "B", nil)
		add(t, &g, "vm1", vm1.client)
		vm1.emit(t, "AGAIN", nil)
		wantRead(t, l, "vm1 A", "vm2 A", "vm1: "+group.ErrLeft.Error(), "vm2 B", "vm1 AGAIN")
	})
}

// The loss of a machine is a notice with its name, in its place, and the stream goes on.
// Holds E5.
func TestLossIsANotice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2")
		l := g.NewListener(nil)
		defer l.Close()
		vms["vm1"].emit(t, "LAST", nil)
		vms["vm1"].Close()
		synctest.Wait()
		vms["vm2"].emit(t, "A", nil)
		wantRead(t, l, "vm1 LAST", "vm1: ended EOF", "vm2 A")

		// A disconnect that its owner wants is not a loss.
		if err := vms["vm2"].client.Disconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantRead(t, l)

		// It connects again: the listener hears it as before.
		if err := vms["vm2"].client.Connect(t.Context(), "vm2"); err != nil {
			t.Fatal(err)
		}
		vms["vm2"].emit(t, "B", nil)
		wantRead(t, l, "vm2 B")
	})
}

// A machine that had ended before it joined, or before the listener was made, is a
// notice, too. One that is not connected yet is not.
func TestLossBeforeTheListener(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1")
		vms["vm1"].Close()
		synctest.Wait()
		l := g.NewListener(nil)
		defer l.Close()
		add(t, g, "vm2", async.New(nil))
		wantRead(t, l, "vm1: had ended EOF")

		vm3 := start(t, "vm3")
		vm3.Close()
		synctest.Wait()
		add(t, g, "vm3", vm3.client)
		wantRead(t, l, "vm3: had ended EOF")
	})
}

// A member that sends more than is read loses its own oldest events, and no other
// member's. The notice has its name. Holds E5.
func TestOverflowIsTheMembersOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2")
		l := g.NewListener(&group.ListenerOptions{Limit: 3})
		defer l.Close()
		vms["vm2"].emit(t, "QUIET", nil)
		for i := range 10 {
			vms["vm1"].emit(t, fmt.Sprint("E", i), nil)
		}
		vms["vm2"].emit(t, "QUIET", nil)
		wantRead(t, l, "vm2 QUIET", "vm1: lost 7", "vm1 E7", "vm1 E8", "vm1 E9", "vm2 QUIET")
		vms["vm1"].emit(t, "E10", nil)
		wantRead(t, l, "vm1 E10")
	})
}

func TestDefaultLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1")
		l, unlimited := g.NewListener(nil), g.NewListener(&group.ListenerOptions{Limit: -1})
		defer l.Close()
		defer unlimited.Close()
		for range group.DefaultLimit + 5 {
			vms["vm1"].Emit("E", nil)
		}
		vms["vm1"].emit(t, "E", nil)
		if got := read(l); len(got) != 1+group.DefaultLimit || got[0] != "vm1: lost 6" {
			t.Errorf("read %d, the first of them %q", len(got), got[0])
		}
		if got := read(unlimited); len(got) != group.DefaultLimit+6 {
			t.Errorf("read %d without a limit", len(got))
		}
	})
}

// The loss of a member is told also if its queue is full at that moment.
func TestLossOfAMemberWithAFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for events := range 6 {
			g, vms := joined(t, "vm1")
			l := g.NewListener(&group.ListenerOptions{Limit: 3})
			defer l.Close()
			var want []string
			if events > 3 {
				want = append(want, fmt.Sprint("vm1: lost ", events-3))
			}
			for i := range events {
				vms["vm1"].emit(t, fmt.Sprint("E", i), nil)
				if i >= events-3 {
					want = append(want, fmt.Sprint("vm1 E", i))
				}
			}
			vms["vm1"].Close()
			synctest.Wait()
			wantRead(t, l, append(want, "vm1: ended EOF")...)
		}
	})
}

// A member that connects again stays in the stream. One that gives up is a notice, once.
func TestReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g clients
		l := g.NewListener(&group.ListenerOptions{Limit: 1})
		defer l.Close()
		server := qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		newVM := func(name string) vm {
			c := async.New(&async.Options{
				Nickname: name, Dialer: func(ctx context.Context) (net.Conn, error) { return server.Dial(ctx) },
				Reconnect: &async.Reconnect{MaxAttempts: 3},
			})
			t.Cleanup(func() { c.Close() })
			if err := c.Connect(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			return vm{server, c}
		}
		vm1 := newVM("vm1")
		add(t, &g, "vm1", vm1.client)
		vm1.emit(t, "A", nil)

		first := server
		server = qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		vm1.Server = server
		first.Close()
		time.Sleep(time.Minute)
		wantRead(t, l, "vm1 A", "vm1: ended EOF")
		vm1.emit(t, "B", nil)
		if ev, err := l.Next(t.Context()); ev.Name != "B" || ev.Session != 2 || err != nil {
			t.Errorf("after the reconnect: %s of session %d, %v, want B of session 2", ev.Name, ev.Session, err)
		}

		server.Close() // for ever
		time.Sleep(time.Hour)
		got := read(l)
		if want := []string{"vm1: ended EOF", "vm1: *async.GaveUpError"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		// A listener that is made later, and one that hears the member later.
		later := g.NewListener(nil)
		defer later.Close()
		wantRead(t, later, "vm1: *async.GaveUpError")
		g.Remove("vm1")
		wantRead(t, l, "vm1: "+group.ErrLeft.Error())
		add(t, &g, "again", vm1.client)
		wantRead(t, l, "again: *async.GaveUpError")

		// After that it is connected by hand, lost, and gives up once more.
		server = qmptest.Start(t, &qmptest.Options{Network: qmptest.Memory})
		vm1.client.Close()
		if err := vm1.client.Connect(t.Context(), "again"); err != nil {
			t.Fatal(err)
		}
		wantRead(t, l)
		server.Close()
		time.Sleep(time.Hour)
		wantRead(t, l, "again: ended EOF", "again: *async.GaveUpError")
	})
}

// A listener that nobody reads holds nothing up: not the machines, not the commands, and
// not another listener. Holds E5.
func TestSlowReaderHoldsNothingUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2")
		unread := g.NewListener(&group.ListenerOptions{Limit: 5})
		defer unread.Close()
		l := g.NewListener(nil)
		defer l.Close()
		for i := range 200 {
			for _, vm := range vms {
				vm.emit(t, fmt.Sprint(i), nil)
			}
			if got := read(l); len(got) != 2 {
				t.Fatalf("round %d: read %q", i, got)
			}
		}
		if got := read(unread); len(got) != 2*(1+5) {
			t.Errorf("the listener with a limit has %q, want two notices, and five events of each member", got)
		}
	})
}

func TestListenerSelectsMembersAndFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "db1", "web1")
		l := g.NewListener(&group.ListenerOptions{
			Select: func(name string) bool { return strings.HasPrefix(name, "web") },
			Filter: func(ev group.Event) bool { return ev.Member != "web2" || ev.Name == "B" },
		}, "A", "B")
		defer l.Close()
		for _, name := range []string{"web2", "db2"} { // these join later
			vms[name] = start(t, name)
			add(t, g, name, vms[name].client)
		}
		for _, name := range []string{"db1", "db2", "web1", "web2"} {
			for _, event := range []string{"A", "B", "C"} {
				vms[name].emit(t, event, nil)
			}
		}
		g.Remove("db1") // the listener does not hear it
		wantRead(t, l, "web1 A", "web1 B", "web2 B")
	})
}

// Members that have no events, and a member that has its client behind a method.
func TestOtherMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var g group.Group[async.Caller]
		a, b := start(t, "a"), start(t, "b")
		add(t, &g, "a", async.Caller(hasClient{a.client}))
		add(t, &g, "b", async.Caller(onlyCaller{b.client}))
		l := g.NewListener(nil)
		defer l.Close()
		wantRead(t, l, "b: "+group.ErrNoEvents.Error())
		a.emit(t, "A", nil)
		b.emit(t, "A", nil)
		g.Remove("b")
		wantRead(t, l, "a A", "b: "+group.ErrLeft.Error())
		add(t, &g, "c", async.Caller(hasClient{})) // its client is nil
		wantRead(t, l, "c: "+group.ErrNoEvents.Error())
		names, err := group.Call[name](t.Context(), &g, &group.Options{Members: []string{"a"}}, "query-name", nil)
		if names["a"].Name != "a" || err != nil {
			t.Errorf("%v, %v", names, err)
		}
	})
}

type onlyCaller struct{ c *async.Client }

func (m onlyCaller) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	return m.c.Do(ctx, cmd)
}

type hasClient struct{ c *async.Client }

func (m hasClient) Client() *async.Client { return m.c }
func (m hasClient) Do(ctx context.Context, cmd async.Command) (async.Reply, error) {
	return m.c.Do(ctx, cmd)
}

// What ends a wait.
func TestNextEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1")
		l := g.NewListener(nil, "STOP", "RESUME")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Next(ctx)
		if wait, ok := errors.AsType[*async.EventWaitError](err); !ok || !errors.Is(err, context.DeadlineExceeded) || len(wait.Names) != 2 {
			t.Errorf("after its context: %v, want an EventWaitError with the names", err)
		}
		yields := 0
		for _, err := range l.All(ctx) {
			if yields++; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("All yields %v", err)
			}
		}
		if yields != 1 {
			t.Errorf("All yields the end of its context %d times", yields)
		}

		vms["vm1"].emit(t, "STOP", nil)
		time.AfterFunc(time.Second, l.Close)
		var got []string
		for ev, err := range l.All(t.Context()) {
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, ev.Name)
		}
		if want := []string{"STOP", async.ErrClosed.Error()}; !slices.Equal(got, want) {
			t.Errorf("All yields %q, want %q", got, want)
		}
		l.Close() // again
		vms["vm1"].emit(t, "STOP", nil)
		wantRead(t, l)
	})
}

// What is unread when a listener is closed can still be read.
func TestReadAfterClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1")
		l := g.NewListener(nil)
		vms["vm1"].emit(t, "A", nil)
		l.Close()
		if ev, err := l.Next(t.Context()); ev.Name != "A" || err != nil {
			t.Errorf("Next: %s, %v, want A", ev.Name, err)
		}
		if _, err := l.Next(t.Context()); !errors.Is(err, async.ErrClosed) {
			t.Errorf("Next: %v, want ErrClosed", err)
		}
		g.Remove("vm1")
		add(t, g, "vm2", start(t, "vm2").client)
		wantRead(t, l) // no notices after Close
	})
}

// All yields a notice, goes on, and ends when the loop does.
func TestAllGoesOnAfterANotice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2")
		l := g.NewListener(nil)
		defer l.Close()
		vms["vm1"].Close()
		synctest.Wait()
		vms["vm2"].emit(t, "A", nil)
		vms["vm2"].emit(t, "B", nil)
		var got []string
		for ev, err := range l.All(t.Context()) {
			if err != nil {
				if ended, ok := errors.AsType[*async.ExecInterruptedError](err); !ok || !errors.Is(ended, io.EOF) {
					t.Errorf("%v, want the end of vm1", err)
				}
				got = append(got, "notice")
				continue
			}
			if got = append(got, ev.Name); ev.Name == "A" {
				break
			}
		}
		if !slices.Equal(got, []string{"notice", "A"}) {
			t.Errorf("got %q", got)
		}
		wantRead(t, l, "vm2 B")
	})
}

// A group and its listeners have no goroutines, however many members there are. Holds E2.
func TestNoGoroutines(t *testing.T) { // not parallel: it counts
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprint("vm", i))
		}
		g, vms := joined(t, names...)
		synctest.Wait()
		before := stacksOf("async/group.")
		l := g.NewListener(nil)
		defer l.Close()
		for _, vm := range vms {
			vm.emit(t, "A", nil)
		}
		if n := stacksOf("async/group."); n != before {
			t.Errorf("%d goroutines of the group, before it had a listener %d", n, before)
		}
		if got := read(l); len(got) != len(names) {
			t.Errorf("read %d events, want %d", len(got), len(names))
		}
	})
}

// stacksOf counts the goroutines that were created by functions of a package.
func stacksOf(pkg string) int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	return strings.Count(string(buf), "created by github.com/goqmp/qmp/"+pkg)
}

// Many machines send events, machines join, leave and are lost, and several goroutines
// read several listeners: each event is read once or counted as lost, and the events of a
// member are in their order. Holds E3, E5.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	const machines, rounds = 20, 300
	for _, limit := range []int{-1, 10} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			t.Parallel()
			var g clients
			l := g.NewListener(&group.ListenerOptions{Limit: limit}, "E")
			vms := make([]vm, machines)
			for i := range vms {
				vms[i] = start(t, fmt.Sprint("vm", i))
				add(t, &g, fmt.Sprint("vm", i), vms[i].client)
			}
			left := make(map[string]bool)
			last, lost, count := make(map[string]int), make(map[string]int), make(map[string]int)
			read := make(chan struct{})
			go func() {
				defer close(read)
				for ev, err := range l.All(context.Background()) {
					e, isNotice := err.(*group.Error)
					overflow, isOverflow := errors.AsType[*async.OverflowError](err)
					switch {
					case isOverflow:
						lost[e.Member] += overflow.Lost
					case isNotice && errors.Is(err, group.ErrLeft):
						left[e.Member] = true
					case isNotice:
						t.Errorf("notice %v", err)
					case err != nil:
						return
					default:
						var data struct{ N int }
						if err := ev.Decode(&data); err != nil {
							t.Error(err)
						}
						if data.N <= last[ev.Member] || left[ev.Member] {
							t.Errorf("%s: event %d came after %d, and it had left: %t", ev.Member, data.N, last[ev.Member], left[ev.Member])
						}
						last[ev.Member] = data.N
						count[ev.Member]++
						if limit > 0 && rand.IntN(4) == 0 {
							runtime.Gosched() // so that some are lost
						}
					}
				}
			}()
			var wg sync.WaitGroup
			for i, vm := range vms {
				wg.Go(func() {
					name := fmt.Sprint("vm", i)
					for n := range rounds {
						vm.Emit("E", map[string]int{"N": n + 1})
					}
					if _, err := vm.client.Execute(t.Context(), "query-status", nil); err != nil {
						t.Error(err)
					}
					if _, ok := g.Remove(name); !ok {
						t.Errorf("%s was not there", name)
					}
				})
			}
			for range 2 {
				wg.Go(func() { // commands, and listeners that come and go meanwhile
					for range 20 {
						other := g.NewListener(nil)
						if _, err := group.Call[any](t.Context(), &g, nil, "query-status", nil); err != nil {
							for _, err := range group.Errors(err) {
								if !errors.Is(err, group.ErrLeft) {
									t.Error(err)
								}
							}
						}
						other.Close()
					}
				})
			}
			wg.Wait()
			l.Close()
			<-read
			for i := range vms {
				name := fmt.Sprint("vm", i)
				if count[name]+lost[name] != rounds || !left[name] || last[name] != rounds {
					t.Errorf("%s: %d events were read and %d lost, want %d together; the last was %d; it left: %t", name, count[name], lost[name], rounds, last[name], left[name])
				}
			}
		})
	}
}

// Several readers share a listener: each event goes to one of them.
func TestSeveralReaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, vms := joined(t, "vm1", "vm2", "vm3")
		l := g.NewListener(nil)
		var mu sync.Mutex
		seen := make(map[string]int)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for ev, err := range l.All(t.Context()) {
					mu.Lock()
					if err == nil {
						seen[ev.Member+ev.Name]++
					} else if notice(err) != "vm1: ended EOF" && !errors.Is(err, async.ErrClosed) {
						t.Errorf("%v", err)
					} else {
						seen[notice(err)]++
					}
					mu.Unlock()
				}
			})
		}
		for i := range 100 {
			for _, vm := range vms {
				vm.Emit(fmt.Sprint("E", i), nil)
			}
		}
		for _, vm := range vms {
			vm.emit(t, "LAST", nil)
		}
		vms["vm1"].Close()
		synctest.Wait()
		l.Close()
		wg.Wait()
		if len(seen) != 3*101+2 || seen["vm1: ended EOF"] != 1 {
			t.Errorf("%d kinds of things were read, and the end of vm1 %d times", len(seen), seen["vm1: ended EOF"])
		}
		for what, n := range seen {
			if n != 1 && what != "*errors.errorString" {
				t.Errorf("%s was read %d times", what, n)
			}
		}
	})
}
