package qmptest

// A Version is what a greeting and query-version say.
type Version struct {
	Major, Minor, Micro int
	Package             string
}

// DefaultVersion is used where none is given.
var DefaultVersion = Version{Major: 7, Minor: 2, Micro: 22}
