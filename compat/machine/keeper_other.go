//go:build !unix

package machine

// A keeper is for systems with process groups and a shell.
type keeper struct{}

func startKeeper(...*privateDir) *keeper { return nil }

func (*keeper) stop() {}
