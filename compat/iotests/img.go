package iotests

import (
	"os"
	"slices"

	"github.com/goqmp/qmp/internal/proto"
)

// Img runs qemu-img, which has to succeed, and returns what it wrote.
func (it *Test) Img(args ...string) string {
	it.Helper()
	return it.mustRun(imgProgram, args...).Output
}

// ImgResult runs qemu-img and returns how it ended, whatever that is.
func (it *Test) ImgResult(args ...string) Result {
	it.Helper()
	return it.run(imgProgram, args...)
}

// ImgLog is ImgResult with the output logged, whole: a blank line follows it, since
// the output has a line end of its own.
func (it *Test) ImgLog(args ...string) Result {
	it.Helper()
	result := it.ImgResult(args...)
	it.Log(result.Output, OverStrings(it.FilterTestFiles))
	return result
}

// imgJSON runs qemu-img with --output=json and decodes the answer into v. Exit
// codes other than 0 have to be among ok.
func (it *Test) imgJSON(v any, ok []int, command string, args ...string) Result {
	it.Helper()
	result := it.runSplit(imgProgram, append([]string{command, "--output=json"}, args...)...)
	if !slices.Contains(ok, result.ExitCode) {
		it.mustBeOK(imgProgram, result)
	}
	if err := proto.Unmarshal([]byte(result.stdout), v); err != nil {
		it.fail("qemu-img: no JSON: "+err.Error(), "command", quote(result.Command), "output", result.Output)
	}
	return result
}

// ImgCreate makes an image in the test's format. size is such as "64M", and ""
// where the options say it: a backing file, for one. Options go before the file
// name: it.ImgCreate(top, "", "-b", base, "-F", it.Format). They may include
// another "-f".
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

// ImgInfo returns what qemu-img info tells of an image, as an object.
func (it *Test) ImgInfo(path string, options ...string) Dict {
	it.Helper()
	var info Dict
	it.imgJSON(&info, []int{0}, "info", append(options, path)...)
	return info
}

// ImgInfoLog logs what qemu-img info tells of an image, without what differs from
// run to run ([Test.FilterImgInfo]). The image is in the test's format unless the
// options say otherwise.
func (it *Test) ImgInfoLog(path string, options ...string) {
	it.Helper()
	args := []string{"info"}
	if !slices.Contains(options, "-f") && !slices.Contains(options, "--image-opts") {
		args = append(args, "-f", it.Format)
	}
	output := it.Img(append(append(args, options...), path)...)
	it.Log(it.FilterImgInfo(output, path))
}

// A MapEntry is a part of an image whose data come from one place.
type MapEntry struct {
	Start, Length int64
	Depth         int  // 0 is the image itself, 1 its backing file, and so on
	Present       bool // in any image of the chain
	Zero          bool // reads as zeroes
	Data          bool // has data
	Offset        *int64
	Filename      string
}

// ImgMap returns what is where in an image.
func (it *Test) ImgMap(path string, options ...string) []MapEntry {
	it.Helper()
	var entries []MapEntry
	it.imgJSON(&entries, []int{0}, "map", append(options, path)...)
	return entries
}

// An ImageCheck is what qemu-img check found.
type ImageCheck struct {
	Filename, Format  string
	CheckErrors       int64 `json:"check-errors"`
	Corruptions       int64
	Leaks             int64
	ImageEndOffset    int64 `json:"image-end-offset"`
	TotalClusters     int64 `json:"total-clusters"`
	AllocatedClusters int64 `json:"allocated-clusters"`
}

// ImgCheck checks an image and returns what was found. Corruptions and leaks are
// a result, not a failure of the test: see [Test.AssertImageClean].
func (it *Test) ImgCheck(path string, options ...string) ImageCheck {
	it.Helper()
	var check ImageCheck
	it.imgJSON(&check, []int{0, 2, 3}, "check", append(options, path)...)
	return check
}

// AssertImageClean fails the test if an image has corruptions or leaks. Formats
// that know no check, such as raw, pass. It is in the test's format unless the
// options say otherwise.
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

// A Measure says how large an image would be.
type Measure struct {
	Required       int64 // of what is to be converted
	FullyAllocated int64 `json:"fully-allocated"`
	Bitmaps        int64
}

// ImgMeasure returns how large an image in the test's format would be, by the
// options of qemu-img measure: "--size", "1G", or the name of an image.
func (it *Test) ImgMeasure(args ...string) Measure {
	it.Helper()
	var measure Measure
	it.imgJSON(&measure, []int{0}, "measure", append([]string{"-O", it.Format}, args...)...)
	return measure
}

// ImgConvert makes to, in the test's format, from what is in from.
func (it *Test) ImgConvert(from, to string, options ...string) {
	it.Helper()
	args := []string{"convert"}
	if !slices.Contains(options, "-O") {
		args = append(args, "-O", it.Format)
	}
	it.Img(append(append(args, options...), from, to)...)
}

// ImgCompare reports whether a guest would see the same in two images. Both are in
// the test's format unless the options say otherwise.
func (it *Test) ImgCompare(a, b string, options ...string) bool {
	it.Helper()
	result := it.compare(a, b, options)
	if result.ExitCode > 1 {
		it.mustBeOK(imgProgram, result)
	}
	return result.OK()
}

// AssertImagesEqual fails the test unless a guest would see the same in two
// images. Both are in the test's format unless the options say otherwise.
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

// ImageSize returns the size that a guest would see.
func (it *Test) ImageSize(path string, options ...string) int64 {
	it.Helper()
	return Get[int64](it, it.ImgInfo(path, options...), "virtual-size")
}

// FileSize returns the size of a file.
func (it *Test) FileSize(path string) int64 {
	it.Helper()
	info, err := os.Stat(path)
	if err != nil {
		it.Fatalf("%v", err)
	}
	return info.Size()
}
