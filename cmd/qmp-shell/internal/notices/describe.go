package notices

import (
	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/qapi"
)

// describe returns what an event means, for people; "" if its name says it.
func describe(ev async.Event) (text string, bad bool) {
	decoded, err := qapi.Decode(ev)
	if err != nil {
		return "", false
	}
	switch e := decoded.(type) {
	case *qapi.StopEvent:
		return "the machine is paused", false
	case *qapi.ResumeEvent:
		return "the machine runs", false
	case *qapi.SuspendEvent:
		return "the guest sleeps", false
	case *qapi.SuspendDiskEvent:
		return "the guest hibernates", false
	case *qapi.WakeupEvent:
		return "the guest is awake", false
	case *qapi.PowerdownEvent:
		return "the power button was pressed; the guest decides what it does", false
	case *qapi.ShutdownEvent:
		return cause("the machine has shut down", e.Reason, e.Guest), e.Reason == qapi.ShutdownCauseHostError || e.Reason == qapi.ShutdownCauseGuestPanic
	case *qapi.ResetEvent:
		return cause("the machine was reset", e.Reason, e.Guest), e.Reason == qapi.ShutdownCauseGuestPanic
	case *qapi.GuestPanickedEvent:
		return "the guest has panicked; " + panicAction(e.Action), true
	case *qapi.GuestCrashloadedEvent:
		return "the guest has panicked, and saves its memory for an analysis", true
	case *qapi.WatchdogEvent:
		return "the watchdog has expired; its action is " + string(e.Action), true
	case *qapi.BlockIOErrorEvent:
		return blockError(e), true
	case *qapi.MemoryFailureEvent:
		return "a memory failure of the " + string(e.Recipient) + "; the action is " + string(e.Action), true
	}
	return "", false
}

// cause adds to text who has shut the machine down or reset it.
func cause(text string, reason qapi.ShutdownCause, guest bool) string {
	switch reason {
	case qapi.ShutdownCauseHostQMPQuit:
		return text + ": quit was executed"
	case qapi.ShutdownCauseHostQMPSystemReset:
		return text + ": system_reset was executed"
	case qapi.ShutdownCauseHostSignal:
		return text + ": a signal has told QEMU to end"
	case qapi.ShutdownCauseHostUI:
		return text + " in QEMU's window"
	case qapi.ShutdownCauseHostError:
		return text + " because of an error of the host"
	case qapi.ShutdownCauseGuestShutdown:
		return text + " by the guest"
	case qapi.ShutdownCauseGuestReset:
		return text + " because the guest has asked for a reset"
	case qapi.ShutdownCauseGuestPanic:
		return text + " because the guest has panicked"
	case qapi.ShutdownCauseSnapshotLoad:
		return text + " to load a snapshot"
	}
	if guest {
		return text + " by the guest"
	}
	return text
}

func panicAction(action qapi.GuestPanicAction) string {
	switch action {
	case qapi.GuestPanicActionPause:
		return "the machine is paused"
	case qapi.GuestPanicActionPoweroff:
		return "the machine is switched off"
	case qapi.GuestPanicActionRun:
		return "the machine goes on"
	}
	return "the action is " + string(action)
}

// blockError describes an I/O error of a guest's disk.
func blockError(e *qapi.BlockIOErrorEvent) string {
	text := "a " + string(e.Operation) + " error of a disk"
	switch {
	case e.Device != "":
		text = "a " + string(e.Operation) + " error of " + e.Device
	case e.NodeName != nil:
		text = "a " + string(e.Operation) + " error of " + *e.NodeName
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Action == qapi.BlockErrorActionStop {
		text += "; the machine is paused"
	}
	return text
}
