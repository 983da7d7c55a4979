package proto

import "slices"

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
