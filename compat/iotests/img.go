package iotests

import (
	"os"
	"slices"

	"github.com/goqmp/qmp/internal/proto"
	"github.com/goqmp/qmp/internal/secrets"
)

// Img runs qemu-img, which has to end with exit code 0, and returns its output: stdout
// and stderr.
func (it *Test) Img(args ...string) string {
	it.Helper()
	return it.mustRun(imgProgram, args...).Output
}

// ImgResult runs qemu-img and returns its output and its exit code, whatever that is.
func (it *Test) ImgResult(args ...string) Result {
	it.Helper()
	return it.run(imgProgram, args...)
}

// ImgLog is [Test.ImgResult], and logs the output with the names of the test's files
// hidden. As the output ends in a line end, the log has a blank line after it.
func (it *Test) ImgLog(args ...string) Result {
	it.Helper()
	result := it.ImgResult(args...)
	it.Log(result.Output, OverStrings(it.FilterTestFiles))
	return result
}

// imgJSON runs qemu-img with --output=json and decodes its stdout into v. The test
// fails unless the exit code is one of ok.
func (it *Test) imgJSON(v any, ok []int, command string, args ...string) Result {
	it.Helper()
	result := it.runSplit(imgProgram, append([]string{command, "--output=json"}, args...)...)
	if !slices.Contains(ok, result.ExitCode) {
		it.mustBeOK(imgProgram, result)
	}
	if err := proto.Unmarshal([]byte(result.stdout), v); err != nil {
		it.fail("qemu-img did not print the expected JSON: "+err.Error(), "command", quote(result.Command), "output", secrets.Output(result.Output, result.Command))
	}
	return result
}

// ImgCreate makes an image in the test's format, or in that of an option "-f". size is
// a text such as "64M". It may be "" if the options decide the size, as with a backing
// file: it.ImgCreate(top, "", "-b", base, "-F", it.Format). The options are passed
// before the file name.
func (it *Test) ImgCreate(path, size string, options ...string) {
	it.Helper()
	args := []string{"create", "-q"}
	if !slices.Contains(options, "-f") {
		args = append(args, "-f", it.Format)
	}
	args = append(append(args, options...), path)
	if size != "" {
		args = append(args, size)
	}
	it.Img(args...)
}

// ImgInfo returns the JSON object that qemu-img info prints about an image. Without an
// option "-f", qemu-img finds out the format.
func (it *Test) ImgInfo(path string, options ...string) Dict {
	it.Helper()
	var info Dict
	it.imgJSON(&info, []int{0}, "info", append(options, path)...)
	return info
}

// ImgInfoLog logs the text that qemu-img info prints about an image, without what
// differs from run to run ([Test.FilterImgInfo]). The image is in the test's format,
// unless the options include "-f" or "--image-opts".
func (it *Test) ImgInfoLog(path string, options ...string) {
	it.Helper()
	args := []string{"info"}
	if !slices.Contains(options, "-f") && !slices.Contains(options, "--image-opts") {
		args = append(args, "-f", it.Format)
	}
	output := it.Img(append(append(args, options...), path)...)
	it.Log(it.FilterImgInfo(output, path))
}

// A MapEntry is one range of an image, as qemu-img map prints it.
type MapEntry struct {
	Start, Length int64  // in bytes, as a guest sees them
	Depth         int    // where the range comes from: 0 is the image itself, 1 its backing file, and so on
	Present       bool   // an image of the chain has it
	Zero          bool   // it reads as zeroes
	Data          bool   // the image has data for it
	Offset        *int64 // where the data begin in the file, in bytes; nil if qemu-img does not say
	Filename      string // the file that has the data; "" if qemu-img does not say
}

// ImgMap returns the ranges of an image, in their order, as qemu-img map prints them.
// Without an option "-f", qemu-img finds out the format.
func (it *Test) ImgMap(path string, options ...string) []MapEntry {
	it.Helper()
	var entries []MapEntry
	it.imgJSON(&entries, []int{0}, "map", append(options, path)...)
	return entries
}

