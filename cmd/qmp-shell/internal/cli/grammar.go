package cli

import "time"

// A grammar is the command line as kong reads it. The manual page, --help and the
// completion scripts are made from it, too.
type grammar struct {
	connection `group:"Connection"`
	printing   `group:"Output"`

	Version bool `help:"Print the version of the program, and end."`

	Shell shellCommand `cmd:"" default:"withargs" hidden:"" help:"Execute commands: in a shell, or those of -c, a file or the standard input."`
}

// A connection says how to connect.
type connection struct {
	Socket          string        `short:"s" placeholder:"ADDRESS" help:"The address of the server, in place of the argument ADDRESS."`
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
	HMP       bool     `name:"hmp" short:"H" help:"Each command is a line of the human monitor, such as 'info block'."`
	Commands  []string `short:"c" name:"command" sep:"none" placeholder:"COMMAND" help:"Execute COMMAND, and print its result. May be given several times."`
	File      string   `short:"f" placeholder:"FILE" help:"Execute the commands in FILE, one on each line; - is the standard input. What is wrong in FILE is told before anything is sent."`
	KeepGoing bool     `short:"k" help:"Go on after a command that the server has refused. The exit status tells that there was one."`

	Get       *string       `placeholder:"PATH" help:"Print only a part of each result, such as a/b[0]/c; with --wait-event or --job, of what was waited for."`
	WaitEvent []string      `placeholder:"NAME" help:"After the commands, wait for the event NAME, and print it. It counts also if it comes before the last reply. If given several times, the first of these events counts."`
	Match     []string      `sep:"none" placeholder:"KEY=VALUE" help:"Wait for an event in whose data KEY is VALUE, such as device=drive0. KEY may be a path, such as a/b[0]. May be given several times."`
	Job       string        `placeholder:"ID" help:"After the commands, wait for the end of the job ID, which they start, or which exists already."`
	Complete  bool          `help:"Complete the job when it is ready: a mirror switches to its target."`
	Timeout   time.Duration `placeholder:"TIME" help:"Give up after TIME, such as 30s, with exit status 4. It counts from the start of the program."`

	Address string `arg:"" optional:"" help:"Where the server listens: the path of a unix socket, HOST:PORT, or unix:PATH, tcp:HOST:PORT, vsock:CID:PORT or fd:NUMBER. If it is missing, the environment variable QMP_SOCKET is used."`
}
