package qemujson_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goqmp/qmp/internal/qemujson"
	"github.com/goqmp/qmp/internal/testing/qemutest"
)

var (
	update = flag.Bool("update", false, "write what this QEMU answers to testdata")
	inputs = flag.Int("inputs", 300, "how many inputs TestAgreesWithQEMU sends")
	seed   = flag.Uint64("seed", 1, "chooses the inputs of TestAgreesWithQEMU; 0 means others each time")
)

// pieces are what inputs are made of.
var pieces = []string{
	"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, `'c'`, "1", "-0.5e3", "true", "nul", "null", "@", "\"x\xff", "\n", "\t", " ",
	`"\u12"`, `"\ud83d\ude00"`, `"\ud83d\u0041"`, `"\ud800\ude"`, "\"\xc3\xa9\"", "\"\xf0\x9f\x98\x80\"", "\"\xc0\x80\"", "\"\xe2\x82\"",
	"\xf0\x9f\x98", "\xe2(", "\xfe", "-", "01", "1.", `"\`, `"\'"`, "\x00", "é", "'", "\"", "{\"a\":", "{\"b\":[", ",\"a\":1", "%", "\x1b",
	"\"\xed\xa0\x80", "\"\xf8\x88\x80\x80\x80\"", "\"\xc1\x81\xf5\n", `"\uffff"`, `"\ud83f\udfff"`, "\"\xef\xb7\x90\"", "1e", "E5", "0.", "hello", "\"\\\xc3\xa9\"",
}

// A real QEMU and this package answer the same to the same bytes.
func TestAgreesWithQEMU(t *testing.T) {
	vm := qemutest.Machine(t, "-qmp", "unix:qmp,server=on,wait=off")
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-args -seed=%d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	var record bytes.Buffer
	var version string
	for range *inputs {
		var in []byte
		for range 1 + r.IntN(12) {
			in = append(in, pieces[r.IntN(len(pieces))]...)
		}
		in = append(in, "\xff\n"...) // ends whatever was begun
		v, got := ask(t, vm.Path("qmp"), in)
		version = v
		if want := qemujson.Answer(qemujson.Newer(v), string(in), len(in)); got != want {
			t.Errorf("%q:\nQEMU %s answers\n%s this package\n%s", in, v, got, want)
		}
		fmt.Fprintf(&record, "%q\n", in)
		for line := range strings.Lines(got) {
			record.WriteString("\t" + line)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/"+version+".txt", record.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// ask returns QEMU's version, and what QEMU answers to in.
func ask(t *testing.T, path string, in []byte) (version, answers string) {
	t.Helper()
	c := qemutest.Conn(t, path)
	defer c.Close() // QEMU serves one client at a time
	lines := bufio.NewReader(c)
	read := func() string {
		t.Helper()
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%q: reading the answer: %v", in, err)
		}
		return strings.TrimSuffix(line, "\r\n")
	}
	var major, minor int
	greeting := read()
	for _, m := range []struct {
		name string
		to   *int
	}{{"major", &major}, {"minor", &minor}} {
		_, rest, _ := strings.Cut(greeting, `"`+m.name+`": `)
		if _, err := fmt.Sscanf(rest, "%d", m.to); err != nil {
			t.Fatalf("greeting %s", greeting)
		}
	}
	fmt.Fprint(c, qemujson.Negotiation)
	read()
	const end = `{"execute":"query-name","id":"end"}`
	c.Write(in)
	fmt.Fprint(c, end)
	var b strings.Builder
	for line := read(); !strings.HasSuffix(line, `"id": "end"}`); line = read() {
		if strings.Contains(line, "QMP input member") || strings.Contains(line, "QMP input lacks") {
			line = "object"
		}
		b.WriteString(line + "\n")
	}
	return fmt.Sprintf("%d.%d", major, minor), b.String()
}
