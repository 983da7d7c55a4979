package qemutest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
)

func TestFreezeAndThaw(t *testing.T) {
	vm := Machine(t, "-object", "iothread,id=another", "-qmp", "unix:qmp,server=on")
	dial := func() (conn net.Conn, err error) {
		return conn, backoff.Retry(func() error {
			conn, err = net.Dial("unix", vm.Path("qmp"))
			return err
		}, backoff.WithContext(backoff.NewConstantBackOff(DialEvery), Context(t)))
	}
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	vm.Freeze(t)
	conn, err = dial() // the system makes the connection; the frozen QEMU does not accept it
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes of a frozen process, %v", n, err)
	}
	vm.Thaw(t)
	conn.SetReadDeadline(time.Now().Add(Patience))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("read of a thawed process: %v", err)
	}
}

func TestSameFileAndHolds(t *testing.T) {
	dir := Dir(t)
	var files []*os.File
	for i := range 2 {
		f, err := os.Create(fmt.Sprintf("%s/f%d", dir, i))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	p := Start(t, Command{Program: QEMU, Args: []string{"-nodefaults", "-machine", "none", "-display", "none"}, Files: files[:1]})
	if !p.SameFile(t, 3, files[0].Name()) {
		t.Error("SameFile is false for the file that was passed as descriptor 3")
	}
	if p.SameFile(t, 3, files[1].Name()) {
		t.Error("SameFile is true for another file")
	}
	if n := p.Holds(t, files[0].Name()); n != 1 {
		t.Errorf("Holds is %d for the passed file, want 1", n)
	}
	if n := p.Holds(t, files[1].Name()); n != 0 {
		t.Errorf("Holds is %d for a file that was not passed, want 0", n)
	}
}
