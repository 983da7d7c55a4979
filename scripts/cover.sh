#!/bin/sh
# Prints how many of the library's statements the tests reach, by package. Fails if
# they are less than COVER_MIN percent of all statements, or of those of async, sync,
# legacy or internal/proto. A statement counts as reached if the tests of any package
# reach it. Programs, examples and packages for tests do not count as library.
#
#	cover.sh PROFILE
set -eu

# A line of the profile: FILE:FROM,TO STATEMENTS COUNT, once per test binary.
awk -v min="${COVER_MIN:-92}" '
	/^mode:/ { next }
	{
		pkg = $1
		sub(/\/[^\/]*$/, "", pkg)
		if (pkg ~ /\/(bench|cmd|examples)(\/|$)/ || pkg ~ /\/internal\/testing\//) next
		if (!($1 in seen)) { seen[$1] = 1; total[pkg] += $2; all += $2 }
		if ($3 > 0 && !($1 in hit)) { hit[$1] = 1; reached[pkg] += $2; done += $2 }
	}
	END {
		if (!all) { print "cover: the profile has no statement of the library"; exit 1 }
		for (pkg in total) {
			printf "%6.1f %%  %5d of %5d  %s\n", 100 * reached[pkg] / total[pkg], reached[pkg], total[pkg], pkg | "sort -k6"
			if (pkg ~ /\/(async|sync|legacy|internal\/proto)$/) {
				core++
				if (100 * reached[pkg] < min * total[pkg]) below = below " " pkg
			}
		}
		close("sort -k6")
		printf "%6.1f %%  %5d of %5d  statements of the library; at least %s %% wanted\n", 100 * done / all, done, all, min
		if (core != 4) print "cover: the profile lacks async, sync, legacy or internal/proto"
		if (below != "") print "cover: packages with less than that:" below
		exit core != 4 || below != "" || 100 * done < min * all
	}
' "$1"
