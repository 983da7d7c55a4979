#!/bin/sh
# Runs every fuzz target, or those whose name matches FUZZ, one after the other,
# for FUZZTIME each. Go leaves an input that fails in the package's testdata/fuzz.
# The ordinary tests run it from then on.
set -eu

GO=${GO:-go}

# `go test -list` prints a package's targets, then an "ok" line that names it. The folder of
# the module comes first.
cd "$(dirname "$0")/.."
targets=
for module in $(scripts/modules.sh); do
	listing=$($GO -C "$module" test -list '^Fuzz' ./...) || {
		printf '%s\n' "$listing" >&2
		exit 1
	}
	found=$(printf '%s\n' "$listing" | awk -v want="${FUZZ:-.}" -v module="$module" '
		/^Fuzz/ && $1 ~ want { names[n++] = $1 }
		$1 == "ok"           { for (i = 0; i < n; i++) print module, $2, names[i]; n = 0 }
	')
	[ -z "$found" ] || targets="$targets$found
"
done
[ -n "$targets" ] || {
	printf 'fuzz: no fuzz target matches %s\n' "${FUZZ:-.}" >&2
	exit 1
}

log=$(mktemp)
trap 'rm -f "$log" "$log.status"' EXIT

failed=
while read -r module pkg name; do
	[ -n "$name" ] || continue
	printf '%s\n' "-- $name ($pkg)"
	{
		status=0
		$GO -C "$module" test -run='^$' -fuzz="^$name\$" -fuzzminimizetime=20x -fuzztime="${FUZZTIME:-60s}" "$pkg" </dev/null 2>&1 || status=$?
		echo "$status" >"$log.status"
	} | tee "$log"
	[ "$(cat "$log.status")" = 0 ] && continue
	# Go 1.26 sometimes reports the end of the time as a failure
	# (golang.org/issue/75804). It has written no failing input then.
	if grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"; then
		printf '%s\n' "-- $name: the time is over, and no input failed"
		continue
	fi
	failed="$failed $name"
done <<LIST
$targets
LIST
[ -z "$failed" ] || {
	printf 'fuzz: failed:%s\n' "$failed" >&2
	exit 1
}
