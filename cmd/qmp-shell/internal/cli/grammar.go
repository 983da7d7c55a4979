package cli

import "time"

// A grammar is the command line as kong reads it. The manual page, --help and the
// completion scripts are made from it, too.
type grammar struct {
	connection `group:"Connection"`
	printing   `group:"Output"`

	Help    helpFlag `short:"h" help:"Print help about the program, or about the command before this option, and end."`
	Version bool     `help:"Print the version of the program, and end."`

	Shell      shellCommand      `cmd:"" default:"withargs" hidden:"" help:"Execute commands: in a shell, or those of -c, a file or the standard input."`
	Agent      agentCommand      `cmd:"" help:"Use the guest agent: programs and files of the guest."`
	QOM        qomCommand        `cmd:"" name:"qom" help:"Look at QEMU's objects and their properties, and change them."`
	Schema     schemaCommand     `cmd:"" help:"Search what this QEMU knows: commands, events and types, with their members and values."`
	Screenshot screenshotCommand `cmd:"" help:"Save a picture of the guest's screen."`
	Type       typeCommand       `cmd:"" help:"Type a text on the guest's keyboard."`
	Record     recordCommand     `cmd:"" help:"Execute commands as without the name of a command, and record the connection in FILE."`
	Replay     replayCommand     `cmd:"" help:"Serve a recording: play the server's side to the clients that connect."`
	Serve      serveCommand      `cmd:"" help:"Share a monitor: be its one client, and a QMP server for any number of others."`
	Completion completionCommand `cmd:"" help:"Print the script with which a shell completes the command line of qmp-shell."`
	Man        manCommand        `cmd:"" help:"Print the manual page, for man -l."`
}

// A connection says how to connect.
type connection struct {
	Socket          string        `short:"s" complete:"file" placeholder:"ADDRESS" help:"The address of the server, in place of the argument ADDRESS."`
	SkipNegotiation bool          `short:"N" help:"Expect no greeting, and do not negotiate capabilities: for a guest agent."`
	Retry           bool          `help:"Connect again while the server is not there yet, until the time of --connect-timeout is over."`
	ConnectTimeout  time.Duration `default:"5s" placeholder:"TIME" help:"How long to wait for a connection and for the server's greeting, such as 500ms or 1m. 0 waits without a limit."`
	Logfile         string        `short:"l" type:"path" placeholder:"FILE" help:"Append a log of all messages to FILE. Known secrets are masked."`

	TLS     bool   `name:"tls" group:"TLS" help:"Speak TLS. The other options for TLS imply this."`
	TLSDir  string `name:"tls-dir" group:"TLS" type:"path" placeholder:"FOLDER" help:"Take ca-cert.pem, client-cert.pem and client-key.pem from FOLDER, as QEMU's tls-creds-x509 does. The last two may be missing."`
	TLSCA   string `name:"tls-ca" group:"TLS" type:"path" placeholder:"FILE" help:"Accept a server whose certificate a CA in FILE has signed (PEM). Without it the CAs of the system count."`
	TLSCert string `name:"tls-cert" group:"TLS" type:"path" placeholder:"FILE" help:"Show the server the certificate in FILE (PEM)."`
	TLSKey  string `name:"tls-key" group:"TLS" type:"path" placeholder:"FILE" help:"The key of the certificate (PEM)."`
	TLSName string `name:"tls-name" group:"TLS" placeholder:"HOST" help:"The name in the server's certificate, if it is not the host in ADDRESS."`
}

// printing says what is printed, and how.
type printing struct {
	Pretty  bool `short:"p" help:"Print JSON indented, and not on one line."`
	Raw     bool `short:"r" help:"Print a value that is a text without quotes and escapes."`
	Verbose bool `short:"v" help:"Also print each message that is sent and received. Known secrets are masked."`
}

// A shellCommand is the program without the name of a command.
type shellCommand struct {
	execution

	Address string `arg:"" optional:"" help:"Where the server listens: the path of a unix socket, HOST:PORT, or unix:PATH, tcp:HOST:PORT, vsock:CID:PORT or fd:NUMBER. If it is missing, the environment variable QMP_SOCKET has it."`
}

