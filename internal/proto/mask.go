package proto

import "slices"

// Mask returns a copy of msg, validated JSON, in which the values of all
// members of the given names, at any depth, are replaced by "***".
func Mask(msg []byte, names []string) []byte {
	return appendMasked(nil, msg, names)
}

func appendMasked(dst, value []byte, names []string) []byte {
	sep := byte('{')
	switch {
	case IsObject(value):
		Members(value, func(name string, v []byte) bool {
			dst = append(dst, sep)
			sep = ','
			dst = append(AppendText(dst, name), ':')
			if slices.Contains(names, name) {
				dst = append(dst, `"***"`...)
			} else {
				dst = appendMasked(dst, v, names)
			}
			return true
		})
		if sep == '{' {
			dst = append(dst, sep)
		}
		return append(dst, '}')
	case IsArray(value):
		sep = '['
		Elements(value, func(v []byte) bool {
			dst = append(dst, sep)
			sep = ','
			dst = appendMasked(dst, v, names)
			return true
		})
		if sep == '[' {
			dst = append(dst, sep)
		}
		return append(dst, ']')
	}
	return append(dst, value...)
}
