// Package agent is a client of the QEMU guest agent (qemu-ga), the program through which
// the host executes commands in a guest.
//
//	a, err := agent.Dial(ctx, "/run/vm1.qga", nil)
//	if err != nil {
//		return err
//	}
//	defer a.Close()
//
//	out, err := a.Command(ctx, "uname", "-r").Output()
//	if err != nil {
//		return err
//	}
//	fmt.Printf("the guest runs Linux %s", out)
//
// A [Client] is an [async.Caller]: package qga has a function for each command of the
// agent, such as qga.GuestGetOsinfo(ctx, a).
package agent
