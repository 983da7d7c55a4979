package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A History has the lines that were entered, in this session and in earlier ones. Its
// methods may be called concurrently.
//
// The file has one entry a line. An entry that has several lines, or that begins with a
// quote, is written as a Go string.
type History struct {
	path string // "" for a history without a file

	mu      sync.Mutex
	entries []string // oldest first; guarded by mu
	err     error    // why entries are not written any more; guarded by mu
}

// mostEntries is how many entries are kept; a file that has twice as many is shortened.
const mostEntries = 2000

// HistoryPath returns the path of the history in the user's state directory:
// $XDG_STATE_HOME/qmp-shell/history, or ~/.local/state/qmp-shell/history. It is "" if
// the user has no home directory.
func HistoryPath(getenv func(string) string) string {
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // the specification says that a relative path is ignored
		home := getenv("HOME")
		if home == "" {
			home, _ = os.UserHomeDir()
		}
		if home == "" {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "qmp-shell", "history")
}

// OpenHistory returns the history in the file at path, which need not exist. With a path
// of "" there is no file. If the file cannot be read, the error says why, and the history
// is one without a file. If a long file cannot be shortened, the error says that, and entries
// are appended to it all the same.
func OpenHistory(path string) (*History, error) { return openHistory(path, shorten) }

// openHistory is OpenHistory; shorten writes a file again.
func openHistory(path string, shorten func(path string, entries []string) error) (*History, error) {
	h := &History{path: path}
	if path == "" {
		return h, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		h.path = ""
		return h, fmt.Errorf("the history is not kept: %w", err)
	}
	defer f.Close()
	lines, err := readHistory(f)
	if err != nil {
		h.path = ""
		return h, fmt.Errorf("the history is not kept: %w", err)
	}
	h.entries = lines[max(len(lines)-mostEntries, 0):]
	if len(lines) > 2*mostEntries {
		if err := shorten(path, h.entries); err != nil {
			return h, fmt.Errorf("the history is not shortened: %w", err)
		}
	}
	return h, nil
}

// readHistory returns the entries of a file.
func readHistory(f *os.File) ([]string, error) {
	var entries []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if text := decodeEntry(lines.Text()); text != "" {
			entries = append(entries, text)
		}
	}
	return entries, lines.Err()
}

// decodeEntry returns the entry that a line of the file stands for.
func decodeEntry(line string) string {
	if strings.HasPrefix(line, `"`) {
		if text, err := strconv.Unquote(line); err == nil {
			line = text
		}
	}
	return strings.TrimSpace(clean(line))
}

// encodeEntry returns the line of the file for an entry.
func encodeEntry(text string) string {
	if strings.HasPrefix(text, `"`) || strings.ContainsRune(text, '\n') {
		return strconv.Quote(text)
	}
	return text
}

// Add appends an entry, which the caller has freed from secrets. An entry that is empty,
// or the same as the last one, is not added.
//
// The file and its folder are made when the first entry is written, for the owner only.
// The error of a file that cannot be written is returned once; from then on entries are
// kept in memory only.
func (h *History) Add(text string) error {
	text = strings.TrimSpace(clean(text))
	h.mu.Lock()
	defer h.mu.Unlock()
	if text == "" || len(h.entries) > 0 && h.entries[len(h.entries)-1] == text {
		return nil
	}
	h.entries = append(h.entries, text)
	if h.path == "" || h.err != nil {
		return nil
	}
	if h.err = appendLine(h.path, encodeEntry(text)); h.err != nil {
		return fmt.Errorf("the history is not kept: %w", h.err)
	}
	return nil
}

// appendLine appends a line to a file. Shells that run at the same time each append their
// own lines, since a short write to a file that is open for appending is not divided.
func appendLine(path, line string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// The file may have been made by another program, with another mode.
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		_ = f.Chmod(0o600) // it fails if the file is another user's, and then its mode is theirs to choose
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// shorten writes the file again with the newest entries. What another shell appends at the
// same moment is lost.
func shorten(path string, entries []string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".history-*") // of mode 0600
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, text := range entries {
		fmt.Fprintln(w, encodeEntry(text))
	}
	err = errors.Join(w.Flush(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Entries returns all entries, oldest first.
func (h *History) Entries() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.entries)
}

// A browser goes through the entries of a history. Where the person began, the browser
// keeps what was typed there.
type browser struct {
	entries []string // as they were when it began; nil while it is not in use
	at      int      // which entry is shown; len(entries) is what was typed
	typed   string
}

// step returns the entry that is n entries newer, or older if n is negative. Only entries
// that begin with what was typed count. ok is false if there is none.
func (b *browser) step(h *History, text string, n int) (entry string, ok bool) {
	if b.entries == nil {
		*b = browser{entries: h.Entries(), typed: text}
		b.at = len(b.entries)
	}
	for at := b.at + n; at >= 0 && at <= len(b.entries); at += n {
		if at == len(b.entries) {
			b.at = at
			return b.typed, true
		}
		if strings.HasPrefix(b.entries[at], b.typed) && b.entries[at] != text {
			b.at = at
			return b.entries[at], true
		}
	}
	return "", false
}

// A search looks for an entry that contains what is typed, as Ctrl-R of other shells.
type search struct {
	entries []string
	query   string
	at      int   // the entry that is shown; len(entries) for none
	failed  bool  // no further entry contains the query
	saved   state // what was typed before
}

// look looks for an entry that contains the query, from the entry from on, to older ones
// if n is -1, to newer ones if it is 1. If there is none, the entry that is shown stays.
func (s *search) look(from, n int) {
	shown := s.shown()
	for at := from; s.query != "" && at >= 0 && at < len(s.entries); at += n {
		if strings.Contains(s.entries[at], s.query) && (at == s.at || s.entries[at] != shown) {
			s.at, s.failed = at, false
			return
		}
	}
	s.failed = s.query != ""
}

// shown returns the entry that the search has found, or "".
func (s *search) shown() string {
	if s.at < len(s.entries) {
		return s.entries[s.at]
	}
	return ""
}
