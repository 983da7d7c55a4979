package qapigen

import (
	"strings"
	"unicode"
)

// initialisms are the words that are written in capitals in Go names. The key is the
// word in lower case: a word of a QAPI name is looked up whatever its case is.
var initialisms = func() map[string]string {
	m := make(map[string]string)
	for w := range strings.FieldsSeq(`ACPI API ARM AUX BIOS BPF CFMW COLO CPU CXL DBUS DHCP DIMM DMA DNS EBPF ECC EOF FD FS FTP FTPS FUSE
		GIC GL GPA GPU GUID HBA HMP HTTP HTTPS HV HW ICH ID IDE IO IOMMU IP IRQ ISA ISCSI JSON KVM LAN LUKS MAC MCE MTU NBD NFS NIC NUMA NVDIMM NVME
		OOB OS PCI PCIE PEM PID PIO PIT PMEM PR PS PSK PTY QMP QOM RAM RDMA RNG ROM RSA RSS RTC RX SASL SCSI SCLP SEV SGX SHA SMB SMBIOS SMP SMT SPI SQ SSH SSL
		TCG TCP TDX TFTP TLS TPM TTL TTY TX UDP UEFI UI UID URI URL USB UTC UUID VCPU VDI VF VFIO VGA VHDX VIRTIO VM VMDK VNC VPC VQ VT
		XBZRLE XEN ZSTD QEMU AIO AES ALSA OK PNG PPM EGL SDL DMG QED RBD XDP GHES CDROM COW MSI GTK`) {
		m[strings.ToLower(w)] = w
	}
	m["dbus"] = "DBus"
	m["virtio"] = "Virtio"
	m["xen"] = "Xen"
	m["ipv4"], m["ipv6"] = "IPv4", "IPv6"
	m["cpus"], m["ids"], m["fds"], m["vcpus"], m["iommus"] = "CPUs", "IDs", "FDs", "VCPUs", "IOMMUs"
	m["vnc"], m["iothread"], m["iothreads"] = "VNC", "IOThread", "IOThreads"
	m["qcow"], m["qcow2"] = "Qcow", "Qcow2"
	return m
}()

// GoName returns the exported Go name of a QAPI name. The characters '-', '_', '.' and
// '+' and changes of case separate words. GoName capitalizes the words, writes
// initialisms in capitals, and joins them. It puts '_' between two digits that would
// otherwise meet.
func GoName(name string) string {
	var b strings.Builder
	for _, word := range words(name) {
		if n := b.Len(); n > 0 && isDigit(b.String()[n-1]) && isDigit(word[0]) {
			b.WriteByte('_') // x86_64
		}
		b.WriteString(goWord(word))
	}
	return b.String()
}

// goWord returns a word as it is written in a Go name.
func goWord(word string) string {
	if w, ok := initialisms[strings.ToLower(word)]; ok {
		return w
	}
	if isUpper(word) {
		return word // an acronym that QAPI writes in capitals
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isUpper(word string) bool { return len(word) > 1 && word == strings.ToUpper(word) }

// words splits a QAPI name into words: "BlockdevOptionsQcow2" into Blockdev, Options
// and Qcow2, "QCryptoTLSCreds" into Q, Crypto, TLS and Creds.
func words(name string) []string {
	var words []string
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' || r == '+' }) {
		runes := []rune(part)
		start := 0
		for i := 1; i < len(runes); i++ {
			lowerToUpper := !unicode.IsUpper(runes[i-1]) && unicode.IsUpper(runes[i])
			lastOfCapitals := unicode.IsUpper(runes[i-1]) && unicode.IsUpper(runes[i]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if lowerToUpper || lastOfCapitals {
				words = append(words, string(runes[start:i]))
				start = i
			}
		}
		words = append(words, string(runes[start:]))
	}
	return words
}

// lowerCased returns the name of an event in lower case if it is all in capitals, so
// that GoName capitalizes its words like those of other names.
func lowerCased(name string) string {
	if name == strings.ToUpper(name) {
		return strings.ToLower(name)
	}
	return name
}
