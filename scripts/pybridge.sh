#!/bin/sh
# Builds the C library that the Python module of compat/pybridge calls, and with "test"
# runs the module's tests for both generations of names.
#
#	pybridge.sh [test]
#
# PYTHON names the Python (python3), of version 3.8 or newer.
set -eu

GO=${GO:-go}
PYTHON=${PYTHON:-python3}
folder=compat/pybridge/python

say() { printf 'pybridge: %s\n' "$*" >&2; }

# Debian's apt installs what a fresh machine lacks.
need() {
	command -v "$1" >/dev/null 2>&1 && return
	say "missing: $1"
	if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
		apt-get update -q || say 'apt-get update failed; going on with the lists that are here'
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$2"
	fi
	command -v "$1" >/dev/null 2>&1 || {
		say "install $2 by hand"
		exit 1
	}
}

need "$PYTHON" python3
need gcc gcc

CGO_ENABLED=1 $GO build -tags pybridge -buildmode=c-shared -o "$folder/libgoqmp.so" ./compat/pybridge
rm -f "$folder/libgoqmp.h" # the module does not use it

[ "${1:-}" = test ] || exit 0
# The generations differ in names only: what takes long needs to run once.
connections=1000
tests="$folder/tests/test_monitor.py $folder/tests/test_hostile.py"
for generation in since-8.2 until-8.1; do
	say "testing $generation with $("$PYTHON" --version)"
	CONNECTIONS=$connections PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$folder/$generation "$PYTHON" -W error::ResourceWarning \
		-m unittest -b -q $tests
	connections=100
	tests=$folder/tests/test_monitor.py
done
