package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine describes the computer, the program and the date, for a page.
func machine(ctx context.Context) string {
	cpu := "an unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	text := fmt.Sprintf("%s, %d processors, %s/%s, %s, %s", cpu, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	if commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		text += ", commit " + strings.TrimSpace(string(commit))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		before, _, _ := bytes.Cut(load, []byte(" "))
		text += fmt.Sprintf(", load average %s", before)
	}
	return text
}

// replace puts text into a page, in place of what stands between the comments
// "bench NAME" and "end of bench NAME".
func replace(page []byte, name, text string) ([]byte, error) {
	begin, end := fmt.Sprintf("<!-- bench %s -->\n", name), fmt.Sprintf("<!-- end of bench %s -->\n", name)
	i, j := bytes.Index(page, []byte(begin)), bytes.Index(page, []byte(end))
	if i < 0 || j < i {
		return nil, fmt.Errorf("the page has no lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return fmt.Appendf(nil, "%s\n%s\n\n%s", page[:i+len(begin)], strings.TrimSpace(text), page[j:]), nil
}

// write puts the table of a group into the file.
func write(ctx context.Context, file, name, table string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err = replace(page, name, strings.TrimSpace(table)+"\n\n("+machine(ctx)+")")
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, page, 0o644)
}
