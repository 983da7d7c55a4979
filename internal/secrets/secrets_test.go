package secrets

import (
	"encoding/json"
	"strings"
	"testing"
)

// The command lines of these tests have the secret "hunter2", and "shown" where something
// must not be masked.
func TestArgs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"-object secret,id=shown,data=hunter2", "-object secret,id=shown,data=***"},
		{"-object secret,id=shown,data=hunter2,,hunter2,format=raw", "-object secret,id=shown,data=***,format=raw"},
		{"--object secret,data=hunter2", "--object secret,data=***"},
		{"--object=secret,data=hunter2", "--object=secret,data=***"},
		{"-object qom-type=secret,id=shown,data=hunter2", "-object qom-type=secret,id=shown,data=***"},
		{`-object {"qom-type":"secret","id":"shown","data":"hunter2"}`, `-object {"qom-type":"secret","id":"shown","data":"***"}`},
		{"-object secret,file=/shown,id=x", "-object secret,file=/shown,id=x"},
		{"-acpitable sig=shown,data=shown", "-acpitable sig=shown,data=shown"},
		{"-vnc :0,password=on,password-secret=shown", "-vnc :0,password=on,password-secret=shown"},
		{"-spice port=1,password=hunter2,x509-key-password=hunter2", "-spice port=1,password=***,x509-key-password=***"},
		{"-iscsi user=shown,password=hunter2", "-iscsi user=shown,password=***"},
		{"-drive file=https://shown:hunter2@host/disk,if=virtio", "-drive file=https://shown:***@host/disk,if=virtio"},
		{"-drive file=https://host/x?shown=1&X-Amz-Signature=hunter2,if=none", "-drive file=https://host/x?shown=1&X-Amz-Signature=***,if=none"},
		{"-drive file=iscsi://shown%hunter2@host/iqn/0", "-drive file=iscsi://shown%***@host/iqn/0"},
		{"-drive file=ssh://shown@host/disk", "-drive file=ssh://shown@host/disk"},
		{"-drive driver=https,url=x,cookie=hunter2", "-drive driver=https,url=x,cookie=***"},
		{"-drive if=none,file.driver=https,file.cookie=hunter2,file.password-secret=shown", "-drive if=none,file.driver=https,file.cookie=***,file.password-secret=shown"},
		{`-blockdev {"driver":"https","url":"https://shown:hunter2@h/","cookie":"hunter2","node-name":"shown"}`, `-blockdev {"driver":"https","url":"https://shown:***@h/","cookie":"***","node-name":"shown"}`},
		{`-drive if=none,file=json:{"driver":"https",,"url":"x",,"cookie":"hunter2"}`, `-drive if=none,file=json:{"driver":"https",,"url":"x",,"cookie":"***"}`},
		{`info json:{"driver":"https","url":"x","cookie":"hunter2"}`, `info json:{"driver":"https","url":"x","cookie":"***"}`},
		{`-drive file=rbd:pool/shown:id=shown:key=hun\:ter2\=\=hunter2:mon_host=shown`, `-drive file=rbd:pool/shown:id=shown:key=***:mon_host=shown`},
		{"-netdev l2tpv3,id=shown,txcookie=0xhunter2,rxcookie=0xhunter2", "-netdev l2tpv3,id=shown,txcookie=***,rxcookie=***"},
		{"-fw_cfg name=opt/shown,string=hunter2", "-fw_cfg name=opt/shown,string=***"},
		{"-fw_cfg name=opt/shown,file=/shown", "-fw_cfg name=opt/shown,file=/shown"},
		{"-smbios type=11,value=io.systemd.credential:shown=hunter2", "-smbios type=11,value=***"},
		{"-append root=/shown systemd.set_credential=shown:hunter2 quiet", "-append root=/shown systemd.set_credential=shown:*** quiet"},
		{"-set object.shown.data=hunter2", "-set object.shown.data=***"},
		{`-object {'qom-type':'secret','id':'shown','data':'hunter2'}`, `-object {"qom-type":"secret","id":"shown","data":"***"}`},
		{`--object={'qom-type':'secret','data':'hunter2'}`, `--object={"qom-type":"secret","data":"***"}`},
		{`-object {"qom-type":"secret","data":"hunter2",}`, `-object ***`},
		{`-object {"qom-type":"secret","data":"hunter2"`, `-object ***`},
		{`-object  {"data":"hunter2"}`, `-object  {"data":"***"}`},
		{`-blockdev {'driver':'https','url':'https://shown:hunter2@h/','cookie':'hunter2'}`, `-blockdev {"driver":"https","url":"https://shown:***@h/","cookie":"***"}`},
		{`-drive if=none,file=json:{'driver':'https',,'cookie':'hunter2'},id=shown`, `-drive if=none,file=json:{"driver":"https",,"cookie":"***"},id=shown`},
		{`-drive if=none,file=json:{'driver':'https','cookie':'hunter2'}`, `-drive if=none,file=json:***`},
		{`-drive if=none,file=json:{"cookie":"hunter2",,},id=x`, `-drive if=none,file=json:***`},
		{`-drive file=blkdebug:shown:json:{'cookie':'hunter2'}`, `-drive file=blkdebug:shown:json:{"cookie":"***"}`},
		{`-drive file=json: {'cookie':'hunter2'}`, `-drive file=json: {"cookie":"***"}`},
		{`info json:{'cookie':'hunter2','url':'x'}`, `info json:{"cookie":"***","url":"x"}`},
		{`info json:hunter2`, `info json:***`},
		{"-m 256 -nographic -cpu max,shown=on", "-m 256 -nographic -cpu max,shown=on"},
	} {
		option, arg, _ := strings.Cut(tt.in, " ")
		argv := []string{option, arg}
		if got := strings.TrimSpace(strings.Join(Args(argv), " ")); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.in, got, tt.want)
		}
		if argv[1] != arg {
			t.Errorf("%s: Args has changed its argument", tt.in)
		}
	}
}

