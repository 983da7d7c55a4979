package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goqmp/qmp/async"
	"github.com/goqmp/qmp/async/qmptest"
	"github.com/goqmp/qmp/cmd/qmp-shell/internal/output"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a client of a simulated machine.
func connect(t *testing.T, network string) (*qmptest.Server, *async.Client) {
	t.Helper()
	vm := qmptest.Start(t, &qmptest.Options{Network: network})
	c := async.New(&async.Options{Dialer: vm.Dial})
	if err := c.Connect(t.Context(), "vm"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return vm, c
}

func TestKeys(t *testing.T) {
	for text, want := range map[string][]Chord{
		"":       nil,
		"aZ0":    {{"a"}, {"shift", "z"}, {"0"}},
		" \t\n":  {{"spc"}, {"tab"}, {"ret"}},
		"-_=+":   {{"minus"}, {"shift", "minus"}, {"equal"}, {"shift", "equal"}},
		`\|"'`:   {{"backslash"}, {"shift", "backslash"}, {"shift", "apostrophe"}, {"apostrophe"}},
		"!@#(/?": {{"shift", "1"}, {"shift", "2"}, {"shift", "3"}, {"shift", "9"}, {"slash"}, {"shift", "slash"}},
	} {
		if got, err := Keys(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	// A US keyboard has all of ASCII that can be printed.
	for c := rune(' '); c <= '~'; c++ {
		if chords, err := Keys(string(c)); err != nil || len(chords) != 1 {
			t.Errorf("%q: %v, %v", c, chords, err)
		}
	}
	for _, bad := range []string{"aé", "\x00", "a\u20ac", "\xff"} {
		if got, err := Keys(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	if _, err := Keys("éa"); err == nil || !strings.Contains(err.Error(), "number 1 ") {
		t.Errorf("%v", err)
	}
	if got, err := ParseChord("ctrl-alt-delete"); err != nil || !reflect.DeepEqual(got, Chord{"ctrl", "alt", "delete"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "ctrl-", "--"} {
		if got, err := ParseChord(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// QEMU waits for the hold time after each press and each release. All of these together
// have to fit into the time of the chord, or QEMU's queue would grow.
func TestTypeKeepsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm, c := connect(t, qmptest.Memory)
		type sent struct {
			at   time.Duration
			hold int64
			keys int
		}
		var got []sent
		start := time.Now()
		vm.Handle("send-key", func(_ context.Context, cmd *qmptest.Command) (any, error) {
			var args struct {
				HoldTime int64
				Keys     []struct{ Type, Data string }
			}
			err := cmd.Decode(&args)
			got = append(got, sent{time.Since(start), args.HoldTime, len(args.Keys)})
			return nil, err
		})
		chords, err := Keys("aB")
		if err != nil {
			t.Fatal(err)
		}
		chords = append(chords, Chord{"ctrl", "alt", "delete"})
		if err := Type(t.Context(), c, chords, 10); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("took %v: it is to return when the last key was released", took)
		}
		for i, s := range got {
			if s.at != time.Duration(i)*100*time.Millisecond || s.keys != i+1 || s.hold < 1 || s.hold*2*int64(s.keys) >= 100 {
				t.Errorf("key %d: %+v", i, s)
			}
		}
		if len(got) != 3 {
			t.Errorf("%+v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		if err := Type(ctx, c, chords, 10); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 of 3 keys") {
			t.Errorf("%v", err)
		}
		vm.Handle("send-key", func(context.Context, *qmptest.Command) (any, error) { return nil, errors.New("no keyboard") })
		if err := Type(t.Context(), c, chords, 1e9); !refused(err) || !strings.Contains(err.Error(), "0 of 3") {
			t.Errorf("%v", err)
		}
	})
}

const ppm = "P6\n# made by hand\n2 2\n255\n\x00\x00\x00\xff\x00\x00\x00\xff\x00\x00\x00\xff"

func TestDecodePPM(t *testing.T) {
	img, err := DecodePPM(strings.NewReader(ppm))
	if err != nil {
		t.Fatal(err)
	}
	want := []color.Color{color.RGBA{0, 0, 0, 255}, color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}, color.RGBA{0, 0, 255, 255}}
	for i, w := range want {
		if got := img.At(i%2, i/2); got != w {
			t.Errorf("pixel %d: %v, want %v", i, got, w)
		}
	}
	if img, err := DecodePPM(strings.NewReader("P6 1 1 1\n\x01\x00\x01")); err != nil || img.At(0, 0) != (color.RGBA{255, 0, 255, 255}) {
		t.Errorf("one bit for each color: %v", err)
	}
	for _, bad := range []string{
		"", "P5\n1 1 255\n", "P6", "P6 1", "P6 1 1 x", "P6 # ", "P6 0 1 255\n", "P6 1 1 65535\n......", "P6 99999999 1 255\n", "P6 40000 1 255\n", "P6 2 2 255\n123",
	} {
		if img, err := DecodePPM(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v", bad, img.Bounds())
		}
	}
}

func FuzzDecodePPM(f *testing.F) {
	f.Add([]byte(ppm))
	f.Add([]byte("P6 1 1 1\n\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		img, err := DecodePPM(bytes.NewReader(data))
		if err == nil && 3*img.Bounds().Dx()*img.Bounds().Dy() > len(data) {
			t.Errorf("%v pixels in %d bytes", img.Bounds(), len(data))
		}
	})
}

func TestPictureFormat(t *testing.T) {
	for name, want := range map[string]string{"a.png": "png", "a.PPM": "ppm", "a.jpeg": "jpeg", "b/a": "png", "-": "png", "a.gif": ""} {
		if got, err := PictureFormat(name); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A QEMU before 7.1 has no PNG, and one on a TCP connection gets no descriptor: it writes a file by
// its name.
func TestScreenshotByName(t *testing.T) {
	tmp := t.TempDir() // with nothing of other processes in it
	t.Setenv("TMPDIR", tmp)
	t.Setenv("TMP", tmp) // on Windows
	vm, c := connect(t, qmptest.TCP)
	var calls int
	vm.Handle("screendump", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		calls++
		var args struct {
			Filename, Format, Device string
			Head                     int
		}
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		if args.Format != "" {
			return nil, errors.New("Parameter 'format' is unexpected")
		}
		if args.Device == "none" {
			return nil, nil // it writes nothing
		}
		if args.Device != "vga0" || args.Head != 1 {
			return nil, errors.New("wrong device")
		}
		return nil, os.WriteFile(args.Filename, []byte(ppm), 0o600)
	})
	screen := Screen{Device: "vga0", Head: 1}
	decoders := map[string]func(io.Reader) (image.Image, error){"png": png.Decode, "jpeg": jpeg.Decode, "ppm": DecodePPM}
	for format, decode := range decoders {
		var b bytes.Buffer
		if err := Screenshot(t.Context(), c, screen, format, &b); err != nil {
			t.Fatal(err)
		}
		if img, err := decode(&b); err != nil || img.Bounds() != image.Rect(0, 0, 2, 2) {
			t.Errorf("%s: %v", format, err)
		}
	}
	if calls != 4 {
		t.Errorf("%d calls of screendump: PNG is asked for once", calls)
	}
	if err := Screenshot(t.Context(), c, Screen{Device: "none"}, "ppm", io.Discard); err == nil {
		t.Error("no picture, and no error")
	}
	if err := Screenshot(t.Context(), c, Screen{Device: "other"}, "png", io.Discard); !refused(err) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// tree makes the machine have a few objects.
func tree(vm *qmptest.Server) {
	vm.Handle("qom-list", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args struct{ Path string }
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		switch args.Path {
		case "/":
			return []map[string]string{{"name": "b.1", "type": "child<box>"}, {"name": "z", "type": "int"}, {"name": "a", "type": "link<x>"}, {"name": "gone", "type": "child<box>"}}, nil
		case "/b.1":
			return []map[string]string{{"name": "w", "type": "string"}, {"name": "p", "type": "string\x1b"}}, nil
		case "/empty":
			return []map[string]string{}, nil
		}
		return nil, &qmptest.Error{Class: "DeviceNotFound", Desc: "Device '" + args.Path + "' not found"}
	})
	vm.Handle("qom-get", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		var args struct{ Path, Property string }
		if err := cmd.Decode(&args); err != nil {
			return nil, err
		}
		if args.Property == "w" {
			return nil, errors.New("Property 'box.w' is not readable")
		}
		return args.Path + " " + args.Property, nil
	})
}

func TestQOM(t *testing.T) {
	vm, c := connect(t, qmptest.Memory)
	tree(vm)
	ctx := t.Context()
	var b strings.Builder
	ps, err := QOMList(ctx, c, "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := PrintProperties(&b, ps); err != nil || b.String() != "@a\nb.1/\ngone/\nz (int)\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	b.Reset()
	err = QOMTree(ctx, c, "/", func(o Object) error { return PrintObject(&b, &output.Printer{}, o) })
	const want = "/\n  a: \"/ a\" (link<x>)\n  z: \"/ z\" (int)\n/b.1\n  p: \"/b.1 p\" (string\\x1b)\n  w: cannot be read: Property 'box.w' is not readable (string)\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\ngot  %q\nwant %q", err, b.String(), want)
	}
	stop := errors.New("stop")
	if err := QOMTree(ctx, c, "/", func(o Object) error {
		if o.Path != "/" {
			return stop
		}
		return nil
	}); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	for target, want := range map[string]string{
		"/b.1":   `{"p":"/b.1 p"}`, // and not the property 1 of /b
		"/b.1.p": `"/b.1 p"`,
		"/empty": `{}`,
	} {
		if got, err := QOMGet(ctx, c, target); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", target, got, err)
		}
	}
	for _, target := range []string{"/none", "/b.1.w", "/."} {
		if got, err := QOMGet(ctx, c, target); !refused(err) {
			t.Errorf("%s: %s, %v", target, got, err)
		}
	}
	var set []string
	vm.Handle("qom-set", func(_ context.Context, cmd *qmptest.Command) (any, error) {
		set = append(set, string(cmd.Arguments))
		return nil, nil
	})
	for _, value := range []string{"12", "text", `"12"`, `{"a": 1}`} {
		if err := QOMSet(ctx, c, "/b.1.p", value); err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprint(set); !strings.Contains(got, `"value": 12}`) && !strings.Contains(got, `"value":12}`) || strings.Count(got, "text") != 1 || len(set) != 4 {
		t.Errorf("%s", got)
	}
	if err := QOMSet(ctx, c, "/b", "1"); err == nil {
		t.Error("no property, and no error")
	}
	c.Close()
	if err := QOMSet(ctx, c, "/b.p", "1"); err == nil {
		t.Error("no connection, and no error")
	}
	if err := read(ctx, c, "/", []Property{{Name: "x"}}); err == nil {
		t.Error("no connection, and no error")
	}
	var j Property
	if raw, err := json.Marshal(j); err != nil || string(raw) != `{"name":"","type":""}` {
		t.Errorf("%s, %v", raw, err)
	}
}
