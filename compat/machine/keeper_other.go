//go:build !unix

package machine

// A keeper needs process groups and a shell, which this system lacks.
type keeper struct{}

func startKeeper(...*privateDir) *keeper { return nil }

func (*keeper) stop() {}
