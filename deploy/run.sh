#!/bin/sh
# What `make run` does: from the providers' example logs to a proof that
# verifies without a network. Every step may be repeated; a second run finds all
# events there and counts them as duplicates.
set -eu
cd "$(dirname "$0")/.."

data=${DOMICILE_DATA:-domicile-data}
proof=${DOMICILE_PROOF:-proof.json}

say() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$1"; }
step() { # shows a command as one can type it, then runs it
	printf '$ %s\n' "$(words "$@")"
	"$@"
}
words() {
	line=
	for word in "$@"; do
		case $word in *[!A-Za-z0-9_./:=,@%+~-]* | '') word="'$word'" ;; esac
		line="$line${line:+ }$word"
	done
	printf '%s' "$line"
}

bin=${DOMICILE_BIN:-bin}
if ! [ -x "$bin/domicile" ] || ! [ -x "$bin/domicile-verify" ]; then
	echo "there are no programs in $bin yet: run \"make run\", which builds them, or \"make build\"" >&2
	exit 1
fi
domicile() { # the default data directory needs no flag
	if [ "$data" = domicile-data ]; then step "$bin/domicile" "$@"; else step "$bin/domicile" "$@" --data "$data"; fi
}
verify() { step "$bin/domicile-verify" "$@"; }

say "Cells for three jurisdictions, each with its own keys, logs and stores"
domicile init --jurisdiction eu --jurisdiction us --jurisdiction in

say "Ingest the example logs of three providers"
receipts=${DOMICILE_RECEIPTS:-receipts.ndjson}
domicile ingest examples/aws examples/azure examples/gcp --receipts "$receipts"

say "Where the data lies"
domicile log status

# One event that the European cell holds. The first is as good as any.
uid=$(awk '/"log" *: *"[^"]*\/eu\/events\// && match($0, /"uid" *: *"[^"]*"/) {
	uid = substr($0, RSTART, RLENGTH); sub(/^"uid" *: *"/, "", uid); sub(/"$/, "", uid); print uid; exit }' "$receipts")
if [ -z "$uid" ]; then
	echo "the European cell holds no event: $receipts names none" >&2
	exit 1
fi

say "The proof of one event, checked by a second program without a network"
domicile proof "$uid" -o "$proof"
verify event "$proof" --policy "$data/trust/eu/control.policy"

say "Try next"
show() { printf '  %s\n      %s\n' "$(words "$@")" "$what"; }
[ "$data" = domicile-data ] || printf '  export %s\n' "$(words "DOMICILE_DATA=$data")"
what="checks every byte of the European cell's logs"
show "$bin/domicile-verify" log "$data/cells/eu" --policy "$data/trust/eu/control.policy" --keys "$data/cells/eu/keys"
what="lists the records that could not be used, and why"
show "$bin/domicile" quarantine list
what="shows how provider records become OCSF events, attribute by attribute"
show "$bin/domicile" normalize --explain examples/gcp/gcloud-logging-read
