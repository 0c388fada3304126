#!/usr/bin/env bash
# Builds pinned tools into .cache/bin:  tools/install.sh NAME...
#
# A tool is a folder of tools/ whose go.mod has a `tool` line: a module of its
# own, so that what a tool depends on never meets our go.mod, and its go.sum
# pins every byte of it. A tool that is there at the pinned version is not built
# again.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.cache/bin
mkdir -p "$bin"

if [ $# -eq 0 ]; then
	echo "usage: tools/install.sh NAME..., with NAME one of:" >&2
	grep -l '^tool ' tools/*/go.mod | cut -d/ -f2 >&2
	exit 2
fi
for name in "$@"; do
	module=tools/$name
	if ! grep -q '^tool ' "$module/go.mod" 2>/dev/null; then
		echo "tools/install.sh: $module/go.mod has no tool line; add the folder, then: go -C $module get -tool PACKAGE@VERSION" >&2
		exit 2
	fi
	stamp=$bin/.$name.stamp
	want=$({
		go env GOVERSION
		cat "$module/go.mod" "$module/go.sum"
	} | sha256sum)
	if [ -x "$bin/$name" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
		continue
	fi
	env -u GOFLAGS GOWORK=off GOBIN="$bin" CGO_ENABLED=0 \
		go -C "$module" install -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' tool
	echo "$want" >"$stamp"
done
