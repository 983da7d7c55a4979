package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A State says which process a detached machine is, for another program, or a
// later run of the same one, to adopt it. It can be stored as JSON; the names in
// there stay.
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
// The same is in the file state.json in the machine's directory, from the moment
// at which the process was started: a program that ends before it has stored the
// state can find what it has lost.
//
// The process is identified by its number and the time at which it was started.
// Its paths are taken as they are: store a State where nobody else can write.
//
// A service manager may end all processes of a service together. For systemd, set
// KillMode=process, or have the Wrapper systemd-run --scope.
type State struct {
	Name      string   `json:"name"`         // the machine's
	PID       int      `json:"pid"`          // the process's, or its wrapper's
	Started   uint64   `json:"started"`      // when, in clock ticks since the system's start
	Boot      string   `json:"boot"`         // the id of that start
	Namespace string   `json:"pidNamespace"` // where PID is valid
	Args      []string `json:"args"`         // the whole command line
	Dir       string   `json:"dir"`          // the machine's directory
	Sockets   string   `json:"sockets"`      // that of its sockets; mostly the same
	Monitor   string   `json:"monitor"`      // the monitor's socket
	Log       string   `json:"log"`          // the file of its log
	LogFrom   int64    `json:"logFrom"`      // where in there its log begins
}

// ErrGone says that the process of a [State] has ended. Its number may be free, or
// another process's by now.
var ErrGone = errors.New("the process has ended")

// stateFile is the name of the file in the machine's directory.
const stateFile = "state.json"

// saveState writes the state of a process that was just started into its place.
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
	return p.dir.root.WriteFile(stateFile, append(text, '\n'), 0o600)
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

// find returns a handle for the process, which it is certain to be. The error
// matches ErrGone if the process has ended.
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
	// First the handle, then the question whose it is: once the number is
	// another's, it never is this process's again.
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

// Remove removes the directories of a machine whose process has gone without
// anybody who could do so. A log elsewhere (Options.LogFile) stays. It is an error
// if the process still runs. Directories that have gone are not an error.
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
