package main

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestConvert(t *testing.T) {
	const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1.25}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestB/raw"}
{"Action":"output","Package":"p","Test":"TestB/raw","Output":"    b_test.go:3: not suitable: raw\n"}
{"Action":"output","Package":"p","Test":"TestB/raw","Output":"--- SKIP: TestB/raw (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB/raw","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestB/qcow2"}
{"Action":"output","Package":"p","Test":"TestB/qcow2","Output":"    b_test.go:9: got 1\n        want 2\n"}
{"Action":"fail","Package":"p","Test":"TestB/qcow2","Elapsed":0.5}
{"Action":"fail","Package":"p","Test":"TestB","Elapsed":0.5}
{"Action":"fail","Package":"p","Elapsed":2}
{"ImportPath":"q [q.test]","Action":"build-output","Output":"x.go:1: undefined: y\n"}
{"ImportPath":"q [q.test]","Action":"build-fail"}
{"Action":"fail","Package":"q","Elapsed":0}
{"Action":"pass","Package":"r","Elapsed":0}
no JSON
`
	const want = `TAP version 13
ok 1 - p TestA
  ---
  duration_ms: 1250
  ...
ok 2 - p TestB/raw # SKIP not suitable: raw
  ---
  duration_ms: 0
  ...
not ok 3 - p TestB/qcow2
  ---
  duration_ms: 500
  ...
#     b_test.go:9: got 1
#         want 2
not ok 4 - q
  ---
  duration_ms: 0
  ...
# x.go:1: undefined: y
# no JSON
1..4
`
	var got strings.Builder
	ok, err := convert(strings.NewReader(events), &got)
	if ok || err != nil || got.String() != want {
		t.Errorf("%v, %v, got:\n%s\nwant:\n%s", ok, err, got.String(), want)
	}
}

func TestConvertPassed(t *testing.T) {
	var got strings.Builder
	ok, err := convert(strings.NewReader(`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.001}`), &got)
	if !ok || err != nil || !strings.HasSuffix(got.String(), "duration_ms: 1\n  ...\n1..1\n") {
		t.Errorf("%v, %v, %s", ok, err, got.String())
	}
}

// A test that fails by itself, beside subtests that pass, is a result of its own.
func TestConvertParentFails(t *testing.T) {
	const events = `{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestB/raw"}
{"Action":"pass","Package":"p","Test":"TestB/raw"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
`
	var got strings.Builder
	ok, err := convert(strings.NewReader(events), &got)
	if ok || err != nil || !strings.Contains(got.String(), "not ok 2 - p TestB\n") || !strings.HasSuffix(got.String(), "1..2\n") {
		t.Errorf("%v, %v, %s", ok, err, got.String())
	}
}

func TestConvertBrokenStream(t *testing.T) {
	broken := errors.New("broken")
	if _, err := convert(iotest.ErrReader(broken), new(strings.Builder)); !errors.Is(err, broken) {
		t.Error(err)
	}
}