// An execution says which commands are executed, and what is waited for.
type execution struct {
	HMP       bool     `name:"hmp" short:"H" group:"Commands" help:"Each command is a line of the human monitor, such as 'info block'."`
	Commands  []string `short:"c" name:"command" group:"Commands" sep:"none" placeholder:"COMMAND" help:"Execute COMMAND, and print its result. May be given several times."`
	File      string   `short:"f" complete:"file" group:"Commands" placeholder:"FILE" help:"Execute the commands in FILE, one on each line; - is the standard input. What is wrong in FILE is told before anything is sent."`
	KeepGoing bool     `short:"k" group:"Commands" help:"Go on after a command that the server has refused. The exit status tells that there was one."`

	Get       *string       `group:"Commands" placeholder:"PATH" help:"Print only a part of each result, such as a/b[0]/c; with --wait-event or --job, of what was waited for."`
	WaitEvent []string      `group:"Commands" placeholder:"NAME" help:"After the commands, wait for the event NAME, and print it. It counts also if it comes before the last reply. If given several times, the first of these events counts."`
	Match     []string      `group:"Commands" sep:"none" placeholder:"KEY=VALUE" help:"Wait for an event in whose data KEY is VALUE, such as device=drive0. KEY may be a path, such as a/b[0]. May be given several times."`
	Job       string        `group:"Commands" placeholder:"ID" help:"After the commands, wait for the end of the job ID, which they start, or which exists already."`
	Complete  bool          `group:"Commands" help:"Complete the job when it is ready: a mirror switches to its target."`
	Timeout   time.Duration `group:"Commands" placeholder:"TIME" help:"Give up after TIME, such as 30s, with exit status 4. It counts from the start of the program."`
}

// A recordCommand executes commands and records the connection.
type recordCommand struct {
	execution
	Unmasked bool `help:"Keep known secrets in the recording."`
	Stable   bool `help:"Leave out what differs from run to run, such as times: for a file that is compared."`

	To      string `arg:"" name:"file" complete:"file" help:"The recording. An existing file is replaced."`
	Address string `arg:"" optional:"" help:"Where the server listens."`
}

// A replayCommand serves a recording.
type replayCommand struct {
	Loose bool   `help:"Take the commands in another order than in the recording."`
	Fast  bool   `help:"Leave out the delays."`
	Who   string `name:"client" placeholder:"NAME" help:"Whose connections are played, if the recording has several clients."`

	From   string `arg:"" name:"file" complete:"file" help:"The recording."`
	Listen string `arg:"" complete:"file" help:"Where clients connect: a path or HOST:PORT. Only you can connect to a socket at a path."`
}

// A qomCommand is one of the commands for QOM.
type qomCommand struct {
	List struct {
		objects
	} `cmd:"" help:"List the properties of the object at PATH: NAME/ is an object below it, @NAME a reference."`
	Get struct {
		Target  string `arg:"" name:"path" help:"PATH.PROPERTY, or PATH for all properties."`
		Address string `arg:"" optional:"" help:"Where QEMU listens."`
	} `cmd:"" help:"Print a property of an object, or all of its properties."`
	Set struct {
		Target  string `arg:"" name:"path" help:"PATH.PROPERTY."`
		Value   string `arg:"" help:"JSON, or a text."`
		Address string `arg:"" optional:"" help:"Where QEMU listens."`
	} `cmd:"" help:"Set a property of an object."`
	Tree struct {
		objects
	} `cmd:"" help:"Print the object at PATH and all objects below it, with their properties and values."`
}

// objects are the arguments of commands for an object of QOM.
type objects struct {
	JSON    bool   `name:"json" help:"Print JSON, one value for each object."`
	Path    string `arg:"" optional:"" help:"The path of the object; without it that is /."`
	Address string `arg:"" optional:"" help:"Where QEMU listens. If there is only one argument, it is the address."`
}

// A schemaCommand searches the schema.
type schemaCommand struct {
	Pattern string `arg:"" help:"A part of a name, or whole names with * and ?. If it is the whole name of a command or event, everything about that is printed."`
	Address string `arg:"" optional:"" help:"Where QEMU listens."`
}

// A screenshotCommand saves a picture of the screen.
type screenshotCommand struct {
	Device string `placeholder:"ID" help:"The display device; without it that is the first one."`
	Head   int64  `placeholder:"NUMBER" help:"The output of the display device."`

	To      string `arg:"" name:"file" complete:"file" help:"The picture: .png, .ppm or .jpg; - is the standard output, in PNG. An existing file is replaced."`
	Address string `arg:"" optional:"" help:"Where QEMU listens."`
}

// A typeCommand types on the keyboard.
type typeCommand struct {
	Enter bool    `help:"Press return after the text."`
	Keys  bool    `help:"TEXT has the names of keys that are pressed together, such as ctrl-alt-delete; several such groups are separated by spaces."`
	Rate  float64 `default:"20" placeholder:"NUMBER" help:"How many keys are pressed in a second at most. A guest that is slow loses keys if they come too fast."`

	Text    string `arg:"" help:"What to type on a US keyboard. - is the standard input."`
	Address string `arg:"" optional:"" help:"Where QEMU listens."`
}

