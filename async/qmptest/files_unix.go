//go:build unix

package qmptest

import (
	"io"
	"net"
	"os"
	"syscall"
)

// mostFDs is how many descriptors one message can carry on Linux.
const mostFDs = 253

// readWithFDs is conn.Read that also takes the descriptors that come along, if
// conn is a unix socket. They are set to close on exec.
func readWithFDs(conn net.Conn, p []byte) (n int, fds []int, err error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		n, err = conn.Read(p)
		return n, nil, err
	}
	oob := make([]byte, syscall.CmsgSpace(mostFDs*4))
	n, oobn, _, _, err := uc.ReadMsgUnix(p, oob)
	n = max(n, 0) // -1 for some errors
	if oobn > 0 {
		fds = parseFDs(oob[:oobn])
	}
	if n == 0 && err == nil {
		// ReadMsgUnix has no end of file: a read of no bytes is one.
		err = io.EOF
	}
	return n, fds, err
}

func parseFDs(oob []byte) (fds []int) {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		got, err := syscall.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // some other kind of control message
		}
		for _, fd := range got {
			syscall.CloseOnExec(fd)
		}
		fds = append(fds, got...)
	}
	return fds
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}

func newFiles(fds []int) []*os.File {
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), "received")
	}
	return files
}

// socketPair returns the two ends of an open pair of unix sockets.
func socketPair() (client, server net.Conn, err error) {
	// Between the calls another goroutine may start a process.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if client, err = fileConn(fds[0]); err != nil {
		syscall.Close(fds[1])
		return nil, nil, err
	}
	if server, err = fileConn(fds[1]); err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, server, nil
}

// fileConn makes a connection of fd, which it takes.
func fileConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socketpair")
	defer f.Close() // the connection has a copy
	return net.FileConn(f)
}

// awaitUnread waits until conn has bytes to read, or its deadline, and leaves
// them there.
func awaitUnread(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		for {
			n, _, e := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
			switch {
			case e == syscall.EINTR:
				continue
			case e == syscall.EAGAIN:
				return false
			case e != nil:
				peekErr = os.NewSyscallError("recvfrom", e)
			case n == 0:
				peekErr = io.EOF
			}
			return true
		}
	})
	if err != nil {
		return err
	}
	return peekErr
}
