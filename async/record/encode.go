package record

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/goqmp/qmp/internal/proto"
)

// The names of members in the file.
const (
	headerName   = "qmp-recording"
	completeName = "complete"
)

// appendHeader appends the first line.
func appendHeader(dst []byte, h Header) []byte {
	dst = append(dst, `{"`+headerName+`":`...)
	dst = strconv.AppendInt(dst, int64(h.Version), 10)
	if !h.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = h.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"masked":`...)
	dst = strconv.AppendBool(dst, h.Masked)
	if h.Stable {
		dst = append(dst, `,"stable":true`...)
	}
	return append(dst, "}\n"...)
}

// appendComplete appends the last line. missing is how many entries were left out.
func appendComplete(dst []byte, missing int) []byte {
	dst = append(dst, `{"`+completeName+`":true`...)
	if missing > 0 {
		dst = append(dst, `,"missing":`...)
		dst = strconv.AppendInt(dst, int64(missing), 10)
	}
	return append(dst, "}\n"...)
}

// appendEntry appends the line of e. Its Message must be valid JSON.
func appendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, '{')
	if e.Time != 0 {
		dst = append(dst, `"t":`...)
		dst = appendSeconds(dst, e.Time)
		dst = append(dst, ',')
	}
	if e.Kind != Missing {
		if e.Client != "" {
			dst = append(dst, `"client":`...)
			dst = proto.AppendText(dst, e.Client)
			dst = append(dst, ',')
		}
		dst = append(dst, `"session":`...)
		dst = strconv.AppendUint(dst, e.Session, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, e.Kind...)
	dst = append(dst, `":`...)
	switch e.Kind {
	case Connected:
		dst = append(dst, `{`...)
		if e.Address != "" {
			dst = append(dst, `"address":`...)
			dst = proto.AppendText(dst, e.Address)
		}
		dst = append(dst, '}')
	case Ended:
		dst = appendEnd(dst, e.End)
	case Missing:
		dst = append(dst, `{"entries":`...)
		dst = strconv.AppendInt(dst, int64(e.Gap.Entries), 10)
		dst = append(dst, `,"reason":`...)
		dst = proto.AppendText(dst, e.Gap.Reason)
		dst = append(dst, '}')
	default:
		if e.Message == nil {
			dst = append(dst, "null"...)
		} else {
			dst = proto.AppendMasked(dst, e.Message, nil)
		}
		dst = appendCount(dst, "files", e.Files)
		dst = appendCount(dst, "omitted", e.Omitted)
	}
	return append(dst, "}\n"...)
}

func appendEnd(dst []byte, end *End) []byte {
	dst = append(dst, `{"cause":`...)
	dst = proto.AppendText(dst, string(end.Cause))
	if end.Error != "" {
		dst = append(dst, `,"error":`...)
		dst = proto.AppendText(dst, end.Error)
	}
	switch {
	case len(end.Bytes) == 0:
	case utf8.Valid(end.Bytes):
		dst = append(dst, `,"bytes":`...)
		dst = proto.AppendText(dst, string(end.Bytes))
	default:
		dst = append(dst, `,"base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, end.Bytes)
		dst = append(dst, '"')
	}
	if end.Shortened {
		dst = append(dst, `,"shortened":true`...)
	}
	dst = appendCount(dst, "limit", end.Limit)
	return append(dst, '}')
}

// appendCount appends a member, unless n is 0.
func appendCount(dst []byte, name string, n int) []byte {
	if n == 0 {
		return dst
	}
	dst = append(dst, `,"`+name+`":`...)
	return strconv.AppendInt(dst, int64(n), 10)
}

// appendSeconds appends d in seconds, exactly.
func appendSeconds(dst []byte, d time.Duration) []byte {
	d = max(d, 0)
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	if d %= time.Second; d == 0 {
		return dst
	}
	dst = append(dst, '.')
	start := len(dst)
	dst = strconv.AppendInt(dst, int64(time.Second+d), 10)
	dst = append(dst[:start], dst[start+1:]...) // without the 1 of 1000000000
	return bytes.TrimRight(dst, "0")
}
