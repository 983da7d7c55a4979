#!/bin/sh
# Runs a command so that tests find the programs of one version of QEMU, and no others.
#
#	with-qemu.sh VERSION COMMAND...
#
# VERSION is one that scripts/qemu-fetch.sh knows, or "system" for the QEMU on the PATH.
# It is printed before the command runs.
set -eu

version=$1
shift
if [ "$version" != system ]; then
	bin=$("$(dirname "$0")/qemu-fetch.sh" "$version")
	PATH=$bin:$PATH
	QMP_TEST_QEMU=$bin/qemu-system-x86_64
	export PATH QMP_TEST_QEMU
	unset QEMU_PROG QEMU_IMG_PROG QEMU_IO_PROG QEMU_NBD_PROG QSD_PROG
fi
qemu-system-x86_64 --version | sed -n 1p
exec "$@"