// An agentCommand is one of the commands for the guest agent.
type agentCommand struct {
	Ping struct {
		guest
	} `cmd:"" help:"Find out whether the agent answers."`
	Info struct {
		guest
	} `cmd:"" help:"Print what the agent tells about itself and the guest's system."`
	Exec struct {
		Env      []string `sep:"none" placeholder:"NAME=VALUE" help:"Set a variable of the program's environment, which then has only these. May be given several times."`
		Dir      string   `placeholder:"FOLDER" help:"The folder in the guest in which the program runs."`
		NoInput  bool     `short:"n" help:"Give the program no input: for a script whose own input is still needed."`
		Buffered bool     `help:"Pass all input before the program starts, and all output after its end: for a guest without a POSIX shell, such as Windows."`

		Address string   `arg:"" optional:"" help:"Where the agent listens."`
		Program []string `arg:"" optional:"" passthrough:"" help:"The program and its arguments. -- may stand before it."`
	} `cmd:"" help:"Run a program in the guest, with its input and output here. The exit status is that of the program."`
	Cat struct {
		File string `arg:"" help:"A file of the guest."`
		guest
	} `cmd:"" help:"Print a file of the guest."`
	Put struct {
		Local string `arg:"" complete:"file" help:"A file here; - is the standard input."`
		Guest string `arg:"" help:"The file in the guest. If the name ends in a slash, the name of LOCAL is added."`
		guest
	} `cmd:"" help:"Copy a file to the guest, and compare checksums."`
	Get struct {
		Guest string `arg:"" help:"A file of the guest."`
		Local string `arg:"" complete:"file" help:"The file here, or a folder; - is the standard output."`
		guest
	} `cmd:"" help:"Copy a file from the guest, and compare checksums."`
	Ls struct {
		Path string `arg:"" help:"A folder or file of the guest."`
		guest
	} `cmd:"" help:"List a folder of the guest."`
	Freeze struct {
		Limit time.Duration `default:"1m" placeholder:"TIME" help:"Thaw at the latest after TIME. It is for a program after --."`
		guest
	} `cmd:"" help:"Freeze the guest's file systems. With -- PROGRAM, run PROGRAM here meanwhile, and thaw them when it has ended, whatever happens."`
	Thaw struct {
		guest
	} `cmd:"" help:"Thaw the guest's file systems."`
	Status struct {
		guest
	} `cmd:"" help:"Print whether file systems are frozen: thawed or frozen."`
	Trim struct {
		Minimum int64 `placeholder:"BYTES" help:"Leave smaller free ranges out."`
		guest
	} `cmd:"" help:"Tell the host about blocks that the guest's file systems do not use (fstrim)."`
	Interfaces struct {
		guest
	} `cmd:"" aliases:"ifconfig" help:"Print the guest's network interfaces and their addresses."`
	Shutdown struct {
		Mode string `enum:"powerdown,halt,reboot" default:"powerdown" help:"powerdown, halt or reboot."`
		guest
	} `cmd:"" help:"Shut the guest down."`
	Suspend struct {
		Mode string `arg:"" enum:"disk,ram,hybrid" help:"disk, ram or hybrid."`
		guest
	} `cmd:"" help:"Suspend the guest."`
}

// guest is the last argument of commands for the guest agent.
type guest struct {
	Address string `arg:"" optional:"" help:"Where the agent listens. If it is missing, the environment variable QGA_CLIENT_ADDRESS has it."`
}

// A serveCommand shares a monitor.
type serveCommand struct {
	ReadOnly  bool     `help:"Users may only query: commands that change something are refused."`
	Allow     []string `sep:"none" placeholder:"PATTERN" help:"Users may execute the commands that match PATTERN, such as query-*. May be given several times. With --read-only, these in addition to those that query."`
	Deny      []string `sep:"none" placeholder:"PATTERN" help:"Users may not execute the commands that match PATTERN. May be given several times."`
	Audit     string   `complete:"file" placeholder:"FILE" help:"Append a line for each command to FILE: who, what, and the result. Known secrets are masked. - is the standard error."`
	Reconnect bool     `help:"When the connection to QEMU has ended, connect again. Users are disconnected meanwhile."`

	Address string `arg:"" help:"Where QEMU listens."`
	Listen  string `arg:"" optional:"" complete:"file" help:"Where users connect: a path or HOST:PORT. Only you can connect to a socket at a path. With a program after --, it is the only argument."`
}

// A completionCommand prints a completion script.
type completionCommand struct {
	For string `arg:"" name:"shell" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// A manCommand prints the manual page.
type manCommand struct{}
