//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/internal/testing/qemutest"
	"github.com/goqmp/qmp/internal/testing/transcripts"
)

// build builds the C library and returns its file.
func build(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"python3", "gcc"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		qemutest.Lacks(t, "%s is missing ('make qemu' installs it)", program)
	}
	library := filepath.Join(t.TempDir(), "libgoqmp.so")
	cmd := exec.Command("go", "build", "-tags", "pybridge", "-buildmode=c-shared", "-o", library, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return library
}

// A python is a process that runs python/tests/calls.py.
type python struct {
	conn *net.UnixConn

	mu      sync.Mutex // guards the fields below
	last    int        // the last number that was given to an object or a request
	answers map[int]chan transcripts.Object
	err     error // why there are no more answers

	writing sync.Mutex // held for each write, so that lines are whole
}

// startPython starts the process with the module of a generation. When the test ends,
// the process has to end without an object or a call that is left.
func startPython(t *testing.T, library, generation string) *python {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-B", "python/tests/calls.py", "3")
	cmd.Env = append(os.Environ(), "PYTHONPATH=python/"+generation, "GOQMP_LIBRARY="+library)
	cmd.ExtraFiles = []*os.File{theirs}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &python{conn: conn.(*net.UnixConn), answers: make(map[int]chan transcripts.Object)}
	go p.read()
	t.Cleanup(func() {
		p.conn.CloseWrite()
		if err := cmd.Wait(); err != nil {
			t.Errorf("python: %v", err)
		}
		p.conn.Close()
		if !strings.HasPrefix(out.String(), `{"objects": 0, "calls": 0, `) {
			t.Errorf("python says at its end: %s", &out)
		}
		if errs.Len() > 0 {
			t.Errorf("python says on stderr:\n%s", &errs)
		}
	})
	return p
}

// next returns a number that was not given before.
func (p *python) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	return p.last
}

// read takes all answers to the calls that wait for them.
func (p *python) read() {
	in := bufio.NewReaderSize(p.conn, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		var answer transcripts.Object
		if err == nil {
			var v any
			v, err = transcripts.Parse(line)
			answer, _ = v.(transcripts.Object)
		}
		p.mu.Lock()
		if err != nil {
			p.err = fmt.Errorf("python has ended: %w", err)
			for _, waiting := range p.answers {
				close(waiting)
			}
			clear(p.answers)
			p.mu.Unlock()
			return
		}
		number, _ := answer.Get("n")
		n, _ := strconv.Atoi(string(number.(transcripts.Number)))
		p.answers[n] <- answer // has room for it
		delete(p.answers, n)
		p.mu.Unlock()
	}
}

// call makes one call of an object. If conn is not nil, Python gets its descriptor.
func (p *python) call(object int, name string, args transcripts.Object, conn net.Conn) (any, error) {
	if args == nil {
		args = transcripts.Object{}
	}
	n := p.next()
	answer := make(chan transcripts.Object, 1)
	p.mu.Lock()
	if p.err != nil {
		defer p.mu.Unlock()
		return nil, p.err
	}
	p.answers[n] = answer
	p.mu.Unlock()

	request := transcripts.Object{
		{Name: "n", Value: transcripts.Number(strconv.Itoa(n))},
		{Name: "object", Value: transcripts.Number(strconv.Itoa(object))},
		{Name: "call", Value: name},
		{Name: "args", Value: transcripts.Compact(args)},
		{Name: "socket", Value: conn != nil},
	}
	if err := p.write([]byte(transcripts.Compact(request)+"\n"), conn); err != nil {
		return nil, err
	}
	got, ok := <-answer
	if !ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, p.err
	}
	if r, ok := got.Get("raises"); ok {
		raises, err := transcripts.NewRaises(r)
		return nil, errors.Join(err, &exception{*raises})
	}
	value, _ := got.Get("returns")
	return value, nil
}

// write writes a line, and a copy of conn's descriptor with it.
func (p *python) write(line []byte, conn net.Conn) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if conn != nil {
		f, err := conn.(*net.UnixConn).File()
		if err != nil {
			return err
		}
		defer f.Close()
		n, _, err := p.conn.WriteMsgUnix(line, syscall.UnixRights(int(f.Fd())), nil)
		if err != nil {
			return err
		}
		line = line[n:]
	}
	_, err := p.conn.Write(line)
	return err
}

// An exception is one that a call has raised in Python.
type exception struct{ raises transcripts.Raises }

func (e *exception) Error() string { return e.raises.String() + ": " + e.raises.Message }
