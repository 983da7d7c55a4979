package async

import (
	"bytes"
	"encoding/json"

	"github.com/goqmp/qmp/internal/secrets"
)

// MaskCommand returns a copy of a command, the whole message as JSON, in which known secrets
// are replaced by "***", as the log has it. It is for programs that write commands to a log
// of their own. docs/guarantees.md lists what is masked. Anything that is not one valid JSON
// object is returned as `"***"`.
func MaskCommand(message json.RawMessage) json.RawMessage {
	if m, err := parseMessage(message); err == nil {
		return bytes.Clone(secrets.Command(m.Raw))
	}
	return json.RawMessage(`"***"`)
}
