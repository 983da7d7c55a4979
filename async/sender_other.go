//go:build !unix

package async

import (
	"errors"
	"net"
	"os"
	"syscall"
)

func newSender(conn net.Conn) sender { return plainSender{conn} }

// inherit needs descriptors as Unix has them.
func inherit[T any](_ Address, _ func(*os.File) (T, error)) (T, error) {
	var none T
	return none, errors.New("inherited descriptors need a Unix system; here, hand the connection to Attach")
}

// Winsock's numbers, which differ from those that package syscall invents.
const (
	wsaConnReset   = syscall.Errno(10054)
	wsaConnRefused = syscall.Errno(10061)
)

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, wsaConnReset)
}

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaConnRefused)
}

// probe reports, with a nil error, that somebody listens at path.
func probe(path string) error {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return err
}
