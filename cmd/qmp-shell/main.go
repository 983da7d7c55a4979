// Qmp-shell talks to QEMU, qemu-storage-daemon and the QEMU guest agent over QMP: as a
// shell for people, and as a command for scripts.
//
//	qmp-shell /run/vm1.qmp                        a shell, if the input is a terminal
//	qmp-shell -c query-status /run/vm1.qmp        one command, its result on one line
//	qmp-shell -- qemu-system-x86_64 -m 1G         starts a machine, and stops it at the end
//
// qmp-shell --help lists the options and the other commands.
package main

import (
	"os"

	"github.com/goqmp/qmp/cmd/qmp-shell/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
