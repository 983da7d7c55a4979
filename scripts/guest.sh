#!/bin/sh
# Makes the guest of the tests (internal/testing/guest) in a cache: Debian's kernel
# for virtual machines with a few of its modules, busybox, and the guest agent of
# this machine with its libraries.
#
# Nothing is installed: the packages are only unpacked. If the cache has a guest, the
# script does nothing; remove its folder in the cache to fetch newer packages. On
# a machine without Debian's apt the tests that need the guest are skipped.
#
# The cache is $QMP_TEST_CACHE, or goqmp in the user's cache folder.
set -eu
export LC_ALL=C

# Debian keeps qemu-ga in a folder that a user's PATH often lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

modules='virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console
	pvpanic pvpanic-mmio evdev button brd'

# The folder's name changes when what is in it does.
folder=guest-2
cache=${QMP_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/goqmp}

say() { printf 'guest: %s\n' "$*"; }

give_up() {
	say "$*; the tests that boot a guest will be skipped." >&2
	exit 0
}

# download fetches the packages into the current folder.
download() {
	kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
	[ -n "$kernel" ] && apt-get download -q "$kernel" busybox-static
}

# update fetches new lists of packages. A fresh machine has no lists, and old lists
# name packages that do not exist any more.
update() {
	say 'running: apt-get update'
	if [ "$(id -u)" -eq 0 ]; then
		apt-get update -q
	elif command -v sudo >/dev/null 2>&1; then
		sudo apt-get update -q
	fi
}

# one prints the file that the pattern matches. It fails if that is not one file.
one() {
	[ $# -eq 1 ] && [ -e "$1" ] || { say "expected one file, got: $*" >&2; return 1; }
	printf '%s\n' "$1"
}

# module adds a module to the guest's files. A module that is built into the kernel
# has no file.
module() {
	file=$(find root -name "$1.ko" -o -name "$1.ko.xz")
	case $file in
	*.ko.xz) xz -dc "$file" >"new/files/modules/$1.ko" ;;
	*.ko) cp "$file" new/files/modules/ ;;
	*) grep -q "/$1.ko\$" root/lib/modules/*/modules.builtin root/usr/lib/modules/*/modules.builtin 2>/dev/null ||
		{ say "the kernel has no module $1" >&2; return 1; } ;;
	esac
}

# lay_out makes the folder "new" with the kernel and the guest's files.
lay_out() {
	for package in *.deb; do
		dpkg-deb -x "$package" root
	done
	mkdir -p new/files/bin new/files/modules new/files/agent/lib
	cp "$(one root/boot/vmlinuz-*)" new/vmlinuz
	cp "$(find root -type f -path '*/bin/busybox')" new/files/bin/busybox
	for name in $modules; do
		module "$name"
	done
	agent=$(command -v qemu-ga)
	cp "$agent" new/files/agent/qemu-ga
	for library in $(ldd "$agent" | grep -o '/[^ ]*'); do
		cp "$library" new/files/agent/lib/
	done
	mv new/files/agent/lib/ld-linux-*.so.* new/files/agent/ld.so
}

[ ! -e "$cache/$folder" ] || exit 0
[ "$(uname -sm)" = 'Linux x86_64' ] || give_up 'the guest is made of programs for Linux on x86_64'
for tool in apt-get apt-cache dpkg-deb ldd qemu-ga xz; do
	command -v "$tool" >/dev/null 2>&1 || give_up "fetching the guest needs Debian's tools: this machine has no $tool"
done

mkdir -p "$cache"
work=$(mktemp -d "$cache/$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
download >log 2>&1 || { update && download; } >log 2>&1 || {
	cat log >&2
	give_up 'apt cannot fetch the packages'
}
lay_out
# Another run of this script may have been faster. Its folder stays then.
mv -T new "$cache/$folder" 2>/dev/null || [ -e "$cache/$folder/vmlinuz" ]
say "the guest is in $cache/$folder"
