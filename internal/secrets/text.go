package secrets

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
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

// Text returns a text, such as the name of a file, with the secrets masked that can be
// told by their form alone: the password of a URL, a secret parameter of its query, the
// key in an rbd: name, a credential for systemd, and what a name json:{...} has of these
// and of cookies.
func Text(s string) string {
	if rest, ok := strings.CutPrefix(s, "json:"); ok && jsontext.Value(rest).IsValid(jsontext.AllowDuplicateNames(true)) {
		return "json:" + string(mask([]byte(rest), inFiles))
	}
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

// maskJSON masks what -object and -blockdev take as JSON.
func maskJSON(text string) (string, bool) {
	if !strings.HasPrefix(text, "{") || !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
		return text, false
	}
	return string(mask([]byte(text), inOptions)), true
}
