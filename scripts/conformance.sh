#!/bin/sh
# Replays the recorded sessions of Python's qmp module, and prints a table of the
# results by area. Fails if a scenario failed, or if none was replayed.
set -u

GO=${GO:-go}
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

$GO test -race -count=1 -v -run 'Conformance|TestTable' ./legacy/... ./compat/... >"$out" 2>&1
status=$?

awk -F '\t' '
	/conformance: / {
		sub(/.*conformance: /, "")
		key = $2 SUBSEP $3
		if (!(key in seen)) {
			seen[key] = 1
			area[++areas] = $3
			folder[areas] = $2
		}
		for (i = 4; i <= 7; i++) {
			count[$1, key, i] += $i
			total[$1, i] += $i
		}
	}
	/not applicable: / {
		sub(/.*not applicable: /, "")
		reason = $1 ": " $2
		if (!(reason in names)) {
			order[++reasons] = reason
			names[reason] = $3
		} else
			names[reason] = names[reason] ", " $3
	}
	/^--- (PASS|FAIL): TestTable/ {
		split($0, words, " ")
		tables = tables (tables == "" ? "" : ", ") substr(words[3], 10) (words[2] == "FAIL:" ? " (FAILED)" : "")
	}
	function row(name, legacy, compat) {
		printf "%-18s %8s %7s %5s %7s  %8s %7s %5s %7s\n", name, legacy[4], legacy[5], legacy[6], legacy[7], compat[4], compat[5], compat[6], compat[7]
	}
	function block(title, dir,    i, j, legacy, compat) {
		printf "\n%s\n", title
		for (i = 1; i <= areas; i++) {
			if (folder[i] != dir)
				continue
			for (j = 4; j <= 7; j++) {
				legacy[j] = count["legacy", dir SUBSEP area[i], j] + 0
				compat[j] = count["compat", dir SUBSEP area[i], j] + 0
			}
			row("  " area[i], legacy, compat)
		}
	}
	END {
		printf "%-18s %-32s%s\n", "", "  legacy (as QEMU 7.2)", "compat (as release 0.0.6)"
		printf "%-18s %8s %7s %5s %7s  %8s %7s %5s %7s\n", "area", "binding", "better", "n/a", "failed", "binding", "better", "n/a", "failed"
		block("recorded", "scenarios")
		block("of our own", "scenarios-more")
		for (j = 4; j <= 7; j++) {
			legacy[j] = total["legacy", j] + 0
			compat[j] = total["compat", j] + 0
		}
		print ""
		row("all", legacy, compat)
		print "\nnot applicable (n/a):"
		for (i = 1; i <= reasons; i++)
			printf "  %s:\n    %s\n", order[i], names[order[i]]
		print "\ntables of helpers: " (tables == "" ? "none" : tables)
		if (total["legacy", 4] + 0 == 0 || total["compat", 4] + 0 == 0)
			exit 1
	}
' "$out"
replayed=$?

if [ $status -ne 0 ] || [ $replayed -ne 0 ]; then
	printf '\nfailed:\n'
	grep -v -e '^=== ' -e '--- PASS' -e '--- SKIP' -e 'conformance: ' -e 'not applicable: ' "$out"
	exit 1
fi
