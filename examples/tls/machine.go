package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"

	"github.com/goqmp/qmp/async/qmptest"
)

// startQEMU starts QEMU with a TLS monitor at a loopback port, and returns its address.
// dir has the certificates. A QEMU of another host would have the options host= and
// port= in place of fd=; here QEMU inherits the listening socket, so that the port is
// certainly free and a client need not wait.
func startQEMU(ctx context.Context, binary, dir string) (addr string, stop func(), err error) {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return "", nil, err
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	ctx, kill := context.WithCancel(ctx)
	qemu := exec.CommandContext(ctx, binary, "-machine", "none", "-display", "none",
		"-object", "tls-creds-x509,id=tls0,endpoint=server,verify-peer=on,dir="+dir,
		"-chardev", "socket,id=mon,fd=3,server=on,wait=off,tls-creds=tls0",
		"-mon", "chardev=mon,mode=control")
	qemu.Stderr, qemu.ExtraFiles = os.Stderr, []*os.File{f}
	if err := qemu.Start(); err != nil {
		kill()
		return "", nil, err
	}
	return ln.Addr().String(), func() { kill(); qemu.Wait() }, nil
}

// startSimulated starts a simulated machine, and a proxy that speaks TLS before it.
func startSimulated(config *tls.Config) (addr string, stop func(), err error) {
	server, err := qmptest.NewServer(&qmptest.Options{Network: qmptest.Memory})
	if err != nil {
		return "", nil, err
	}
	ln, err := tls.Listen("tcp", "localhost:0", config)
	if err != nil {
		server.Close()
		return "", nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { relay(conn, server) })
		}
	})
	return ln.Addr().String(), func() { ln.Close(); server.Close(); wg.Wait() }, nil
}

// relay copies everything between conn and the server, until one of them ends.
func relay(conn net.Conn, server *qmptest.Server) {
	defer conn.Close()
	// As QEMU does, it checks the client's certificate before it greets.
	if err := conn.(*tls.Conn).Handshake(); err != nil {
		return
	}
	inner, err := server.Dial(context.Background())
	if err != nil {
		return
	}
	defer inner.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(conn, inner)
		conn.Close()
	}()
	io.Copy(inner, conn)
	inner.Close()
	<-back
}

// find returns the path of QEMU, or "" if the machine is to be simulated.
func find(simulate bool) (string, error) {
	binary := os.Getenv("QMP_TEST_QEMU")
	if binary == "" {
		binary = "qemu-system-x86_64"
	}
	if simulate {
		return "", nil
	}
	path, err := exec.LookPath(binary)
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	return path, err
}
