package proto

import (
	"bytes"
	"slices"
)

// Mask returns a copy of msg, which must be validated JSON, for a log. White
// space is removed. The value of each member with one of the given names, at any
// depth, is replaced by "***".
func Mask(msg []byte, names []string) []byte {
	return AppendMasked(make([]byte, 0, len(msg)), msg, names)
}

// AppendMasked appends to dst what [Mask] returns. Without names it only removes white
// space.
func AppendMasked(dst, msg []byte, names []string) []byte {
	for i := skipSpace(msg, 0); i < len(msg); i = skipSpace(msg, i) {
		if msg[i] != '"' {
			dst = append(dst, msg[i])
			i++
			continue
		}
		end := skipString(msg, i)
		dst = append(dst, msg[i:end]...)
		colon := skipSpace(msg, end)
		if colon == len(msg) || msg[colon] != ':' || !slices.Contains(names, unquoteName(msg[i:end])) {
			i = end
			continue
		}
		dst = append(dst, `:"***"`...)
		i = skipValue(msg, skipSpace(msg, colon+1))
	}
	return dst
}

// ReplaceTexts returns msg, which must be validated JSON, with each string value replaced
// by what replace returns for its text. It returns msg itself if nothing has changed.
// It does not call replace for names.
func ReplaceTexts(msg []byte, replace func(string) string) []byte {
	var dst []byte // nil until something has changed
	done := 0      // how much of msg is in dst
	for i := 0; ; {
		start := bytes.IndexByte(msg[i:], '"')
		if start < 0 {
			break
		}
		start += i
		i = skipString(msg, start)
		raw := msg[start:i]
		if colon := skipSpace(msg, i); colon < len(msg) && msg[colon] == ':' {
			continue // a name
		}
		text := unquote(raw)
		if other := replace(text); other != text {
			dst = AppendText(append(dst, msg[done:start]...), other)
			done = i
		}
	}
	if done == 0 {
		return msg
	}
	return append(dst, msg[done:]...)
}
