package machine

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A handle refers to one process for good: it holds a pidfd. The process's
// number may become another's as soon as somebody has collected the process; a
// handle never refers to another process. A nil handle is one that the system
// could not give; its methods return ENOSYS.
type handle struct{ file *os.File }

// withHandle has the system make a handle when a process is started with attr.
// The result is to be called once the process was started. pollable is for await.
// The handle that package os has for the process shares the flag that makes it
// so, and then os.Process.Wait does not wait.
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

// openHandle returns a handle, for await as well, for the process that has the
// number pid now.
func openHandle(pid int) (*handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return newPollableHandle(fd), nil
}

func newPollableHandle(fd int) *handle {
	_ = unix.SetNonblock(fd, true) // so that the runtime's poller takes it
	return &handle{os.NewFile(uintptr(fd), "pidfd")}
}

// await waits until the process has ended. The error is os.ErrClosed if the handle
// was closed before that.
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

// isChild reports whether the process, which has ended, is a child of this program
// that nobody has collected.
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

// signal sends sig to the process. ESRCH says that it was collected.
func (h *handle) signal(sig syscall.Signal) error {
	return h.do(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
}

// signalGroup sends sig to the group that the process leads or has led, which
// may live longer than the process. Linux before 6.9 cannot do that, and gives
// EINVAL.
func (h *handle) signalGroup(sig syscall.Signal) error {
	return h.do(func(fd int) error {
		return unix.PidfdSendSignal(fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	})
}

// collectedWithin bounds the moment between the end of a process, as its parent
// sees it, and the kernel's noting of its exit status.
const collectedWithin = time.Second

// exit returns how a process ended that somebody else has collected. ok is false
// where the kernel does not keep that (before Linux 6.15).
func (h *handle) exit() (status ExitStatus, ok bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := h.do(func(fd int) error {
		// Whatever Wait has failed with: the process has to have ended.
		if err := poll(fd, unix.POLLIN, -1); err != nil {
			return err
		}
		// It waits for POLLHUP, which need not be asked for: the process was
		// collected.
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

// close lets go of the process.
func (h *handle) close() {
	if h != nil {
		_ = h.file.Close() // a pidfd has nothing to lose
	}
}

// poll waits for events at fd, or until the time is over, unless that is negative.
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
