package catalog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/qapi"
)

// history says why a server does not have a part of the schema that some release has, or
// "". key is as in [qapi.Since].
func (s *server) history(key string) string {
	since, until := qapi.Since(key), qapi.Until(key)
	this := "this QEMU"
	if s.version != "" {
		this += " is " + s.version
	}
	switch {
	case since == "" || s.program != "QEMU":
		return ""
	case until != "" && !older(s.version, until):
		return fmt.Sprintf("the last release that has it is %s, and %s", until, this)
	case s.version == "":
		return "it is there since QEMU " + since
	case older(s.version, since):
		return fmt.Sprintf("%s, which is too old: it is there since %s", this, since)
	}
	return fmt.Sprintf("it is there since %s, but not in every build of QEMU", since)
}

// older reports whether a version, such as "7.2.22", is older than a release, such as
// "8.2". An unknown version is not older.
func older(version, release string) bool {
	v, r := strings.Split(version, "."), strings.Split(release, ".")
	for i := range min(len(v), len(r)) {
		x, xErr := strconv.Atoi(v[i])
		y, yErr := strconv.Atoi(r[i])
		if xErr != nil || yErr != nil || x == y {
			continue
		}
		return x < y
	}
	return false
}

// subkey returns the key of a member in package qapi's table of releases.
func subkey(key string, m member) string {
	if m.branch != "" {
		key += ".[" + m.branch + "]"
	}
	return key + "." + m.name
}

// didYouMean returns ": did you mean NAME?" for the nearest of names, or "".
func didYouMean(name string, names []string) string {
	if nearest := nearest(name, names); nearest != "" {
		return fmt.Sprintf(": did you mean %s?", nearest)
	}
	return ""
}

// nearest returns the one of names that name was probably meant to be, or "".
func nearest(name string, names []string) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }
	folded := fold(name)
	best, least := "", 1+max(1, len(folded)/3)
	for _, candidate := range names {
		d := distance(folded, fold(candidate))
		if d < least || d == least && likeness(folded, fold(candidate)) > likeness(folded, fold(best)) {
			best, least = candidate, d
		}
	}
	if best != "" || len(name) < 3 {
		return best
	}
	for _, candidate := range names {
		if strings.HasPrefix(fold(candidate), folded) || strings.HasSuffix(fold(candidate), "-"+folded) {
			return candidate
		}
	}
	return ""
}

// likeness decides between candidates at the same distance: one that goes on after what was
// typed comes first, then one of the same length, in which two characters were exchanged.
func likeness(typed, candidate string) int {
	switch {
	case strings.HasPrefix(candidate, typed):
		return 2
	case len(candidate) == len(typed):
		return 1
	}
	return 0
}

// distance returns how many characters must be added, removed, replaced, or exchanged
// with the next one, to make b of a (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

// some returns names in a list, shortened.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// article returns a name of a type with its article.
func article(name string) string {
	switch {
	case name == "null":
		return name
	case strings.HasPrefix(name, "["):
		return "a list " + name
	case strings.IndexByte("aeiou", name[0]) >= 0:
		return "an " + name
	}
	return "a " + name
}

// valueName names a value for a person: "the number 5".
func valueName(raw jsontext.Value) string {
	text := string(raw)
	if len(text) > 40 {
		text = strings.ToValidUTF8(text[:40], "") + "..."
	}
	switch raw.Kind() {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "the string " + text
	case 't', 'f':
		return "the bool " + text
	case 'n':
		return "null"
	}
	return "the number " + text
}

// textOf returns the text of a JSON string.
func textOf(raw jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return ""
	}
	return string(b)
}
