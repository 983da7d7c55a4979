package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The tests start QEMU through a wrapper, which is this program under the name of
// QEMU's. It changes the arguments and then executes the real QEMU.

// The environment variables that the wrapper reads.
const (
	envBin      = "QMP_IOTESTS_BIN"      // the folder with the real programs
	envFirmware = "QMP_IOTESTS_FIRMWARE" // a firmware that halts, see haltingFirmware
	envObject   = "QMP_IOTESTS_OBJECT"   // if it is set, this QEMU wants -object in place of -mon
)

// wrapped are the programs that have a wrapper.
const wrapped = "qemu-system-x86_64"

// isWrapper reports whether this process was started as a wrapper.
func isWrapper() bool { return filepath.Base(os.Args[0]) == wrapped && os.Getenv(envBin) != "" }

// wrap executes the real program in place of this process.
func wrap() error {
	program := filepath.Join(os.Getenv(envBin), filepath.Base(os.Args[0]))
	args := rewrite(os.Args[1:], os.Getenv(envFirmware), os.Getenv(envObject) != "")
	return errors.Join(errors.New("cannot start "+program), execute(program, append([]string{os.Args[0]}, args...), os.Environ()))
}

// rewrite returns the arguments for a QEMU of Debian, which lacks the accelerator
// qtest. With that accelerator the guest does not run, and with TCG and a firmware
// that halts it does almost nothing. If object is set, QMP monitors are made by
// -object, since newer versions print a warning for -mon.
func rewrite(args []string, firmware string, object bool) []string {
	args = slices.Clone(args)
	halt, monitors := false, 0
	for i := 0; i < len(args); i++ {
		if i+1 == len(args) {
			break
		}
		value := &args[i+1]
		switch strings.Replace(args[i], "--", "-", 1) {
		case "-accel", "-machine", "-M":
			was := *value
			if args[i] == "-accel" && was == "qtest" {
				*value = "tcg"
			}
			*value = strings.ReplaceAll(*value, "accel=qtest", "accel=tcg")
			halt = halt || *value != was
			i++
		case "-mon":
			if options, ok := monitorObject(*value, monitors); object && ok {
				args[i], *value = "-object", options
				monitors++
			}
			i++
		}
	}
	if halt && !slices.Contains(args, "-bios") {
		args = append(args, "-bios", firmware)
	}
	return args
}

// monitorObject returns the options of -object for those of -mon, if they are for a
// QMP monitor. n makes its name unique.
func monitorObject(mon string, n int) (options string, ok bool) {
	id, rest := "", []string(nil)
	for option := range strings.SplitSeq(mon, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch {
		case name == "mode" && value == "control":
			ok = true
		case name == "id":
			id = value
		case option == name: // -mon takes the chardev's name alone
			rest = append(rest, "chardev="+name)
		default:
			rest = append(rest, option)
		}
	}
	if id == "" {
		id = "compat_monitor" + string(rune('0'+n%10))
	}
	return strings.Join(append([]string{"monitor-qmp", "id=" + id}, rest...), ","), ok
}

// haltingFirmware returns a firmware for x86 that halts the processor at once.
func haltingFirmware() []byte {
	const size = 64 << 10                                    // QEMU takes multiples of it
	code := []byte{0xfa, 0xf4, 0xeb, 0xfd}                   // cli; l: hlt; jmp l
	image := slices.Repeat([]byte{0xf4}, size)               // hlt
	copy(image[size-16:], append(code, make([]byte, 12)...)) // where the processor begins
	return image
}