// QEMU's messages repeat options, and values.
func TestOutput(t *testing.T) {
	t.Parallel()
	argv := []string{"qemu", "-object", "secret,id=shown,data=hunter2,,x,shown=1", "-spice", "password=abc"}
	in := "qemu: -object secret,id=shown,data=hunter2,,x,shown=1: Invalid parameter 'shown'\nhunter2,x is bad; hunter2,,x; abc\nqemu: -spice password=abc: no"
	want := "qemu: -object secret,id=shown,data=***,shown=1: Invalid parameter 'shown'\n*** is bad; ***; abc\nqemu: -spice password=***: no"
	if got := Output(in, argv); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Output(in, nil); got != in {
		t.Errorf("without secrets: got %s", got)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		mask      func([]byte) []byte
		msg, want string
	}{
		{"a URL", Command, `{"execute":"drive-backup","arguments":{"target":"https://shown:hunter2@host/"}}`, `{"execute":"drive-backup","arguments":{"target":"https://shown:***@host/"}}`},
		{"an escaped URL", Command, `{"execute":"x","arguments":{"target":"https:\/\/shown\u003ahunter2@host\/"}}`, `{"execute":"x","arguments":{"target":"https://shown:***@host/"}}`},
		{"a JSON name", Event, `{"event":"E","data":{"file":"json:{\"driver\": \"https\", \"cookie\": \"hunter2\"}"}}`, `{"event":"E","data":{"file":"json:{\"driver\":\"https\",\"cookie\":\"***\"}"}}`},
		{"a JSON name of QEMU's own", Command, `{"execute":"drive-mirror","arguments":{"target":"json:{'driver':'https','cookie':'hunter2'}"}}`, `{"execute":"drive-mirror","arguments":{"target":"json:{\"driver\":\"https\",\"cookie\":\"***\"}"}}`},
		{"a JSON name that cannot be read", Command, `{"execute":"drive-mirror","arguments":{"target":"json:{'cookie':'hunter2',}"}}`, `{"execute":"drive-mirror","arguments":{"target":"json:***"}}`},
		{"an escaped JSON name", Command, `{"execute":"x","arguments":{"target":"\u006ason:{'cookie':'hunter2'}"}}`, `{"execute":"x","arguments":{"target":"json:{\"cookie\":\"***\"}"}}`},
		{"an error with a JSON name", func(b []byte) []byte { return Reply(b, nil) }, `{"error":{"desc":"Could not open 'json:{\"cookie\":\"hunter2\"}': shown https://u:hunter2@h/"}}`, `{"error":{"desc":"Could not open 'json:{\"cookie\":\"***\"}': shown https://u:***@h/"}}`},
		{"nothing", Event, `{"event": "E", "data": {"file": "a\\b"}}`, `{"event": "E", "data": {"file": "a\\b"}}`},
		{"a name is not a text", Event, `{"event":"E","data":{"https://shown:shown@host/": 1}}`, `{"event":"E","data":{"https://shown:shown@host/": 1}}`},
		{"typed keys", Command, `{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"h"}]}}`, `{"execute":"send-key","arguments":{"keys":"***"}}`},
		{"blockdev-create", Command, `{"execute":"blockdev-create","arguments":{"options":{"file":{"cookie":"hunter2"}}}}`, `{"execute":"blockdev-create","arguments":{"options":{"file":{"cookie":"***"}}}}`},
		{"a line in a failure", InFailure, `{"execute":"human-monitor-command","arguments":{"command-line":"set_password vnc hunter2"}}`, `{"execute":"human-monitor-command","arguments":{"command-line":"set_password ***"}}`},
		{"a harmless line", InFailure, `{"execute":"human-monitor-command","arguments":{"command-line":"qemu-io shown \"write 0 1\""}}`, `{"execute":"human-monitor-command","arguments":{"command-line":"qemu-io shown \"write 0 1\""}}`},
		{"another command in a failure", InFailure, `{"execute":"set_password","arguments":{"password":"hunter2"}}`, `{"execute":"set_password","arguments":{"password":"***"}}`},
	} {
		if got := string(tt.mask([]byte(tt.msg))); got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestInReply(t *testing.T) {
	t.Parallel()
	for line, hidden := range map[string]bool{
		"qom-get /objects/s data": true, "  xp/4x 0": true, "x/i 0": true, "ringbuf_read c 1": true, `qemu-io d "read -v 0 1"`: true,
		"info block": false, "": false, "set_password vnc x": false,
	} {
		args, _ := json.Marshal(map[string]string{"command-line": line})
		if got := InReply(hmp, args) != nil; got != hidden {
			t.Errorf("%q: hidden %v, want %v", line, got, hidden)
		}
	}
	for _, line := range []string{"set_password vnc hunter2", "change vnc password hunter2", "object_add secret,id=s,data=hunter2", "chardev-add hunter2", "expire_password vnc hunter2", "block_set_io_throttle hunter2"} {
		if got := Line(line); strings.Contains(got, "hunter2") {
			t.Errorf("Line(%q) = %q", line, got)
		}
	}
	if got := Line("stop"); got != "stop" {
		t.Errorf("got %q", got)
	}
	if got := Line("unknown"); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

// However a command line is written, masking does not fail, does not invent anything but
// the mask, and does nothing more when it is done again.
func FuzzArgs(f *testing.F) {
	f.Add("-object", "secret,id=s,data=hunter2")
	f.Add("-drive", `file=json:{"cookie":"x"},,x`)
	f.Add("--object=secret,data=x", "rbd:a/b:key=c\\:d")
	f.Add("-drive", `file=json:{'cookie':'x',,'a':'json:{}'},x=json:{`)
	f.Add("-blockdev", `{"url":"https://a:b@c?token=d"}`)
	f.Fuzz(func(t *testing.T, option, arg string) {
		argv := []string{option, arg}
		masked := Args(argv)
		if len(masked) != 2 || argv[0] != option || argv[1] != arg {
			t.Fatalf("%q became %q", argv, masked)
		}
		if again := Args(masked); again[0] != masked[0] || again[1] != masked[1] {
			t.Errorf("%q became %q, and then %q", argv, masked, again)
		}
		_ = Output(arg, argv)
		_ = Line(arg)
	})
}
