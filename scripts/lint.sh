#!/bin/sh
# Runs every check, and fails at the end if one of them found something: so one run
# shows everything that has to be repaired.
set -u

GO=${GO:-go}
CROSS=${CROSS:-darwin/arm64 windows/amd64}
failed=

# check NAME COMMAND... runs one check, and prints its name and its time.
check() {
	name=$1
	shift
	printf '%s\n' "-- $name"
	start=$(date +%s)
	if "$@"; then
		printf '   ok (%ss)\n' $(($(date +%s) - start))
	else
		printf '   FAILED (%ss)\n' $(($(date +%s) - start))
		failed="$failed $name;"
	fi
}

# The versions of the linters are pinned in module files of their own, so that users
# of the library do not inherit them.
gofumpt() {
	files=$($GO tool -modfile=tools/lint.mod gofumpt -l .) || return 1
	[ -n "$files" ] || return 0
	printf '%s\n' 'not formatted; gofumpt -w formats them:' "$files"
	return 1
}

staticcheck() {
	scripts/modules.sh $GO tool -modfile="$PWD/tools/lint.mod" staticcheck ./...
}

# cross OS ARCH vets the library and its tests for another system. For that go vet
# compiles everything that is imported; only the programs are not linked.
cross() {
	CGO_ENABLED=0 GOOS=$1 GOARCH=$2 scripts/modules.sh $GO vet ./...
}

check gofumpt gofumpt
check 'go vet' scripts/modules.sh $GO vet ./...
# Only this package uses cgo, and nothing else builds it.
check 'go vet of pybridge' $GO vet -tags pybridge ./compat/pybridge
# These tests need QEMU's sources; make iotests and make clients run them.
check 'go vet of tests with tags' scripts/modules.sh $GO vet -tags clients,oldshell ./...
check staticcheck staticcheck
check layers $GO test ./internal/testing/layers
check 'generated code' $GO test -run TestGeneratedFilesAreFresh ./internal/qapigen ./cmd/qmp-gen
check 'exported API' $GO test ./internal/testing/api
check 'go mod tidy' scripts/modules.sh $GO mod tidy -diff
check 'go mod verify' scripts/modules.sh $GO mod verify
for target in $CROSS; do
	check "$target" cross "${target%/*}" "${target#*/}"
done
check govulncheck scripts/vuln.sh

[ -z "$failed" ] || {
	printf 'lint: failed:%s\n' "${failed%;}" >&2
	exit 1
}
