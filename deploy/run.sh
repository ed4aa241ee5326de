#!/bin/sh
# What `make run` does: from the providers' example logs to a running server, a
# search, and a proof that verifies without a network. Every step may be
# repeated; a second run finds all events there and counts them as duplicates.
# Where the embedded ClickHouse cannot be had, all but searching works.
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

# The embedded ClickHouse: 3 says that it cannot be had on this machine.
searching=yes
sh deploy/embedded/install.sh || searching=no

# A server of an earlier run is replaced by this one's.
domicile stop >/dev/null

say "Cells for three jurisdictions, each with its own keys, logs and stores"
domicile init --jurisdiction eu --jurisdiction us --jurisdiction in

say "A server for all three: search and proofs over HTTP, commands through a socket"
log=$data/run/serve.log
listen=${DOMICILE_LISTEN:-127.0.0.1:8480}
start() { # puts the server into the background and waits until it takes commands
	printf '$ %s &\n' "$(words "$bin/domicile" serve --listen "$1")"
	(umask 077 && : >"$log")
	nohup "$bin/domicile" serve --listen "$1" --data "$data" >>"$log" 2>&1 </dev/null &
	server=$!
	while ! [ -S "$data/run/domicile.sock" ]; do
		kill -0 "$server" 2>/dev/null || return 1
		sleep 0.1
	done
}
if ! start "$listen"; then
	tail -n 3 "$log" >&2
	echo "trying any free port"
	start 127.0.0.1:0 || { tail -n 20 "$log" >&2; exit 1; }
fi
url=$(sed -n 's/.* at \(http:[^ "]*\).*/\1/p' "$log" | head -n 1)
echo "$url (log: $log)"

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

if [ $searching = yes ]; then
	say "Search, newest first, and count"
	domicile events -n 5 anna.berg --provider aws
	domicile stats --by jurisdiction --by provider
fi

say "The proof of one event, checked by a second program without a network"
domicile proof "$uid" -o "$proof"
verify event "$proof" --policy "$data/trust/eu/control.policy"

say "Try next (the server goes on until you stop it)"
show() { printf '  %s\n      %s\n' "$(words "$@")" "$what"; }
[ "$data" = domicile-data ] || printf '  export %s\n' "$(words "DOMICILE_DATA=$data")"
if [ $searching = yes ]; then
	what="the same over HTTP: every answer carries the checkpoint that it stands on and its receipt"
	show curl -s "$url/v1/events?provider=aws&limit=2"
else
	what="lists the records that could not be used, and why"
	show "$bin/domicile" quarantine list
fi
what="checks every byte of the European cell's logs"
show "$bin/domicile-verify" log "$data/cells/eu" --policy "$data/trust/eu/control.policy" --keys "$data/cells/eu/keys"
what="ends the server"
show "$bin/domicile" stop
