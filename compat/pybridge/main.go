// Command pybridge is a C library with the calls of package legacy, for the Python
// module in the folder python: see docs/iotests.md. It is the project's only code
// that uses cgo. That code is only built with the build tag pybridge:
//
//	go build -tags pybridge -buildmode=c-shared -o libgoqmp.so ./compat/pybridge
//
// "make pybridge" does this. Package internal/pybridge describes requests and results.
package main

import (
	"fmt"
	"os"
)

// main is called only if somebody starts the package as a program.
func main() {
	fmt.Fprintln(os.Stderr, "pybridge is a C library, not a program: make pybridge builds it")
	os.Exit(2)
}
