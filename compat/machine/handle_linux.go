package machine

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A handle refers to one process, and never to another: it holds a pidfd. A process
// id is different: as soon as the process was collected, the system may give its id
// to a new process. On a system that lacks pidfds a handle is nil; its methods then
// return ENOSYS.
type handle struct{ file *os.File }

// withHandle asks the system for a handle of the process that will be started with
// attr. Call the function that it returns after the start: it returns the handle.
//
// A pollable handle can be used for await. But os.Process.Wait must not be used then:
// package os has a pidfd that shares the flag O_NONBLOCK with the handle, and Wait
// would return at once.
func withHandle(attr *syscall.SysProcAttr, pollable bool) func() *handle {
	fd := -1
	attr.PidFD = &fd
	return func() *handle {
		if fd < 0 {
			return nil // before Linux 5.4
		}
		if pollable {
			return newPollableHandle(fd)
		}
		return &handle{os.NewFile(uintptr(fd), "pidfd")}
	}
}

// openHandle returns a pollable handle of the process that has the id pid now.
func openHandle(pid int) (*handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return newPollableHandle(fd), nil
}

func newPollableHandle(fd int) *handle {
	_ = unix.SetNonblock(fd, true) // os.NewFile then registers it with the runtime's poller
	return &handle{os.NewFile(uintptr(fd), "pidfd")}
}

// await waits until the process has ended. The error matches os.ErrClosed if the
// handle was closed before that.
func (h *handle) await() error {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return err == nil && n > 0
	})
}

// hasEnded reports whether the process has ended.
func (h *handle) hasEnded() bool {
	ended := false
	err := h.do(func(fd int) error {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		ended = n > 0
		return err
	})
	return err == nil && ended
}

// isChild reports whether the process is a child of this program that nobody has
// collected. The process must have ended.
func (h *handle) isChild() bool {
	return h.do(func(fd int) error {
		var info unix.Siginfo
		return unix.Waitid(unix.P_PIDFD, fd, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	}) == nil
}

// do calls f with the descriptor.
func (h *handle) do(f func(fd int) error) error {
	if h == nil {
		return unix.ENOSYS
	}
	conn, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := conn.Control(func(fd uintptr) { err = f(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// signal sends sig to the process. The error is ESRCH if the process was collected.
func (h *handle) signal(sig syscall.Signal) error {
	return h.do(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
}

// signalGroup sends sig to the process group that the process leads. That also works
// after the process has ended, as long as the group has others. Linux before 6.9
// cannot do it and returns EINVAL.
func (h *handle) signalGroup(sig syscall.Signal) error {
	return h.do(func(fd int) error {
		return unix.PidfdSendSignal(fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	})
}

// collectedWithin limits how long exit waits. When somebody collects a process, the
// kernel stores its exit status in the pidfd a moment later.
const collectedWithin = time.Second

// exit returns the exit status of a process that somebody else has collected. ok is
// false if the kernel does not store it (before Linux 6.15).
func (h *handle) exit() (status ExitStatus, ok bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := h.do(func(fd int) error {
		// Wait may have failed while the process still runs.
		if err := poll(fd, unix.POLLIN, -1); err != nil {
			return err
		}
		// POLLHUP says that the process was collected. poll reports it without
		// being asked to.
		if err := poll(fd, 0, collectedWithin); err != nil {
			return err
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info)))
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return ExitStatus{}, false
	}
	return statusOf(syscall.WaitStatus(info.Exit_code)), true
}

// close closes the handle. The process goes on.
func (h *handle) close() {
	if h != nil {
		_ = h.file.Close() // for a pidfd an error means nothing
	}
}

// poll waits until fd has one of events, but not longer than within. A negative
// within means no limit. It also returns nil when the time is over.
func poll(fd int, events int16, within time.Duration) error {
	for end := time.Now().Add(within); ; {
		left := -1
		if within >= 0 {
			left = int(max(0, time.Until(end)).Milliseconds())
		}
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, left)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
