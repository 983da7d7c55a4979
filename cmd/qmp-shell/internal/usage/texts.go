package usage

// What the program is, on one line.
const about = "A shell for QEMU, qemu-storage-daemon and the QEMU guest agent, over QMP."

// forms are the ways to start the program.
var forms = [][2]string{
	{"[OPTION ...] [ADDRESS]", "a shell, or the commands of -c, a file or the standard input"},
	{"[OPTION ...] -- PROGRAM [ARGUMENT ...]", "starts QEMU or qemu-storage-daemon, and stops it at the end"},
	{"[OPTION ...] COMMAND ...", "one of the commands below"},
}

// A section is a part of the manual page, and of --help of the whole program.
type section struct {
	title string
	items [][2]string // a term and its explanation; a term "" is a paragraph
}

var description = section{"Description", [][2]string{
	{"", "The program connects to the QMP socket at ADDRESS and executes commands. If the standard input is a terminal and no commands are given, it is a shell: help in it tells more. Otherwise it executes the commands of -c, of a file or of the standard input, and prints the result of each as one line of JSON. With --wait-event or --job and neither -c nor a file it only waits, and does not read the standard input, which may be that of a loop or a service; -f - reads it."},
	{"", "With -- it starts a program itself: QEMU, or qemu-storage-daemon. It needs no socket then, and stops the program at the end. If no window can be opened, QEMU gets the option -display none first. All commands that connect to a QEMU can start one so."},
	{"", "If an ADDRESS has the name of a command, write it as a path: ./agent."},
}}

var language = section{"Syntax of commands", [][2]string{
	{"command key=value ...", "A command and its arguments. A value is a number, true, false, null, JSON, a Python literal, a text in quotes, or any other word as a text. A key with dots, a.b=1, is a member of an object."},
	{"command {\"key\": value, ...}", "The same with all arguments in one object."},
	{"exec-oob command ...", "The command is executed out of band."},
	{"transaction( action ... )", "A transaction, on one line or on several. Each action is written as a command."},
	{"{\"execute\": ...}", "A whole message."},
	{"# text", "A comment."},
}}

var statuses = section{"Exit status", [][2]string{
	{"0", "Everything succeeded."},
	{"1", "The server refused a command, a job failed, or something else failed."},
	{"2", "The command line or a command is wrong. Nothing was sent, except for commands that were read before from the standard input."},
	{"3", "There is no connection: it could not be made, or it has ended, or the program after -- could not be started."},
	{"4", "The time of --timeout is over."},
	{"128 + N", "Signal N has ended the program."},
	{"other", "agent exec ends with the exit status of the program in the guest, and agent freeze with that of the program here."},
}}

var environment = section{"Environment", [][2]string{
	{"QMP_SOCKET", "The address, if none is given."},
	{"QGA_CLIENT_ADDRESS", "The address for the commands of agent, if none is given."},
	{"NO_COLOR", "If it is set and not empty, nothing is colored. Only a terminal is given colors in any case."},
	{"XDG_STATE_HOME", "The folder that has the folder with the shell's history."},
}}

var examples = section{"Examples", [][2]string{
	{"qmp-shell /run/vm1.qmp", "A shell for the machine with this socket."},
	{"qmp-shell -c query-status --get status -r /run/vm1.qmp", "Prints the word running, for example."},
	{"qmp-shell -c system_powerdown --wait-event SHUTDOWN --timeout 60s /run/vm1.qmp", "Presses the power button, and waits until the guest has shut down."},
	{"qmp-shell -c 'blockdev-backup job-id=b device=disk target=copy sync=full' --job b /run/vm1.qmp", "Makes a backup, and ends when it is done."},
	{"qmp-shell -p -c query-block -- qemu-system-x86_64 -cdrom disk.iso", "Starts a machine, asks it one question, and stops it."},
	{"qmp-shell schema iothread /run/vm1.qmp", "Lists what this QEMU knows about iothreads."},
	{"qmp-shell agent exec /run/vm1.qga -- uname -a", "Runs a program in the guest."},
}}
