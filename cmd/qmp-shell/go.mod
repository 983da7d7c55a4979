// The shell is a module of its own, so that what it needs for a terminal (reading
// options, editing lines, progress bars) does not enter the go.mod of the library:
// whoever imports the library gets none of it. The shell is built from this repository,
// with the library that is next to it. (go install with @latest refuses a module that
// has a replace line.) `make shell` installs it.
module github.com/goqmp/qmp/cmd/qmp-shell

go 1.26.0

require (
	github.com/goqmp/qmp v0.0.0
	golang.org/x/term v0.48.0
)

require (
	github.com/alecthomas/kong v1.17.0
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/go-json-experiment/json v1.27.2
	github.com/hashicorp/errwrap v1.0.0 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace github.com/goqmp/qmp => ../..
