package iotests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// children returns the child processes of this process, zombies included.
func children() []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []string
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // the process has ended in the meantime
		}
		// The line is "pid (name) state ppid ...", where the name may have any character.
		line := string(text)
		var state string
		var parent int
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ')')+1:], &state, &parent); err == nil && parent == os.Getpid() {
			all = append(all, line[:strings.LastIndexByte(line, ')')+1])
		}
	}
	return all
}

// running reports whether a process exists and is not a zombie.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}
