//go:build unix

package socket

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Read is conn.Read, and returns the descriptors that came with the data, if conn
// is a unix socket. The caller closes them, even if err is not nil. They have the
// flag close-on-exec.
func Read(conn net.Conn, p []byte) (n int, fds []int, err error) {
	uc, ok := asUnix(conn)
	if !ok {
		n, err = conn.Read(p)
		return n, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	n, oobn, _, _, err := uc.ReadMsgUnix(p, oob)
	n = max(n, 0) // -1 for some errors
	if oobn > 0 {
		fds = parseFDs(oob[:oobn])
	}
	if n == 0 && err == nil {
		// At the end of file ReadMsgUnix returns no bytes and no error.
		err = io.EOF
	}
	return n, fds, err
}

func parseFDs(oob []byte) (fds []int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // another kind of control message
		}
		for _, fd := range got {
			unix.CloseOnExec(fd)
		}
		fds = append(fds, got...)
	}
	return fds
}

// CloseFDs closes descriptors that [Read] returned.
func CloseFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// Files makes files from descriptors that [Read] returned. The files own them.
func Files(fds []int) []*os.File {
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), "received")
	}
	return files
}