// An ImageCheck is what qemu-img check found. A number that qemu-img does not print is
// 0.
type ImageCheck struct {
	Filename, Format  string
	CheckErrors       int64 `json:"check-errors"`
	Corruptions       int64
	Leaks             int64
	ImageEndOffset    int64 `json:"image-end-offset"` // where the image ends in its file, in bytes
	TotalClusters     int64 `json:"total-clusters"`
	AllocatedClusters int64 `json:"allocated-clusters"`
}

// ImgCheck runs qemu-img check and returns what it found. Corruptions and leaks do not
// fail the test: see [Test.AssertImageClean]. Without an option "-f", qemu-img finds
// out the format.
func (it *Test) ImgCheck(path string, options ...string) ImageCheck {
	it.Helper()
	var check ImageCheck
	it.imgJSON(&check, []int{0, 2, 3}, "check", append(options, path)...)
	return check
}

// AssertImageClean fails the test if an image has corruptions or leaks. An image in a
// format that cannot be checked, such as raw, passes. The image is in the test's
// format, or in that of an option "-f".
func (it *Test) AssertImageClean(path string, options ...string) {
	it.Helper()
	args := []string{"check"}
	if !slices.Contains(options, "-f") {
		args = append(args, "-f", it.Format)
	}
	result := it.ImgResult(append(append(args, options...), path)...)
	const noChecks = 63
	if result.ExitCode != noChecks {
		it.mustBeOK(imgProgram, result)
	}
}

// A Measure says how large the file of an image would be, in bytes.
type Measure struct {
	Required       int64 // with the data that the image has now
	FullyAllocated int64 `json:"fully-allocated"` // with data everywhere
	Bitmaps        int64 // in addition, for the bitmaps
}

// ImgMeasure returns how large an image in the test's format would be. args are those
// of qemu-img measure: "--size", "1G", or the name of an image to be converted.
func (it *Test) ImgMeasure(args ...string) Measure {
	it.Helper()
	var measure Measure
	it.imgJSON(&measure, []int{0}, "measure", append([]string{"-O", it.Format}, args...)...)
	return measure
}

// ImgConvert copies the content of the image from into a new image to. The new image is
// in the test's format, or in that of an option "-O".
func (it *Test) ImgConvert(from, to string, options ...string) {
	it.Helper()
	args := []string{"convert"}
	if !slices.Contains(options, "-O") {
		args = append(args, "-O", it.Format)
	}
	it.Img(append(append(args, options...), from, to)...)
}

// ImgCompare reports whether a guest would see the same data in two images. Without
// options, both are in the test's format.
func (it *Test) ImgCompare(a, b string, options ...string) bool {
	it.Helper()
	result := it.compare(a, b, options)
	if result.ExitCode > 1 {
		it.mustBeOK(imgProgram, result)
	}
	return result.OK()
}

// AssertImagesEqual fails the test unless a guest would see the same data in two
// images. Without options, both are in the test's format.
func (it *Test) AssertImagesEqual(a, b string, options ...string) {
	it.Helper()
	it.mustBeOK(imgProgram, it.compare(a, b, options))
}

func (it *Test) compare(a, b string, options []string) Result {
	it.Helper()
	if len(options) == 0 {
		options = []string{"-f", it.Format, "-F", it.Format}
	}
	return it.ImgResult(append(append([]string{"compare"}, options...), a, b)...)
}

// ImageSize returns the size in bytes that a guest would see. options are as for
// [Test.ImgInfo].
func (it *Test) ImageSize(path string, options ...string) int64 {
	it.Helper()
	return Get[int64](it, it.ImgInfo(path, options...), "virtual-size")
}

// FileSize returns the size of a file in bytes.
func (it *Test) FileSize(path string) int64 {
	it.Helper()
	info, err := os.Stat(path)
	if err != nil {
		it.Fatalf("%v", err)
	}
	return info.Size()
}
