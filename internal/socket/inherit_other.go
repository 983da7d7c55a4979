//go:build !unix

package socket

import (
	"errors"
	"os"
)

// inherit needs descriptors as Unix has them.
func inherit[T any](string, func(*os.File) (T, error)) (T, error) {
	var none T
	return none, errors.New("inherited descriptors need a Unix system; here, hand the connection to Attach")
}
