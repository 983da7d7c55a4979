package qemujson

import "fmt"

const Negotiation = negotiation

var Answer = answer

// Newer reports whether a version of QEMU says where a fault is.
func Newer(version string) bool {
	var major int
	_, err := fmt.Sscanf(version, "%d.", &major)
	return err == nil && major >= 11
}
