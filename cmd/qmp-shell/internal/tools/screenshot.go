package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goqmp/qmp/async"
)

// A Screen says which screen a picture is taken of. The zero Screen is the first one.
type Screen struct {
	Device string // the id of a display device, or ""
	Head   int64  // the number of its output
}

// pictureFormats are the formats of files by the ends of their names.
var pictureFormats = map[string]string{".png": "png", ".ppm": "ppm", ".jpg": "jpeg", ".jpeg": "jpeg"}

// PictureFormat returns the format that the name of a file asks for. A name without an end
// that says so means PNG.
func PictureFormat(name string) (string, error) {
	end := strings.ToLower(filepath.Ext(name))
	if end == "" || name == "-" {
		return "png", nil
	}
	format, ok := pictureFormats[end]
	if !ok {
		return "", fmt.Errorf("%s: a picture is a .png, .ppm or .jpg", name)
	}
	return format, nil
}

// Screenshot writes a picture of the screen to w, in the format png, ppm or jpeg.
//
// QEMU itself writes a file. Over a unix socket QEMU gets a descriptor of the file, so its
// user, its folder and what it sees of the file system do not matter. Otherwise QEMU has to
// be able to write to a file in this system's folder for temporary files.
func Screenshot(ctx context.Context, c *async.Client, s Screen, format string, w io.Writer) error {
	dir, err := os.MkdirTemp("", "qmp-shell")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "screen")
	data, err := capture(ctx, c, s, file, format == "png")
	if err != nil {
		return err
	}
	if format == "png" && isPNG(data) || format == "ppm" {
		_, err = w.Write(data)
		return err
	}
	img, err := decodePicture(data)
	if err != nil {
		return err
	}
	if format == "jpeg" {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: 90})
	}
	return png.Encode(w, img)
}

// capture returns the picture that QEMU writes: PNG if that is wanted and QEMU has it (7.1
// and later), else PPM.
func capture(ctx context.Context, c *async.Client, s Screen, path string, wantPNG bool) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	name := path
	if c.CanSendFiles() {
		set, err := addFile(ctx, c, f)
		if err != nil {
			return nil, err
		}
		defer removeFile(ctx, c, set)
		name = fmt.Sprintf("/dev/fdset/%d", set)
	}
	args := async.Members{{Name: "filename", Value: name}}
	if s.Device != "" {
		args = append(args, async.Member{Name: "device", Value: s.Device}, async.Member{Name: "head", Value: s.Head})
	}
	if wantPNG {
		_, err = async.Call[any](ctx, c, "screendump", append(args, async.Member{Name: "format", Value: "png"}))
	}
	if refusal, ok := errors.AsType[*async.ExecuteError](err); !wantPNG || ok && strings.Contains(refusal.Desc, "format") {
		_, err = async.Call[any](ctx, c, "screendump", args)
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err == nil && len(data) == 0 {
		err = errors.New("QEMU has written no picture")
	}
	return data, err
}

// addFile gives QEMU the descriptor of f, and returns the number of its set.
func addFile(ctx context.Context, c *async.Client, f *os.File) (int64, error) {
	reply, err := c.Do(ctx, async.Command{Name: "add-fd", Files: []*os.File{f}})
	if err != nil {
		return 0, err
	}
	var set struct{ FdsetID int64 }
	err = reply.Decode(&set)
	return set.FdsetID, err
}

// removeFile takes the descriptor from QEMU again. It does not matter if that fails: the
// connection's end does it, too. After the end of ctx the connection is about to end.
func removeFile(ctx context.Context, c *async.Client, set int64) {
	if ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c.Execute(ctx, "remove-fd", map[string]int64{"fdset-id": set})
}

func isPNG(data []byte) bool { return bytes.HasPrefix(data, []byte("\x89PNG")) }

// decodePicture reads a PNG or a PPM.
func decodePicture(data []byte) (image.Image, error) {
	if isPNG(data) {
		return png.Decode(bytes.NewReader(data))
	}
	return DecodePPM(bytes.NewReader(data))
}

// maxSide limits the width and the height of a picture, in pixels.
const maxSide = 1 << 15

// DecodePPM reads a picture in the binary form of PPM, "P6", with up to 8 bits for each
// color: what QEMU writes (netpbm's manual, ppm(5)).
func DecodePPM(r io.Reader) (image.Image, error) {
	in := bufio.NewReader(r)
	var header [3]int
	magic := make([]byte, 2)
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != "P6" {
		return nil, errors.New("the picture is not a PPM (P6)")
	}
	for i := range header {
		n, err := ppmNumber(in)
		if err != nil {
			return nil, fmt.Errorf("the header of the picture: %w", err)
		}
		header[i] = n
	}
	width, height, most := header[0], header[1], header[2]
	if width < 1 || height < 1 || width > maxSide || height > maxSide || most < 1 || most > 255 {
		return nil, fmt.Errorf("a picture of %d by %d pixels and %d levels cannot be read", width, height, most)
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	row := make([]byte, 3*width)
	for y := range height {
		if _, err := io.ReadFull(in, row); err != nil {
			return nil, fmt.Errorf("the picture ends in line %d of %d: %w", y+1, height, io.ErrUnexpectedEOF)
		}
		for x := range width {
			level := func(i int) uint8 { return uint8(min(int(row[3*x+i]), most) * 255 / most) }
			img.SetRGBA(x, y, color.RGBA{level(0), level(1), level(2), 255})
		}
	}
	return img, nil
}

// ppmNumber reads a number of the header, and the one byte after it. White space and
// comments may come before it.
func ppmNumber(in *bufio.Reader) (int, error) {
	n, digits := 0, 0
	for {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return 0, io.ErrUnexpectedEOF
		case '0' <= c && c <= '9':
			n, digits = 10*n+int(c-'0'), digits+1
			if n > maxSide*2 {
				return 0, errors.New("a number is too large")
			}
		case c == '#' && digits == 0:
			if _, err := in.ReadString('\n'); err != nil {
				return 0, io.ErrUnexpectedEOF
			}
		case strings.IndexByte(" \t\r\n\v\f", c) < 0:
			return 0, fmt.Errorf("unexpected byte %q", c)
		case digits > 0:
			return n, nil
		}
	}
}
