#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME, one after the other: `go
# test -fuzz` takes one target at a time.
set -eu
cd "$(dirname "$0")/../.."

go=${GO:-go}
time=${FUZZTIME:-10s}

# `go test -list` prints the names of a package's targets, then its "ok" line.
list=$("$go" test -list '^Fuzz' ./...)
printf '%s\n' "$list" | awk '/^Fuzz/ { name[n++] = $1 } $1 == "ok" { for (i = 0; i < n; i++) print $2, name[i]; n = 0 }' |
	while read -r package target; do
		echo "== $target in $package, $time"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
	done
