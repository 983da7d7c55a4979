package iotests

import (
	"context"
	"net/url"
	"strings"

	"github.com/goqmp/qmp/compat/machine"
)

// An NBDServer is a qemu-nbd that serves an image.
type NBDServer struct {
	Socket string // the path of its unix socket
	URI    string // for QEMU and its tools, such as "nbd+unix:///?socket=..."

	it     *Test
	m      *machine.Machine
	logged bool // Stop is logged
}

// NBDServe serves an image in the test's format by qemu-nbd, to any number of
// clients, until the test ends or [NBDServer.Stop]. Options go before the image's
// name; with "-x", name the export is called that.
func (it *Test) NBDServe(path string, options ...string) *NBDServer {
	it.Helper()
	it.vms++
	s := &NBDServer{it: it, Socket: it.SocketPath(label("nbd", it.vms))}
	name := ""
	for i, option := range options {
		if option == "-x" && i+1 < len(options) {
			name = options[i+1]
		}
	}
	s.URI = NBDURI(s.Socket, name)
	// It says that it serves by writing this file.
	ready := it.Path(label("nbd", it.vms) + ".pid")
	args := []string{"-f", it.Format, "--persistent", "--shared=0", "--socket=" + s.Socket, "--pid-file=" + ready}
	s.m = it.daemon(nbdProgram, append(append(args, options...), path)...)
	it.awaitFile(s.m, ready)
	return s
}

// NBDServeLog is NBDServe with the start of the server logged, and its end where
// that is [NBDServer.Stop], in the words of an iotest's qemu_nbd_popen.
func (it *Test) NBDServeLog(path string, options ...string) *NBDServer {
	it.Helper()
	it.Log("Start NBD server")
	s := it.NBDServe(path, options...)
	s.logged = true
	return s
}

// Stop ends the server and lets go of the image.
func (s *NBDServer) Stop() {
	s.it.Helper()
	if s.logged {
		s.logged = false
		s.it.Log("Kill NBD server")
	}
	if err := s.m.Shutdown(context.Background()); err != nil {
		s.it.Errorf("%v", err)
	}
}

// NBDURI returns the URI of an export behind a unix socket.
func NBDURI(socket, export string) string {
	// Slashes stay, so that filters for paths find them.
	escaped := (&url.URL{Path: socket}).EscapedPath()
	uri := url.URL{Scheme: "nbd+unix", Path: "/" + export, RawQuery: "socket=" + strings.ReplaceAll(escaped, "&", "%26")}
	return uri.String()
}

// NBDList returns what qemu-nbd tells of the exports behind a unix socket.
func (it *Test) NBDList(socket string) string {
	it.Helper()
	return it.mustRun(nbdProgram, "--list", "--socket="+socket).Output
}

// NBDListLog is [Test.NBDList] with the output logged, without sizes that differ
// from version to version ([FilterNBDExports]). A blank line follows the output,
// since that has a line end of its own.
func (it *Test) NBDListLog(socket string) string {
	it.Helper()
	output := it.NBDList(socket)
	it.Log(output, OverStrings(it.FilterTestFiles), OverStrings(FilterNBDExports))
	return output
}
