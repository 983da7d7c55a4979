#!/bin/sh
# Replays the recorded sessions of Python's qmp module with packages legacy and compat,
# and with both generations of the Python module of compat/pybridge, and prints a table
# of the results by area. Fails if a scenario failed, or if a suite replayed none.
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
	function cells(suite, dir, name,    i, line) {
		for (i = 4; i <= 7; i++)
			line = line sprintf(" %7s", (dir == "" ? total[suite, i] : count[suite, dir SUBSEP name, i]) + 0)
		return line
	}
	function block(title, dir, one, two,    i) {
		printf "\n%s\n", title
		for (i = 1; i <= areas; i++)
			if (folder[i] == dir)
				printf "%-18s%s  %s\n", "  " area[i], cells(one, dir, area[i]), cells(two, dir, area[i])
	}
	function part(one, oneTitle, two, twoTitle) {
		printf "%-20s%-34s%s\n", "", oneTitle, twoTitle
		printf "%-18s%s  %s\n", "area", heads, heads
		block("recorded", "scenarios", one, two)
		block("of our own", "scenarios-more", one, two)
		printf "\n%-18s%s  %s\n\n", "all", cells(one, "", ""), cells(two, "", "")
	}
	END {
		heads = sprintf(" %7s %7s %7s %7s", "binding", "better", "n/a", "failed")
		part("legacy", "legacy (as QEMU 7.2)", "compat", "compat (as release 0.0.6)")
		part("until-8.1", "Python, until 8.1 (as QEMU 7.2)", "since-8.2", "Python, since 8.2 (as release 0.0.6)")
		print "not applicable (n/a):"
		for (i = 1; i <= reasons; i++)
			printf "  %s:\n    %s\n", order[i], names[order[i]]
		print "\ntables of helpers: " (tables == "" ? "none" : tables)
		split("legacy compat until-8.1 since-8.2", suites, " ")
		for (i in suites)
			if (total[suites[i], 4] + 0 == 0) {
				print "no scenario was replayed with " suites[i]
				exit 1
			}
	}
' "$out"
replayed=$?

if [ $status -ne 0 ] || [ $replayed -ne 0 ]; then
	printf '\nfailed:\n'
	grep -v -e '^=== ' -e '--- PASS' -e '--- SKIP' -e 'conformance: ' -e 'not applicable: ' "$out"
	exit 1
fi
