package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/compat/machine"
	"github.com/goqmp/qmp/internal/testing/guest"
)

// A guestSystem is a guest with an agent.
type guestSystem struct {
	what  string
	agent string                      // the address of its agent
	real  bool                        // not simulated
	await func(context.Context) error // waits until it has shut down
	stop  func()                      // ends it
}

// start boots the guest of the tests. If that is missing, or with simulate, it starts a
// simulated agent.
func start(ctx context.Context, simulate bool) (*guestSystem, error) {
	binary, err := exec.LookPath(cmp.Or(os.Getenv("QMP_TEST_QEMU"), "qemu-system-x86_64"))
	if simulate || err != nil {
		return simulated()
	}
	dir, err := os.MkdirTemp("", "a") // mode 0700
	if err != nil {
		return nil, err
	}
	vm, err := boot(ctx, binary, dir)
	if err != nil {
		os.RemoveAll(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return simulated()
	}
	return vm, err
}

// boot boots the guest of the tests. dir is for its files.
func boot(ctx context.Context, binary, dir string) (*guestSystem, error) {
	args, err := guest.Build(dir, guest.Options{Agent: true})
	if err != nil {
		return nil, err
	}
	addr := filepath.Join(dir, "qga")
	args = append(args, guest.AgentArgs("agent")...)
	args = append(args, "-chardev", "socket,id=agent,path="+addr+",server=on,wait=off")
	m := machine.New(binary, &machine.Options{Args: args})
	if err := m.Launch(ctx); err != nil {
		return nil, err
	}
	await := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := m.Wait(ctx)
		return err
	}
	stop := func() {
		m.Kill()
		os.RemoveAll(dir)
	}
	return &guestSystem{what: "Linux in QEMU", agent: addr, real: true, await: await, stop: stop}, nil
}

// simulated starts a simulated agent.
func simulated() (*guestSystem, error) {
	s, err := qmptest.NewServer(&qmptest.Options{NoGreeting: true})
	if err != nil {
		return nil, err
	}
	frozen := false
	output := make(map[int]map[string]any) // by process
	handlers := map[string]func(cmd *qmptest.Command) (any, error){
		"guest-get-osinfo": func(*qmptest.Command) (any, error) { return map[string]any{"kernel-release": "simulated"}, nil },
		"guest-exec": func(cmd *qmptest.Command) (any, error) {
			var args struct{ Path string }
			err := cmd.Decode(&args)
			pid := len(output) + 1
			output[pid] = map[string]any{"exited": true, "exitcode": 0, "out-data": encode("HELLO FROM THE HOST")}
			if args.Path != "tr" {
				output[pid] = map[string]any{"exited": true, "exitcode": 1, "err-data": encode("it is only simulated\n")}
			}
			return map[string]int{"pid": pid}, err
		},
		"guest-exec-status": func(cmd *qmptest.Command) (any, error) {
			var args struct{ PID int }
			err := cmd.Decode(&args)
			return output[args.PID], err
		},
		"guest-fsfreeze-freeze": func(*qmptest.Command) (any, error) { frozen = true; return 1, nil },
		"guest-fsfreeze-thaw":   func(*qmptest.Command) (any, error) { frozen = false; return 1, nil },
		"guest-fsfreeze-status": func(*qmptest.Command) (any, error) {
			if frozen {
				return "frozen", nil
			}
			return "thawed", nil
		},
		"guest-shutdown": func(cmd *qmptest.Command) (any, error) { return nil, nil },
	}
	for name, handle := range handlers {
		s.Handle(name, func(_ context.Context, cmd *qmptest.Command) (any, error) { return handle(cmd) })
	}
	return &guestSystem{
		what: "simulated", agent: s.Addr(),
		await: func(context.Context) error { return nil },
		stop:  func() { s.Close() },
	}, nil
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
