package iotests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goqmp/qmp/async"
)

// A Filter takes out of something that is logged what differs from run to run. It
// gets a text or a message (a [Dict], a list, an async.Members) and returns what
// is logged in its place. It leaves the original alone.
type Filter func(any) any

// FilterQMP replaces every value of a message that is neither an object nor a list
// by what f returns for it. key is the name of the member or the index in the
// list, and nil for a message that is such a value itself. The message stays as it
// is: what is returned is another.
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

// OverStrings makes a [Filter] of a function for texts: it goes over a text, or
// over all texts of a message.
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

// FilterQMPEvent hides the time of an event. Other messages stay as they are.
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

// sizeMembers are those that tell how much a file takes on the host.
var sizeMembers = map[string]bool{"actual-size": true, "disk-size": true, "image-end-offset": true}

// FilterSizes hides what differs from file system to file system: how much space
// images take, in a message and in the text of qemu-img info.
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

// FilterGeneratedNodeIDs hides the numbers in names that QEMU makes up for nodes.
func FilterGeneratedNodeIDs(text string) string {
	return generatedNode.ReplaceAllLiteralString(text, "NODE_NAME")
}

// FilterVirtioSCSI hides the bus that virtio-scsi is on.
func FilterVirtioSCSI(text string) string {
	return scsiBus.ReplaceAllLiteralString(text, "virtio-scsi")
}

// FilterNBDExports hides block sizes in a list of exports.
func FilterNBDExports(text string) string {
	return nbdBlockSize.ReplaceAllString(text, "$1 block: XXX")
}

// FilterChown hides the numbers of user and group in messages about them.
func FilterChown(text string) string {
	return chownIDs.ReplaceAllLiteralString(text, "chown UID:GID")
}

// FilterWin32 takes out the carriage returns of Windows's line ends.
func FilterWin32(text string) string { return strings.ReplaceAll(text, "\r", "") }

// FilterQemuIO hides what qemu-io says of time, and into how many requests it has
// split the work, and does what [FilterWin32] does.
func FilterQemuIO(text string) string {
	return ioRate.ReplaceAllLiteralString(FilterWin32(text), "X ops; XX:XX:XX.X (XXX YYY/sec and XXX ops/sec)")
}

// FilterImgCreate hides the options that qemu-img create shows without being asked
// for them, which differ from version to version.
func FilterImgCreate(text string) string { return createOption.ReplaceAllLiteralString(text, "") }

// FilterImgFmt hides the test's image format, for logs that are the same for all
// formats.
func (it *Test) FilterImgFmt(text string) string {
	return filterImgFmt(text, it.Format)
}

func filterImgFmt(text, format string) string { return strings.ReplaceAll(text, format, "IMGFMT") }

// FilterTestFiles hides the test's directories and the process's id in the names
// of the test's files: [Test.Path] "a.img" becomes TEST_DIR/PID-a.img.
func (it *Test) FilterTestFiles(text string) string {
	return filterTestFiles(text, it.Dir, it.sockDir)
}

func filterTestFiles(text, testDir, sockDir string) string {
	mine := fmt.Sprintf("%c%d-", filepath.Separator, os.Getpid())
	text = strings.ReplaceAll(text, testDir+mine, "TEST_DIR/PID-")
	return strings.ReplaceAll(text, sockDir+mine, "SOCK_DIR/PID-")
}

// FilterTestDir hides the test's directories, also where they stand alone.
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

// FilterImgInfo hides in the output of qemu-img info what differs from run to run:
// filename, which is the image's name in there, becomes TEST_IMG; the names of the
// test's files, the format, ids and the type of compression are hidden; how much
// space the image takes is left out. So is the section about each child node,
// which QEMU has since version 8.0.
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
