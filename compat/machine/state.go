package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A State identifies the process of a detached machine. Another program, or a later
// run of the same program, adopts the process with it. A State can be stored as JSON;
// the names in the JSON do not change in later versions.
//
//	m := machine.New(binary, &machine.Options{Detached: true, TempDir: "/run/manager"})
//	if err := m.Launch(ctx); err != nil {
//		return err
//	}
//	state, err := m.State() // to be stored
//
// and later, perhaps in another program:
//
//	m := machine.New(binary, &machine.Options{Detached: true, TempDir: "/run/manager"})
//	err := m.Adopt(ctx, state)
//
// Launch also writes it to the file state.json in the machine's directory, as soon as
// the process was started. If a program ends before it has stored the State, its
// successor finds the file there, as TempDir/*/state.json. A monitor that was not
// connected yet waits for the successor.
//
// The process is identified by its id and the time at which it was started. Adopt
// does not check the paths: store a State where nobody else can write.
//
// A service manager may kill all processes of a service when it stops the service.
// For systemd, set KillMode=process, or use systemd-run --scope as the Wrapper.
type State struct {
	Name      string   `json:"name"`         // the machine's name
	PID       int      `json:"pid"`          // the process's id, or its wrapper's
	Started   uint64   `json:"started"`      // when the process was started, in clock ticks since the boot
	Boot      string   `json:"boot"`         // the id of that boot
	Namespace string   `json:"pidNamespace"` // the PID namespace in which PID is valid
	Args      []string `json:"args"`         // the whole command line
	Dir       string   `json:"dir"`          // the machine's directory
	Sockets   string   `json:"sockets"`      // the directory of its sockets; the same unless the path of Dir is long
	Monitor   string   `json:"monitor"`      // the path of the monitor's socket
	Log       string   `json:"log"`          // the file of the log
	LogFrom   int64    `json:"logFrom"`      // the offset in that file at which the log begins, in bytes
}

// ErrGone says that the process of a [State] has ended. Its id may be that of another
// process by now.
var ErrGone = errors.New("the process has ended")

// stateFile is the name of the file in the machine's directory.
const stateFile = "state.json"

// saveState writes the state of a process that was just started to the file
// state.json.
func (r *run) saveState(p *place) error {
	log, ok := r.log.(*directLog)
	if !ok {
		return errors.New("the process is not detached")
	}
	id, err := identify(r.process.pid)
	if err != nil {
		return fmt.Errorf("the detached process: %w", err)
	}
	id.Name, id.Args, id.Monitor = r.machine.opts.Name, r.argv, r.monitor
	id.Dir, id.Sockets, id.Log, id.LogFrom = p.dir.path, p.sockets.path, log.path, log.from
	text, err := json.MarshalIndent(id, "", "\t")
	if err != nil {
		return err
	}
	r.state = &id
	// The file is complete as soon as it has its name.
	const unnamed = stateFile + ".new"
	if err := p.dir.root.WriteFile(unnamed, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return p.dir.root.Rename(unnamed, stateFile)
}

// State returns what another program needs to adopt the machine. The error is
// [ErrNotRunning], or says that the machine is not detached (Options.Detached).
func (m *Machine) State() (State, error) {
	if !m.opts.Detached {
		return State{}, fmt.Errorf("machine %s: state: %w", m.opts.Name, errNotDetached)
	}
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r == nil {
		return State{}, fmt.Errorf("machine %s: state: %w", m.opts.Name, ErrNotRunning)
	}
	<-r.launched
	if r.failed || r.state == nil {
		return State{}, fmt.Errorf("machine %s: state: %w", m.opts.Name, ErrNotRunning)
	}
	return *r.state, nil
}

var errNotDetached = errors.New("the machine is not detached: machine.Options.Detached has to be set before New")

// find returns a handle of the process. It makes sure that the handle is not of
// another process with the same id. The error matches ErrGone if the process has
// ended.
func (s State) find() (*handle, error) {
	now, err := identify(os.Getpid())
	switch {
	case err != nil:
		return nil, err
	case now.Boot != s.Boot:
		return nil, fmt.Errorf("%w: the system was started again since", ErrGone)
	case now.Namespace != s.Namespace:
		return nil, fmt.Errorf("process %d is of another PID namespace (%s, this is %s)", s.PID, s.Namespace, now.Namespace)
	}
	// First open the handle, then check: if the id is the right process's now, it was
	// so when the handle was opened, because a process never gets its id back.
	h, err := openHandle(s.PID)
	if errors.Is(err, errNoProcess) {
		return nil, fmt.Errorf("%w: there is no process %d", ErrGone, s.PID)
	}
	if err != nil {
		return nil, err
	}
	id, err := identify(s.PID)
	switch {
	case err == nil && id.Started != s.Started:
		err = fmt.Errorf("%w: process %d is another one, which was started later", ErrGone, s.PID)
	case errors.Is(err, fs.ErrNotExist), err == nil && h.hasEnded():
		err = ErrGone
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// Remove removes the directories of a detached machine whose process has ended while
// no program had the machine. A log that is elsewhere (Options.LogFile) stays. It is
// an error if the process still runs. It is not an error if the directories do not
// exist any more.
func (s State) Remove() error {
	h, err := s.find()
	if err == nil {
		h.close()
		return fmt.Errorf("machine %s: its process %d still runs: adopt it, and shut it down", s.Name, s.PID)
	}
	if !errors.Is(err, ErrGone) {
		return fmt.Errorf("machine %s: %w", s.Name, err)
	}
	p, err := openPlace(s.Dir, s.Sockets)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = p.remove()
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w", s.Name, err)
	}
	return nil
}
