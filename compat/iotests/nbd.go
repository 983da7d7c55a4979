package iotests

import (
	"context"
	"net/url"
	"strings"

	"github.com/goqmp/qmp/compat/machine"
)

// An NBDServer is a qemu-nbd process that serves one image. Like the [Test] that made it,
// it belongs to the goroutine of the test.
type NBDServer struct {
	Socket string // the path of its unix socket
	URI    string // for QEMU and its tools, such as "nbd+unix:///?socket=..."

	it     *Test
	m      *machine.Machine
	logged bool // Stop logs a line
}

// NBDServe starts a qemu-nbd that serves an image in the test's format to any number of
// clients, until [NBDServer.Stop] or the end of the test. The options are passed before
// the image's name. The options "-x" and a name give the export that name; without them
// its name is "".
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
	// When qemu-nbd accepts clients, it writes this file.
	ready := it.Path(label("nbd", it.vms) + ".pid")
	args := []string{"-f", it.Format, "--persistent", "--shared=0", "--socket=" + s.Socket, "--pid-file=" + ready}
	s.m = it.daemon(nbdProgram, append(append(args, options...), path)...)
	it.awaitFile(s.m, ready)
	return s
}

// NBDServeLog is [Test.NBDServe], and logs the start of the server. [NBDServer.Stop] logs
// its end. The lines are those of an iotest's qemu_nbd_popen.
func (it *Test) NBDServeLog(path string, options ...string) *NBDServer {
	it.Helper()
	it.Log("Start NBD server")
	s := it.NBDServe(path, options...)
	s.logged = true
	return s
}

// Stop ends the server, and waits until it has ended and so has closed the image.
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

// NBDURI returns the URI of an export of an NBD server that listens on a unix socket.
func NBDURI(socket, export string) string {
	// Slashes are not escaped, so that filters find the path in the URI.
	escaped := (&url.URL{Path: socket}).EscapedPath()
	uri := url.URL{Scheme: "nbd+unix", Path: "/" + export, RawQuery: "socket=" + strings.ReplaceAll(escaped, "&", "%26")}
	return uri.String()
}

// NBDList returns what qemu-nbd --list prints about the exports of an NBD server that
// listens on a unix socket.
func (it *Test) NBDList(socket string) string {
	it.Helper()
	return it.mustRun(nbdProgram, "--list", "--socket="+socket).Output
}

// NBDListLog is [Test.NBDList], and logs the output without the block sizes, which differ
// from version to version ([FilterNBDExports]). As the output ends in a line end, the
// log has a blank line after it.
func (it *Test) NBDListLog(socket string) string {
	it.Helper()
	output := it.NBDList(socket)
	it.Log(output, OverStrings(it.FilterTestFiles), OverStrings(FilterNBDExports))
	return output
}
