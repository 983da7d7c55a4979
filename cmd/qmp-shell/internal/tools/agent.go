package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goqmp/qmp/async/agent"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
	"github.com/goqmp/qmp/qapi/qga"
)

// A GuestInfo is what an agent tells about itself and its guest.
type GuestInfo struct {
	Version  string           `json:"version"` // of the agent
	HostName string           `json:"host-name,omitempty"`
	OS       *qga.GuestOSInfo `json:"os,omitempty"`
	Commands []string         `json:"commands"`           // those that it executes
	Disabled []string         `json:"disabled,omitempty"` // those that it has, and does not execute
}

// AgentInfo asks an agent about itself and its guest. What the agent refuses to tell is
// left out.
func AgentInfo(ctx context.Context, a *agent.Client) (GuestInfo, error) {
	info := GuestInfo{Version: a.Version(), Commands: []string{}}
	commands := a.Commands()
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		if commands[name].Enabled {
			info.Commands = append(info.Commands, name)
		} else {
			info.Disabled = append(info.Disabled, name)
		}
	}
	os, err := qga.GuestGetOsinfo(ctx, a)
	if err := optional(err); err != nil {
		return info, err
	}
	info.OS = os
	name, err := qga.GuestGetHostName(ctx, a)
	if err := optional(err); err != nil {
		return info, err
	}
	if name != nil {
		info.HostName = name.HostName
	}
	return info, nil
}

// optional returns err unless it says that the agent does not do what it was asked.
func optional(err error) error {
	if _, ok := errors.AsType[*agent.DisabledError](err); ok || refused(err) {
		return nil
	}
	return err
}

// A Program is what AgentExec runs in the guest.
type Program struct {
	Args     []string // the program and its arguments
	Env      []string // NAME=VALUE; none is the agent's environment
	Dir      string   // "" is that of the agent
	Buffered bool     // pass the input before the start and the output after the end
}

// killTime is how long AgentExec tries to end the program in the guest, when it is to end
// itself.
const killTime = 5 * time.Second

// AgentExec runs a program in the guest. If ctx ends, it ends the program in the guest. The
// error is an *agent.ExitError if the program did not exit with status 0.
func AgentExec(ctx context.Context, a *agent.Client, p Program, stdin io.Reader, stdout, stderr io.Writer) error {
	cmd := a.Command(ctx, p.Args[0], p.Args[1:]...)
	cmd.Env, cmd.Dir = p.Env, p.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Stream = !p.Buffered
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	if err != nil && ctx.Err() != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
		defer cancel()
		if killErr := cmd.Signal(ctx, "TERM"); killErr != nil {
			err = fmt.Errorf("%w; the program goes on in the guest: %w", err, killErr)
		}
	}
	return err
}

// AgentCat copies a file of the guest to w.
func AgentCat(ctx context.Context, a *agent.Client, name string, w io.Writer) error {
	f, err := a.Open(ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// AgentPut copies the file local, or stdin if that is "-", to the guest. If the guest's name
// ends in a slash, the file gets the name that it has here.
func AgentPut(ctx context.Context, a *agent.Client, local, guest string, stdin io.Reader) (int64, error) {
	if local == "-" {
		if strings.HasSuffix(guest, "/") {
			return 0, fmt.Errorf("%s: the standard input needs the name of a file in the guest", guest)
		}
		f, err := a.Create(ctx, guest)
		if err != nil {
			return 0, err
		}
		n, err := f.ReadFrom(stdin)
		return n, errors.Join(err, f.Close())
	}
	f, err := os.Open(local)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s is not a regular file; - is the standard input", local)
	}
	if strings.HasSuffix(guest, "/") {
		guest += filepath.Base(local)
	}
	copied, err := a.CopyIn(ctx, guest, f, info.Size(), nil)
	return copied.Size, err
}

// AgentGet copies a file of the guest to the file local, or to stdout if that is "-". If
// local is a folder, the file gets the name that it has in the guest.
//
// A regular file is replaced when all was copied, and a new one is made then: after an error
// there is what was there before. Anything else, such as a device, is written to. A symbolic
// link stays, and the file that it points to is replaced.
func AgentGet(ctx context.Context, a *agent.Client, guest, local string, stdout io.Writer) (int64, error) {
	if local == "-" {
		counter := &counter{w: stdout}
		err := AgentCat(ctx, a, guest, counter)
		return counter.n, err
	}
	if info, err := os.Stat(local); err == nil && info.IsDir() {
		local = filepath.Join(local, path.Base(guest))
	}
	if target, err := filepath.EvalSymlinks(local); err == nil {
		local = target
	}
	old, err := os.Stat(local)
	if err == nil && !old.Mode().IsRegular() {
		f, err := os.OpenFile(local, os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		counter := &counter{w: f}
		err = AgentCat(ctx, a, guest, counter)
		return counter.n, errors.Join(err, f.Close())
	}
	// os.CreateTemp would make the file for the owner only. Here the umask decides.
	temporary := fmt.Sprintf("%s.%016x", local, rand.Uint64())
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, err
	}
	defer os.Remove(temporary)
	if old != nil {
		err = f.Chmod(old.Mode().Perm())
	}
	var copied agent.Copied
	if err == nil {
		copied, err = a.CopyOut(ctx, f, guest, nil)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return copied.Size, os.Rename(temporary, local)
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// AgentList prints the files in a folder of the guest, or a file: mode, size, time and name.
func AgentList(ctx context.Context, a *agent.Client, name string, w io.Writer) error {
	files := a.FS(ctx, "/")
	name = path.Clean("/" + name)[1:]
	if name == "" {
		name = "."
	}
	info, err := fs.Stat(files, name)
	if err != nil {
		return err
	}
	infos := []fs.FileInfo{info}
	if info.IsDir() {
		entries, err := fs.ReadDir(files, name)
		if err != nil {
			return err
		}
		infos = nil
		for _, entry := range entries {
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // it was removed meanwhile
			}
			if err != nil {
				return err
			}
			infos = append(infos, info)
		}
	}
	for _, info := range infos {
		if _, err := fmt.Fprintf(w, "%s %12d %s %s\n", info.Mode(), info.Size(), info.ModTime().Format("2006-01-02 15:04"), strings.ReplaceAll(output.Text(info.Name()), "\n", `\x0a`)); err != nil {
			return err
		}
	}
	return nil
}
