package machine_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat/machine"
)

// newFake returns a machine whose program is this test binary, in a mode of
// playFake.
func newFake(t testing.TB, mode string, opts machine.Options) *machine.Machine {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opts.Env = append(opts.Env, fakeMode+"="+mode)
	if opts.Name == "" {
		opts.Name = mode
	}
	return machine.ForTest(t, exe, &opts)
}

// moreFakes are modes that do not exist on every system.
var moreFakes = map[string]func(args []string){}

// playFake plays a program that a machine has started.
func playFake(mode string, args []string) {
	if play := moreFakes[mode]; play != nil {
		play(args)
		return
	}
	switch mode {
	case "exit": // at once, without a word
		os.Exit(3)
	case "complain":
		fmt.Println("reading the configuration")
		fmt.Fprintln(os.Stderr, "fake: no such disk")
		os.Exit(1)
	case "die": // by a signal
		die()
	case "silent": // never opens its monitor
		fmt.Println("thinking")
		select {}
	case "hello": // has no monitor
		fmt.Println(strings.Join(args, "\n"))
		return
	case "stolid": // has no monitor and does not end
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("here")
		select {}
	case "parent":
		playParent(args)
	case "wrapper": // stays, as the parent of what it wraps
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), fakeMode+"=qmp")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		signal.Ignore(syscall.SIGTERM) // leaves it to what it wraps
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "wrapper:", err)
			os.Exit(99)
		}
	case "garbage":
		conn, err := openMonitor(args)
		check(err)
		_, err = io.WriteString(conn, "BIOS 1.0\n")
		check(err)
		select {}
	case "hangup": // before it has greeted, and stays
		conn, err := openMonitor(args)
		check(err)
		check(conn.Close())
		select {}
	default:
		playQMP(mode, args)
	}
}

// playQMP plays a program with a monitor.
func playQMP(mode string, args []string) {
	s, err := qmptest.NewServer(&qmptest.Options{Network: qmptest.Memory, NoOOB: true})
	check(err)
	s.Handle("crash", func(context.Context, *qmptest.Command) (any, error) {
		fmt.Fprintln(os.Stderr, "assertion failed")
		die()
		return nil, nil
	})
	s.Handle("emit", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args struct{ Names []string }
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		for i, name := range args.Names {
			if err := s.Emit(name, map[string]any{"n": i}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	var leave chan struct{} // closed to hang up
	switch mode {
	case "qmp", "exit7":
	case "deaf": // answers quit, and nothing else ends it
		signal.Ignore(syscall.SIGTERM)
		s.Handle("quit", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	case "stubborn": // answers quit, and ends at SIGTERM
		s.Handle("quit", func(context.Context, *qmptest.Command) (any, error) { return nil, nil })
	case "mute": // does not answer quit
		s.Handle("quit", func(ctx context.Context, _ *qmptest.Command) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	case "leave": // closes its monitor in the middle, and stays
		leave = make(chan struct{})
		s.Handle("leave", func(context.Context, *qmptest.Command) (any, error) { close(leave); return nil, nil })
	default:
		if !playGuest(s, mode) {
			fmt.Fprintln(os.Stderr, "fake: no mode", mode)
			os.Exit(98)
		}
	}
	conn, err := openMonitor(args)
	check(err)
	conn = endsAfterReply{conn}
	served := make(chan struct{})
	go func() {
		serve(s, conn)
		close(served)
	}()
	select {
	case <-s.Done():
		<-served // including what it sends last
	case <-leave:
		conn.Close()
		select {}
	}
	if mode == "exit7" {
		os.Exit(7)
	}
}

// openMonitor opens the monitor in the way that the command line asks for.
func openMonitor(args []string) (net.Conn, error) {
	for _, arg := range args {
		where, ok := strings.CutPrefix(arg, "socket,id=machine-monitor,")
		if !ok {
			continue
		}
		if fd, ok := strings.CutPrefix(where, "fd="); ok {
			n, err := strconv.Atoi(fd)
			check(err)
			f := os.NewFile(uintptr(n), "monitor")
			defer f.Close()
			return net.FileConn(f)
		}
		path, listen := strings.CutSuffix(strings.TrimPrefix(where, "path="), ",server=on,wait=on")
		path = strings.ReplaceAll(path, ",,", ",")
		if !listen {
			return net.Dial("unix", path)
		}
		l, err := net.Listen("unix", path)
		check(err)
		return l.Accept()
	}
	return nil, fmt.Errorf("no monitor among %q", args)
}

// serve connects a client to the server, and returns when the connection has ended.
func serve(s *qmptest.Server, client net.Conn) {
	server, err := s.Dial(context.Background())
	check(err)
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
	client.Close()
}

// die ends this process by SIGKILL.
func die() {
	p, err := os.FindProcess(os.Getpid())
	check(err)
	check(p.Kill())
	select {}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake:", err)
		os.Exit(97)
	}
}
