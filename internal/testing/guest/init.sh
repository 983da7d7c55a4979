#!/bin/busybox sh
# The guest's first and only program. The kernel passes words of its command line
# that it does not know as environment variables: see Options in guest.go.
#
# What it says on the serial port begins with "guest: ".

/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

say() { echo "guest: $*" >/dev/ttyS0; }

# load inserts modules. One that is built into this kernel has no file.
load() {
	for module; do
		[ ! -e "/modules/$module.ko" ] || insmod "/modules/$module.ko" || say "cannot load $module"
	done
}

# await_file waits for a device, which the kernel makes a moment after its module
# was loaded.
await_file() {
	until [ -e "$1" ]; do sleep 0.05; done
}

# button_device prints the device of the power button.
button_device() {
	for name in /sys/class/input/event*/device/name; do
		[ "$(cat "$name")" != 'Power Button' ] || basename "${name%/device/name}"
	done | head -n 1
}

if [ -n "$hold" ]; then
	say 'booting'
	read -r _ </dev/ttyS0
fi

load virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console
load pvpanic pvpanic-mmio
if [ "$agent" = yes ]; then
	await_file /dev/vport0p1
	load brd
	await_file /dev/ram0
	mkdir -p /mnt
	mke2fs /dev/ram0 >/dev/null 2>&1
	mount -t ext4 /dev/ram0 /mnt || say 'cannot mount /mnt'
	# guest-shutdown executes this program.
	mkdir -p /sbin
	cat >/sbin/shutdown <<'END'
#!/bin/busybox sh
case $1 in
-r) exec reboot -f ;;
*) exec poweroff -f ;;
esac
END
	chmod 755 /sbin/shutdown
	while :; do
		/agent/ld.so --library-path /agent/lib /agent/qemu-ga --method=virtio-serial --path=/dev/vport0p1 --statedir=/run </dev/null >/dev/ttyS0 2>&1
		sleep 0.1
	done &
fi

load evdev button
event=$(button_device)
await_file "/dev/input/$event"
exec 3<"/dev/input/$event"
say 'ready'

# A press of the button is four records of 24 bytes (struct input_event): down, end
# of report, up, end of report.
while [ "$(head -c 96 <&3 | wc -c)" = 96 ]; do
	say 'power button'
	case $button in
	ignore) ;;
	panic) echo c >/proc/sysrq-trigger ;;
	reboot) reboot -f ;;
	*) poweroff -f ;;
	esac
done
say 'the power button is gone'
