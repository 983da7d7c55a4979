package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A tree is a folder with QEMU's tests, in which they find one of the libraries.
type tree struct {
	top     string   // as in QEMU's source: python, tests/qemu-iotests
	scratch string   // for images
	sockets string   // for sockets; short, since their paths have at most 107 bytes
	env     []string // of the tests
	python  string
	program string // the wrapper of QEMU
}

// A setup is one version of QEMU with its tests.
type setup struct {
	version   string // such as "7.2"
	pkg       string // Debian's package of the programs
	tests     string // Debian's package of the tests
	own, ours *tree
	dir       string // removed by close
}

// prepare fetches a version of QEMU and its tests, and makes a tree for each library.
func prepare(version, bridge, python string) (*setup, error) {
	s := &setup{version: version}
	var bin string
	if version == "system" {
		program, err := exec.LookPath(wrapped)
		if err != nil {
			return nil, err
		}
		bin = filepath.Dir(program)
		words, err := exec.Command(program, "--version").Output()
		if err != nil {
			return nil, err
		}
		_, line, _ := strings.Cut(strings.SplitN(string(words), "\n", 2)[0], "version ")
		number, pkg, _ := strings.Cut(line, " ")
		parts := strings.SplitN(number, ".", 3)
		if len(parts) < 2 {
			return nil, fmt.Errorf("%s does not tell its version: %s", program, words)
		}
		s.version, s.pkg = parts[0]+"."+parts[1], strings.Trim(strings.TrimPrefix(pkg, "(Debian "), "()")
	} else {
		folder, err := fetch(version)
		if err != nil {
			return nil, err
		}
		bin = folder
		s.version = filepath.Base(filepath.Dir(bin))
		s.pkg = firstLine(filepath.Join(filepath.Dir(bin), "package"))
	}
	source, err := fetch("--tests", s.version)
	if err != nil {
		return nil, err
	}
	s.tests = firstLine(filepath.Join(source, "package"))

	s.dir, err = os.MkdirTemp("", "iot")
	if err != nil {
		return nil, err
	}
	if err := s.make(source, bin, bridge, python); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *setup) close() { os.RemoveAll(s.dir) }

// make makes the two trees and the wrapper.
func (s *setup) make(source, bin, bridge, python string) error {
	programs := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(programs, 0o700); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	wrapper := filepath.Join(programs, wrapped)
	if err := os.Symlink(self, wrapper); err != nil {
		return err
	}
	firmware := filepath.Join(s.dir, "halt.bin")
	if err := os.WriteFile(firmware, haltingFirmware(), 0o600); err != nil {
		return err
	}
	env := []string{
		"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8", "USER=" + os.Getenv("USER"),
		envBin + "=" + bin, envFirmware + "=" + firmware,
		"QEMU_PROG=" + wrapper,
		"QEMU_IMG_PROG=" + filepath.Join(bin, "qemu-img"),
		"QEMU_IO_PROG=" + filepath.Join(bin, "qemu-io"),
		"QEMU_NBD_PROG=" + filepath.Join(bin, "qemu-nbd"),
		"QSD_PROG=" + filepath.Join(bin, "qemu-storage-daemon"),
		"GOQMP_LIBRARY=" + filepath.Join(bridge, "libgoqmp.so"),
		"PYTHONDONTWRITEBYTECODE=1",
	}
	help, err := exec.Command(filepath.Join(bin, wrapped), "-object", "help").Output()
	if err != nil {
		return fmt.Errorf("list the objects of QEMU %s: %w", s.version, err)
	}
	if strings.Contains(string(help), "monitor-qmp") {
		env = append(env, envObject+"=1")
	}

	generation := "since-8.2"
	legacy, err := os.ReadFile(filepath.Join(source, "python/qemu/qmp/legacy.py"))
	if err != nil {
		return err
	}
	if strings.Contains(string(legacy), "def command(") {
		generation = "until-8.1"
	}
	for i, t := range []**tree{&s.own, &s.ours} {
		*t = &tree{
			top:     filepath.Join(s.dir, []string{"own", "ours"}[i]),
			scratch: filepath.Join(s.dir, []string{"t1", "t2"}[i]),
			sockets: filepath.Join(s.dir, []string{"s1", "s2"}[i]),
			python:  python, env: env, program: wrapper,
		}
		if err := (*t).link(source); err != nil {
			return err
		}
	}
	// Everything is as in QEMU's tree, except its package qemu.qmp.
	stand := filepath.Join(bridge, generation, "qemu", "qmp")
	qmp := filepath.Join(s.ours.top, "python", "qemu", "qmp")
	if err := os.RemoveAll(qmp); err != nil {
		return err
	}
	return os.Symlink(stand, qmp)
}

// link makes the tree: its own folders, with links to the files of source. (Python
// looks for modules in the folder of the script that a symbolic link leads to.)
func (t *tree) link(source string) error {
	for _, dir := range []string{t.scratch, t.sockets} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for _, part := range []string{"python", "scripts", "tests/qemu-iotests", "tests/functional"} {
		if _, err := os.Stat(filepath.Join(source, part)); err != nil {
			continue // QEMU 7.2 has no functional tests
		}
		err := filepath.WalkDir(filepath.Join(source, part), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(source, name)
			if err != nil {
				return err
			}
			to := filepath.Join(t.top, rel)
			switch {
			case d.IsDir():
				return os.MkdirAll(to, 0o700)
			case d.Type()&fs.ModeSymlink != 0:
				target, err := os.Readlink(name)
				if err != nil {
					return err
				}
				return os.Symlink(target, to)
			}
			if os.Link(name, to) == nil {
				return nil
			}
			return copyFile(name, to)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

// fetch runs qemu-fetch.sh and returns the folder that it prints.
func fetch(args ...string) (string, error) {
	cmd := exec.Command("scripts/qemu-fetch.sh", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/qemu-fetch.sh %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func firstLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
