#!/bin/sh
# Runs a command in the folder of each Go module of the project: the library first, then
# the modules that keep their dependencies out of the library's go.mod. It ends with the
# first command that fails. Without a command it prints the folders.
#
#	modules.sh [COMMAND...]
set -eu

cd "$(dirname "$0")/.."
top=$PWD
for dir in . $(git ls-files --cached --others --exclude-standard "*/go.mod" | sed "s|/go.mod$||" | grep -v testdata); do
	if [ $# -eq 0 ]; then
		printf '%s\n' "$dir"
		continue
	fi
	cd "$top/$dir"
	"$@"
done
