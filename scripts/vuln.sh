#!/bin/sh
# Looks for known vulnerabilities in the code that the library calls. If the database
# of vulnerabilities cannot be reached, nothing is checked. VULNDB may name another
# copy of the database.
set -eu

GO=${GO:-go}
db=${VULNDB:-https://vuln.go.dev}

if ! reason=$($GO run scripts/reachable.go "$db/index/modules.json.gz" 2>&1); then
	# `go run` adds a line about the exit status; it is cut off here.
	printf 'skipped: the database of vulnerabilities cannot be reached: %s\n' "${reason%%?exit status*}"
	exit 0
fi
scripts/modules.sh $GO tool -modfile="$PWD/tools/vuln.mod" govulncheck -db "$db" ./...
