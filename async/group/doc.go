// Package group drives many machines as one: a command to all of them, with the
// results by name, and one stream with the events of all of them.
//
//	var vms group.Group[*async.Client]
//	for name, addr := range addresses {
//		vm, err := async.Dial(ctx, addr, nil)
//		if err != nil {
//			return err
//		}
//		defer vm.Close()
//		if err := vms.Add(name, vm); err != nil {
//			return err
//		}
//	}
//
//	// A command to all machines, with a time limit for each.
//	status, err := group.Do(ctx, &vms, &group.Options{Timeout: 5 * time.Second}, qapi.QueryStatus)
//	for name, s := range status {
//		fmt.Println(name, s.Status)
//	}
//	for name, err := range group.Errors(err) {
//		fmt.Println(name, "failed:", err)
//	}
//
//	// The events of all machines.
//	events := vms.NewListener(nil, "SHUTDOWN", "BLOCK_IO_ERROR")
//	defer events.Close()
//	for ev, err := range events.All(ctx) {
//		...
//	}
//
// A [Group] has members: any type that is an [async.Caller], each under a name. It does
// not own them: it makes no connections, and ends none.
//
// # Commands
//
// [Do] calls a function for each member, a bounded number of members at a time, and
// returns the results by name. Most functions of package qapi fit as they are. [Call]
// executes one command by its name. [Group.Each] gives the function the name and the
// member itself, and [Results] yields each result as it comes. [Options] choose the
// members, how many take part at a time, and how long each may take.
//
// The members that take part are those that are in the group when the call begins.
// Each of them has either a result or an error. So if the context ends midway, the
// caller has the results so far, and an error for each other member, which says whether
// its turn had begun.
//
// # Events
//
// [Group.NewListener] makes one queue for the events of all members, also of those that
// join later. Each [Event] has the name of its member. The events of one member come in
// their order. The loss of a member's connection is a notice with its name, and so is
// the loss of events of a member that sends more than is read. A notice does not end
// the stream.
//
// A group has no goroutines. A listener needs less than a kilobyte for each member,
// and no goroutine either.
//
// # Errors
//
// An error of a call for many members is a *multierror.Error (of package
// github.com/hashicorp/go-multierror) with an [*Error] for each member that failed.
// errors.Is and errors.As look into all of them, and [Errors] returns them by name.
//
// # Who may call what
//
// Any number of goroutines may call any method of a [Group] and an [EventListener] at
// the same time. Filter and Select in [ListenerOptions] run inside the engine: they must
// not call methods of the group, the listener, or the members.
//
// # Traps
//
//   - Without Options.Timeout, a machine that does not answer holds its place until ctx
//     ends. When as many machines as Options.Concurrency do not answer, the others wait.
//   - Remove does not disconnect. Close the client that it returns.
//   - A member whose connection has ended stays a member. Its commands fail at once,
//     unless it connects again by itself: see Reconnect in [async.Options].
package group
