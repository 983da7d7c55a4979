#!/bin/sh
# Installs the programs that the tests drive, if they are missing.
# QMP_TEST_QEMU may name a qemu-system-x86_64 that is not on the PATH.
set -eu

# Debian keeps qemu-ga in a folder that a user's PATH often lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# tmux is the terminal in which qmp-shell is tested, groff shows its manual page, and zsh
# and fish try its completion. Python calls the library as compat/pybridge.
apt_packages='qemu-system-x86 qemu-utils qemu-guest-agent tmux groff-base zsh fish python3 xz-utils'
dnf_packages='qemu-system-x86-core qemu-img qemu-guest-agent tmux groff-base zsh fish python3 xz'
apk_packages='cmd:qemu-system-x86_64 cmd:qemu-storage-daemon cmd:qemu-img cmd:qemu-ga cmd:tmux cmd:groff cmd:zsh cmd:fish cmd:python3 cmd:xz'
brew_packages='qemu tmux groff zsh fish python'

say() { printf 'qemu: %s\n' "$*"; }

give_up() {
	say "$*" >&2
	cat >&2 <<-TEXT
		Install them by hand:
		    Debian, Ubuntu   apt-get install --no-install-recommends $apt_packages
		    Fedora           dnf install $dnf_packages
		    Alpine           apk add $apk_packages
		    macOS            brew install $brew_packages
		'make unit' runs the tests that need none of these programs.
	TEXT
	exit 1
}

# missing prints the wanted programs that this machine lacks.
missing() {
	for program in $wanted; do
		case $program in
		qemu-system-x86_64) file=${QMP_TEST_QEMU:-$program} ;;
		*) file=$program ;;
		esac
		command -v "$file" >/dev/null 2>&1 || printf '%s ' "$program"
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		run "$@"
	elif command -v sudo >/dev/null 2>&1; then
		run sudo "$@"
	else
		give_up 'installing them needs root, or sudo.'
	fi
}

run() {
	say "running: $*"
	"$@"
}

# The guest agent is not built for macOS, and the guest is made on Linux only: scripts/guest.sh
# unpacks the kernel's modules with xz.
wanted='qemu-system-x86_64 qemu-storage-daemon qemu-img tmux groff zsh fish python3'
[ "$(uname -s)" = Darwin ] || wanted="$wanted qemu-ga xz"

if [ -n "${QMP_TEST_QEMU:-}" ] && ! command -v "$QMP_TEST_QEMU" >/dev/null 2>&1; then
	say "QMP_TEST_QEMU is '$QMP_TEST_QEMU', which is not a program." >&2
	exit 1
fi

absent=$(missing)
[ -n "$absent" ] || exit 0
say "missing: ${absent% }"

# The lists of packages are split into words on purpose.
if command -v apt-get >/dev/null 2>&1; then
	# A fresh machine has no package lists. If a mirror does not answer, the lists that
	# are here may still do.
	as_root apt-get update -q || say 'apt-get update failed; going on with the lists that are here'
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 $apt_packages || give_up 'apt-get could not install them.'
elif command -v dnf >/dev/null 2>&1; then
	# shellcheck disable=SC2086
	as_root dnf install -y --setopt=install_weak_deps=False $dnf_packages || give_up 'dnf could not install them.'
elif command -v apk >/dev/null 2>&1; then
	# shellcheck disable=SC2086
	as_root apk add --no-cache $apk_packages || give_up 'apk could not install them.'
elif command -v brew >/dev/null 2>&1; then
	# Homebrew refuses to run as root, and does not need root.
	# shellcheck disable=SC2086
	run brew install $brew_packages || give_up 'brew could not install them.'
else
	give_up 'this machine has none of apt-get, dnf, apk and brew.'
fi

absent=$(missing)
[ -z "$absent" ] || give_up "still missing: ${absent% }"
say 'everything is here now.'
