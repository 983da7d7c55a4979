package secrets

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goqmp/qmp/internal/qemujson"
)

// Mask stands for a secret.
const Mask = "***"

// inFiles has the members that hold secrets in the pseudo file name json:{...}, at any
// depth.
var inFiles = []string{"cookie", "password", "data"}

var (
	// A password in a URL: scheme://user:password@host, and user%password for iSCSI.
	userinfo = regexp.MustCompile(`(://[^\s/?#"'@:%]*[:%])[^\s/?#"']*@`)

	// A parameter of a URL's query that has a name like a secret, such as a signature.
	query = regexp.MustCompile(`(?i)([?&][a-z0-9_.-]*(?:token|sig|signature|secret|password|passwd|credential|key)=)[^\s&#"',]+`)

	// The key of a Ceph client in rbd:pool/image:key=...; a colon in it is escaped.
	rbdKey = regexp.MustCompile(`(rbd:[^\s"]*:key=)(?:\\.|[^\s:,"\\])+`)

	// A credential for systemd, on the command line of QEMU or of a kernel.
	credential = regexp.MustCompile(`(systemd\.(?:set_)?credential(?:\.binary|_binary)?[:=][^\s:=,"]+[:=])[^\s,"]+`)
)

// Text returns a text, such as the name of a file or an error, with the secrets masked that
// can be told by their form alone: the password of a URL, a secret parameter of its query, the
// key in an rbd: name, a credential for systemd, and what a name json:{...} has of these
// and of cookies. If such a name cannot be read, it is masked up to the end of the text.
func Text(s string) string {
	masked, _ := maskText(s)
	return masked
}

// maskText is Text, and reports whether it has read all names json:{...}.
func maskText(s string) (masked string, ok bool) {
	if !strings.Contains(s, jsonName) {
		return maskLine(s), true
	}
	var b strings.Builder
	for {
		at := inlineName.FindStringIndex(s)
		if at == nil {
			if strings.HasPrefix(s, jsonName) && b.Len() == 0 {
				return jsonName + Mask, s == jsonName+Mask
			}
			return b.String() + maskLine(s), true
		}
		begin := at[1] - 1 // of the object
		object, n := readObject(s[begin:])
		if object == nil {
			return b.String() + maskLine(s[:at[0]]) + jsonName + Mask, false
		}
		b.WriteString(maskLine(s[:at[0]]) + s[at[0]:begin] + string(mask(object, inFiles)))
		s = s[begin+n:]
	}
}

// jsonName is how a name of a file begins that is a JSON object.
const jsonName = "json:"

// inlineName is the beginning of such a name, up to the brace.
var inlineName = regexp.MustCompile(`json:[ \t\r\n]*\{`)

// readObject reads a JSON object at the beginning of s, as QEMU does, which also takes strings
// in single quotes. It returns the object as JSON, and its length in s; nil if QEMU cannot read
// it.
func readObject(s string) (object []byte, n int) {
	var p qemujson.Parser
	var found *qemujson.Result
	for n < len(s) && found == nil {
		part := []byte(s[n:min(n+512, len(s))])
		end := len(part)
		p.Feed(part, func(r qemujson.Result) {
			if found == nil {
				found, end = &r, r.End
			}
		})
		n += end
	}
	if found == nil || found.Fault != "" {
		return nil, 0
	}
	if raw := jsontext.Value(s[:n]); raw.IsValid() {
		return raw, n // with its own characters
	}
	return found.Value, n
}

// maskLine masks a text that has no name json:{...}.
func maskLine(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}"+Mask+"@")
		if strings.Contains(s, "=") {
			s = query.ReplaceAllString(s, "${1}"+Mask)
		}
	}
	if strings.Contains(s, ":key=") {
		s = rbdKey.ReplaceAllString(s, "${1}"+Mask)
	}
	if strings.Contains(s, "systemd") {
		s = credential.ReplaceAllString(s, "${1}"+Mask)
	}
	return s
}

// maskJSON masks what -object and -blockdev take as JSON. ok is false if text is something
// else.
func maskJSON(text string) (masked string, ok bool) {
	trimmed := strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(trimmed, "{") {
		return text, false
	}
	object, n := readObject(trimmed)
	if object == nil || strings.Trim(trimmed[n:], " \t\r\n") != "" {
		return Mask, true
	}
	return text[:len(text)-len(trimmed)] + string(mask(object, inOptions)), true
}
