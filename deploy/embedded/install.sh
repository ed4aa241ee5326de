#!/bin/sh
# Fetches the embedded ClickHouse: libchdb, a shared library, from the npm
# package for this machine. It is kept in the user's cache folder, once for all
# clones; when it is there already, nothing is done and no network is needed.
#
# Exit codes: 0 it is there, or is not needed; 1 fetching failed; 3 it cannot be
# fetched on this machine. In both cases all but searching works without it.
set -eu
cd "$(dirname "$0")"

cannot() {
	echo "The embedded ClickHouse is not installed: $1" >&2
	echo "Ingest, proofs and verification work without it, searching does not. Instead of it, a clickhouse" >&2
	echo "binary of 26.5 or newer in the PATH is used when there is one: https://clickhouse.com/docs/install" >&2
	exit 3
}

if [ -n "${DOMICILE_LIBCHDB:-}" ]; then
	[ -f "$DOMICILE_LIBCHDB" ] || cannot "DOMICILE_LIBCHDB names $DOMICILE_LIBCHDB, which is no file."
	echo "the embedded ClickHouse is the one that DOMICILE_LIBCHDB names: $DOMICILE_LIBCHDB"
	exit 0
fi

version=$(sed -n 's/.*"@chdb\/lib-linux-x64-gnu": *"\([^"]*\)".*/\1/p' package.json)
system=$(uname -s)
machine=$(uname -m)
case $system/$machine in
Linux/x86_64) platform=linux-x64-gnu ;;
Linux/aarch64 | Linux/arm64) platform=linux-arm64-gnu ;;
Darwin/x86_64) platform=darwin-x64 ;;
Darwin/arm64) platform=darwin-arm64 ;;
*) cannot "there is none for $system on $machine." ;;
esac

# Where Go's os.UserCacheDir is, since that is where domicile looks.
if [ "$system" = Darwin ]; then
	cache=${HOME:?}/Library/Caches
else
	cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}
fi
case $cache in /*) ;; *) cannot "the cache folder $cache is not an absolute path." ;; esac
all=$cache/domicile/embedded
library=$all/$version/libchdb.so

if [ -f "$library" ]; then
	echo "the embedded ClickHouse is there: $library"
	exit 0
fi

# "ClickHouse local version 26.7.1.1234 (official build)."
if command -v clickhouse >/dev/null 2>&1; then
	found=$(clickhouse local --version 2>/dev/null | sed -n 's/.*version \([0-9][0-9]*\)\.\([0-9][0-9]*\)\..*/\1 \2/p')
	major=${found% *} minor=${found#* }
	if [ -n "$found" ] && { [ "$major" -gt 26 ] || { [ "$major" -eq 26 ] && [ "$minor" -ge 5 ]; }; }; then
		echo "the embedded ClickHouse is not needed: $(command -v clickhouse) is version $major.$minor"
		exit 0
	fi
fi

command -v node >/dev/null 2>&1 || cannot "it is fetched with npm, and there is no \"node\" command. Install Node.js 18 or newer."
command -v npm >/dev/null 2>&1 || cannot "it is fetched with npm, and there is no \"npm\" command. Install npm."
node=$(node -p 'process.versions.node.split(".")[0]')
[ "$node" -ge 18 ] 2>/dev/null || cannot "it is fetched with npm of Node.js 18 or newer; this one is $(node --version)."
if [ "$system" = Linux ] && [ -z "$(node -p 'process.report.getReport().header.glibcVersionRuntime || ""')" ]; then
	cannot "it needs the GNU C library, which this system does not have."
fi

umask 022
mkdir -p "$all"
# What killed runs left behind.
find "$all" -maxdepth 1 -name 'install-*' -type d -mtime +0 -exec rm -rf {} +
temp=$(mktemp -d "$all/install-XXXXXX")
trap 'rm -rf "$temp"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

echo "fetching the embedded ClickHouse (libchdb $version, $platform) from npm: about 180 MB, 566 MB on disk"
cp package.json package-lock.json "$temp/"
if ! npm ci --prefix "$temp" --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel=error </dev/null >"$temp/npm.log" 2>&1; then
	cat "$temp/npm.log" >&2
	echo "npm could not fetch the embedded ClickHouse, see above. Try again with \"make engine\"." >&2
	exit 1
fi
fetched=$temp/node_modules/@chdb/lib-$platform/libchdb.so
if ! [ -f "$fetched" ]; then # an optional dependency may be left out without an error
	cat "$temp/npm.log" >&2
	echo "npm did not install @chdb/lib-$platform $version: is it in the registry that npm is set up for?" >&2
	exit 1
fi
mkdir -p "$all/$version"
mv -f "$fetched" "$library"
echo "installed $library ($(($(wc -c <"$library") / 1000000)) MB)"
