package iotests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goqmp/qmp/async"
)

// A Filter hides what differs from run to run. It gets what is to be logged, which is
// a text or a message (a [Dict], a list, an async.Members), and returns what is logged
// in its place. It does not change its argument.
type Filter func(any) any

// FilterQMP returns a copy of a message in which each value that is neither an object
// nor a list is replaced by what f returns for it. key is the name of the member, or
// the index in the list. If the whole message is such a value, key is nil. A message
// that cannot be encoded as JSON is returned unchanged.
func FilterQMP(message any, f func(key, value any) any) any {
	n, err := normalize(message)
	if err != nil {
		return message
	}
	return filterQMP(nil, n, f)
}

func filterQMP(key, v any, f func(key, value any) any) any {
	switch v := v.(type) {
	case Dict:
		out := make(Dict, len(v))
		for name, member := range v {
			out[name] = filterQMP(name, member, f)
		}
		return out
	case async.Members:
		out := make(async.Members, len(v))
		for i, m := range v {
			out[i] = async.Member{Name: m.Name, Value: filterQMP(m.Name, m.Value, f)}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, member := range v {
			out[i] = filterQMP(i, member, f)
		}
		return out
	}
	return f(key, v)
}

// OverStrings makes a [Filter] from a function for texts. The Filter calls f for a
// text, and for each value of a message that is a text. It does not call f for names
// of members.
func OverStrings(f func(string) string) Filter {
	return func(message any) any {
		return FilterQMP(message, func(_, value any) any {
			if text, ok := value.(string); ok {
				return f(text)
			}
			return value
		})
	}
}

// FilterQMPEvent hides the time of an event. Other messages are returned unchanged.
func FilterQMPEvent(message any) any {
	event, ok := message.(Dict)
	if !ok {
		return message
	}
	stamp, ok := event["timestamp"].(Dict)
	if !ok {
		return message
	}
	hidden := make(Dict, len(stamp))
	for name, value := range stamp {
		hidden[name] = value
	}
	hidden["seconds"], hidden["microseconds"] = "SECS", "USECS"
	out := make(Dict, len(event))
	for name, value := range event {
		out[name] = value
	}
	out["timestamp"] = hidden
	return out
}

// sizeMembers are the members that say how much space an image takes on the host.
var sizeMembers = map[string]bool{"actual-size": true, "disk-size": true, "image-end-offset": true}

// FilterSizes hides how much space images take on the host, which differs from file
// system to file system: in a message, and in the text of qemu-img info.
func FilterSizes(message any) any {
	return FilterQMP(message, func(key, value any) any {
		if name, ok := key.(string); ok && sizeMembers[name] {
			return "SIZE"
		}
		if text, ok := value.(string); ok {
			return diskSize.ReplaceAllString(text, "disk size: SIZE")
		}
		return value
	})
}

var (
	generatedNode = regexp.MustCompile(`#block[0-9]+`)
	scsiBus       = regexp.MustCompile(`virtio-scsi-(?:pci|ccw)`)
	nbdBlockSize  = regexp.MustCompile(`(min|opt|max) block: [0-9]+`)
	chownIDs      = regexp.MustCompile(`chown [0-9]+:[0-9]+`)
	ioRate        = regexp.MustCompile(`[0-9]* ops; [0-9:./sec ]*\((?:[0-9./]|inf)* [A-Zbitesy]*/sec and (?:[0-9./]|inf)* ops/sec\)`)
	diskSize      = regexp.MustCompile(`disk size: [^\n]*`)
	infoIters     = regexp.MustCompile(`iters: [0-9]+`)
	infoUUID      = regexp.MustCompile(`uuid: [0-9a-f-]+`)
	infoCID       = regexp.MustCompile(`cid: [0-9]+`)
	infoPacking   = regexp.MustCompile(`compression type: z(?:lib|std)`)
	createOption  = regexp.MustCompile(` (?:cluster_size|extended_l2|compression_type|lazy_refcounts|refcount_bits|preallocation)=[^ \n]*`)
)

// FilterGeneratedNodeIDs replaces the names that QEMU generates for nodes, such as
// #block137, by NODE_NAME.
func FilterGeneratedNodeIDs(text string) string {
	return generatedNode.ReplaceAllLiteralString(text, "NODE_NAME")
}

// FilterVirtioSCSI hides the kind of bus in the name of the device virtio-scsi:
// virtio-scsi-pci becomes virtio-scsi.
func FilterVirtioSCSI(text string) string {
	return scsiBus.ReplaceAllLiteralString(text, "virtio-scsi")
}

// FilterNBDExports hides the block sizes in qemu-nbd's list of exports.
func FilterNBDExports(text string) string {
	return nbdBlockSize.ReplaceAllString(text, "$1 block: XXX")
}

// FilterChown hides the user id and the group id after the word chown.
func FilterChown(text string) string {
	return chownIDs.ReplaceAllLiteralString(text, "chown UID:GID")
}

// FilterWin32 removes carriage returns, which Windows has in its line ends.
func FilterWin32(text string) string { return strings.ReplaceAll(text, "\r", "") }

// FilterQemuIO hides the numbers of qemu-io that differ from run to run: how many
// requests it made, how long they took, and the rates. It also does what [FilterWin32]
// does.
func FilterQemuIO(text string) string {
	return ioRate.ReplaceAllLiteralString(FilterWin32(text), "X ops; XX:XX:XX.X (XXX YYY/sec and XXX ops/sec)")
}

// FilterImgCreate removes the options that qemu-img create prints although nobody set
// them, which differ from version to version.
func FilterImgCreate(text string) string { return createOption.ReplaceAllLiteralString(text, "") }

// FilterImgFmt replaces the test's image format by IMGFMT, so that tests of several
// formats have the same log.
func (it *Test) FilterImgFmt(text string) string {
	return filterImgFmt(text, it.Format)
}

func filterImgFmt(text, format string) string { return strings.ReplaceAll(text, format, "IMGFMT") }

// FilterTestFiles hides, in the names of the test's files, the test's directories and
// the process's id: the path that [Test.Path] returns for "a.img" becomes
// TEST_DIR/PID-a.img.
func (it *Test) FilterTestFiles(text string) string {
	return filterTestFiles(text, it.Dir, it.sockDir)
}

func filterTestFiles(text, testDir, sockDir string) string {
	mine := fmt.Sprintf("%c%d-", filepath.Separator, os.Getpid())
	text = strings.ReplaceAll(text, testDir+mine, "TEST_DIR/PID-")
	return strings.ReplaceAll(text, sockDir+mine, "SOCK_DIR/PID-")
}

// FilterTestDir replaces the test's directories by TEST_DIR and SOCK_DIR, whatever
// follows them. [Test.FilterTestFiles] does so only in the names of the test's files.
func (it *Test) FilterTestDir(text string) string {
	return filterTestDir(text, it.Dir, it.sockDir)
}

func filterTestDir(text, testDir, sockDir string) string {
	text = strings.ReplaceAll(text, testDir, "TEST_DIR")
	if sockDir != testDir {
		text = strings.ReplaceAll(text, sockDir, "SOCK_DIR")
	}
	return text
}

// FilterImgInfo hides what differs from run to run in the output of qemu-img info.
// filename, the image's name in that output, becomes TEST_IMG; "" replaces nothing.
// The names of the test's files, the format, ids and the type of compression are
// hidden. The lines about the space that the image takes are removed. So is the
// section about each child node, which QEMU prints since version 8.0.
func (it *Test) FilterImgInfo(text, filename string) string {
	var lines []string
	child := false
	for line := range strings.SplitSeq(text, "\n") {
		child = child && strings.HasPrefix(line, " ") || strings.Contains(line, "Child node '/")
		if child || strings.Contains(line, "disk size") || strings.Contains(line, "actual-size") {
			continue
		}
		if filename != "" {
			line = strings.ReplaceAll(line, filename, "TEST_IMG")
		}
		line = it.FilterImgFmt(it.FilterTestFiles(line))
		line = infoIters.ReplaceAllLiteralString(line, "iters: XXX")
		line = infoUUID.ReplaceAllLiteralString(line, "uuid: XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX")
		line = infoCID.ReplaceAllLiteralString(line, "cid: XXXXXXXXXX")
		line = infoPacking.ReplaceAllLiteralString(line, "compression type: COMPRESSION_TYPE")
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
