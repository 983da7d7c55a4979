package secrets

import (
	"slices"
	"strings"
)

// inOptions has the names of the parameters of QEMU's and its tools' options that hold
// secrets. A name may have others before it: file.cookie.
var inOptions = []string{
	"password",          // -spice, -iscsi, and URLs of old versions
	"x509-key-password", // -spice
	"proxy-password",    // of curl
	"cookie",            // of curl
	"txcookie",          // -netdev l2tpv3
	"rxcookie",
	"data", // -object secret; no other option takes a parameter of this name that is not a file
}

// inOption has further names for one option. In any other option they are harmless.
var inOption = map[string]string{
	"fw_cfg": "string",
	"smbios": "value", // of type 11, where systemd finds credentials
}

// filesNamedData are the options whose parameter data is the name of a file.
var filesNamedData = []string{"acpitable"}

// Args returns a command line of QEMU or of one of its tools, with the secrets masked
// that its options are known to take. What a kernel gets (-append), and what a wrapper
// gets, is shown, except for what [Text] masks.
func Args(argv []string) []string {
	masked := make([]string, len(argv))
	option := ""
	for i, arg := range argv {
		masked[i] = maskArg(option, arg)
		option = ""
		if strings.HasPrefix(arg, "-") {
			option = strings.TrimLeft(arg, "-")
		}
	}
	return masked
}

// maskArg masks one word of a command line. option is the option before it, without its
// dashes, or "".
func maskArg(option, arg string) string {
	if strings.HasPrefix(arg, "--") { // --object=secret,...
		if name, value, ok := strings.Cut(arg, "="); ok && !strings.Contains(name, ",") {
			return name + "=" + maskArg(strings.TrimLeft(name, "-"), value)
		}
	}
	if text, ok := maskJSON(arg); ok {
		return text
	}
	if strings.HasPrefix(arg, jsonName) { // the name of a file, for qemu-img
		return Text(arg)
	}
	parts := parameters(arg)
	named := strings.Contains(arg, jsonName)
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case ok && isSecret(option, name, value):
			parts[i] = name + "=" + Mask
		case strings.Contains(part, jsonName):
			prefix := ""
			if ok && strings.HasPrefix(value, jsonName) {
				prefix, part = name+"=", value
			}
			masked, read := maskText(strings.ReplaceAll(part, ",,", ","))
			parts[i] = prefix + strings.ReplaceAll(masked, ",", ",,")
			if !read {
				return strings.Join(parts[:i+1], ",") // if its commas are not doubled, the rest belongs to it
			}
		case named:
			parts[i] = maskLine(part)
		}
	}
	if named {
		return strings.Join(parts, ",")
	}
	return maskLine(strings.Join(parts, ","))
}

// parameters cuts a word at its commas, except those that are doubled.
func parameters(arg string) (parts []string) {
	start := 0
	for i := 0; i < len(arg); i++ {
		if arg[i] != ',' {
			continue
		}
		if i+1 < len(arg) && arg[i+1] == ',' {
			i++
			continue
		}
		parts = append(parts, arg[start:i])
		start = i + 1
	}
	return append(parts, arg[start:])
}

// isSecret reports whether the parameter name of an option holds a secret.
func isSecret(option, name, value string) bool {
	name = name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case slices.Contains([]string{"on", "off", "yes", "no", "true", "false"}, value): // password=on, of -vnc
		return false
	case name == "data" && slices.Contains(filesNamedData, option):
		return false
	}
	return slices.Contains(inOptions, name) || name != "" && inOption[option] == name
}

// shortest is the length of the shortest secret that Output looks for by itself, in
// bytes. A shorter one may be a part of other words.
const shortest = 5

// Output returns what the program with this command line has written, with the secrets
// of the command line masked. QEMU repeats an option that it does not understand.
func Output(output string, argv []string) string {
	var pairs []string
	option := ""
	for _, arg := range argv {
		masked := maskArg(option, arg)
		if masked != arg {
			pairs = append(pairs, arg, masked)
			for _, part := range parameters(arg) {
				if name, value, ok := strings.Cut(part, "="); ok && len(value) >= shortest && isSecret(option, name, value) {
					pairs = append(pairs, value, Mask, strings.ReplaceAll(value, ",,", ","), Mask)
				}
			}
		}
		option = ""
		if strings.HasPrefix(arg, "-") {
			option = strings.TrimLeft(arg, "-")
		}
	}
	return Text(strings.NewReplacer(pairs...).Replace(output))
}
