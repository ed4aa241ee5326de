#!/bin/sh
# Says so in plain words when Go is missing or older than what go.mod asks for.
# GOTOOLCHAIN=local, unless the caller chose otherwise: an older Go would try to
# download the newer one, and fail in a puzzling way without a network.
set -u
cd "$(dirname "$0")/.." || exit 1

go=${GO:-go}
GOTOOLCHAIN=${GOTOOLCHAIN:-local}
export GOTOOLCHAIN

want=$(awk '$1 == "go" { split($2, v, "."); print v[1] "." v[2]; exit }' go.mod)

get() {
	echo "How to get it:" >&2
	echo "  any system  https://go.dev/dl/ (unpack the archive, add its bin folder to PATH)" >&2
	case $(uname -s) in
	Darwin) echo "  macOS       brew install go" >&2 ;;
	*) echo "  Linux       your package manager, if it has Go $want; else the archive above" >&2 ;;
	esac
	exit 1
}

if ! command -v "$go" >/dev/null 2>&1; then
	echo "domicile is built with Go $want or newer, and there is no \"$go\" command on this machine." >&2
	get
fi

# "go version go1.26.1 linux/amd64", "go version devel go1.27-abc …"
have=$("$go" version 2>/dev/null | sed -n 's/.*go\([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p')
if [ -z "$have" ]; then
	echo "domicile is built with Go $want or newer; \"$go version\" does not say which Go this is:" >&2
	"$go" version >&2
	get
fi
if [ "${have%%.*}" -lt "${want%%.*}" ] ||
	{ [ "${have%%.*}" -eq "${want%%.*}" ] && [ "${have#*.}" -lt "${want#*.}" ]; }; then
	echo "domicile is built with Go $want or newer; this machine has Go $have ($(command -v "$go"))." >&2
	echo "With a network, an older Go can fetch the newer one itself: GOTOOLCHAIN=auto make run" >&2
	get
fi
