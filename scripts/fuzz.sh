#!/bin/sh
# Runs every fuzz target, or those whose name matches FUZZ, one after the other,
# for FUZZTIME each. An input that fails is left in the package's testdata/fuzz,
# where the ordinary tests find it from then on.
set -eu

GO=${GO:-go}

# `go test -list` prints a package's targets, then an "ok" line that names it.
listing=$($GO test -list '^Fuzz' ./...) || {
	printf '%s\n' "$listing" >&2
	exit 1
}
targets=$(printf '%s\n' "$listing" | awk -v want="${FUZZ:-.}" '
	/^Fuzz/ && $1 ~ want { names[n++] = $1 }
	$1 == "ok"           { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }
')
[ -n "$targets" ] || {
	printf 'fuzz: no fuzz target matches %s\n' "${FUZZ:-.}" >&2
	exit 1
}

failed=
while read -r pkg name; do
	printf '%s\n' "-- $name ($pkg)"
	$GO test -run='^$' -fuzz="^$name\$" -fuzzminimizetime=20x -fuzztime="${FUZZTIME:-60s}" "$pkg" </dev/null || failed="$failed $name"
done <<EOF
$targets
EOF
[ -z "$failed" ] || {
	printf 'fuzz: failed:%s\n' "$failed" >&2
	exit 1
}
