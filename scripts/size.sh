#!/usr/bin/env bash
# Prints what package qapi costs a program: the time to compile the package, its size,
# and by how much a program grows that calls some of its functions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

qapi=github.com/goqmp/qmp/qapi
$GO build ./qapi # what it imports is compiled from here on
# A flag that changes nothing, but has a new value, so that go compiles the package again.
TIMEFORMAT='compile (time of one processor): %U s'
time $GO build -gcflags="$qapi=-D=$RANDOM" ./qapi
printf 'package, compiled:    %5d kB\n' $(($(stat -c %s "$($GO list -export -f '{{.Export}}' ./qapi)") / 1000))

# program writes the program NAME with these calls.
program() {
	local name=$1 imports=$2 calls=$3
	cat >"$dir/$name.go" <<-EOF
		package main

		import (
			"context"
			"fmt"
			"os"

			"github.com/goqmp/qmp/async"
			$imports
		)

		func main() {
			ctx := context.Background()
			c, err := async.Dial(ctx, os.Args[1], nil)
			if err != nil {
				panic(err)
			}
			defer c.Close()
			$calls
		}
	EOF
	CGO_ENABLED=0 $GO build -trimpath -ldflags='-s -w' -o "$dir/$name" "$dir/$name.go"
	stat -c %s "$dir/$name"
}

base=$(program base "" '
	type status struct{ Status string }
	fmt.Println(async.Call[status](ctx, c, "query-status", nil))
	fmt.Println(c.Execute(ctx, "stop", nil))
	fmt.Println(c.Execute(ctx, "cont", nil))')
# grows prints how much larger than the first one a program with these calls is.
grows() { printf '%s %5d kB\n' "$1" $((($(program typed "\"$qapi\"" "$2") - base) / 1000)); }

printf 'program without it:   %5d kB; it grows with calls of\n' $((base / 1000))
grows '  three small commands' '
	fmt.Println(qapi.QueryStatus(ctx, c))
	fmt.Println(qapi.Stop(ctx, c))
	fmt.Println(qapi.Cont(ctx, c))'
grows '  and blockdev-add:   ' '
	fmt.Println(qapi.QueryStatus(ctx, c))
	fmt.Println(qapi.Stop(ctx, c))
	fmt.Println(qapi.BlockdevAdd(ctx, c, &qapi.BlockdevOptions{}))'
grows '  Introspect:         ' 'fmt.Println(qapi.Introspect(ctx, c))'
grows '  Since:              ' 'fmt.Println(qapi.Since("query-status"))'
grows '  Decode:             ' 'fmt.Println(qapi.Decode(async.Event{}))'
grows '  Commands:           ' 'fmt.Println(qapi.Commands())'
