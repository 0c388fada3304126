#!/usr/bin/env bash
# Reports what the .proto files change for existing callers since a git
# revision (default: main), by the rules in buf.yaml.
#
#   tools/breaking.sh [REVISION]
#
# The revision's protos are laid out beside the printed imports, which are not
# in git; run tools/generate.sh first.
set -euo pipefail
cd "$(dirname "$0")/.."
revision=${1:-main}
base=.cache/breaking
rm -rf "$base"
mkdir -p "$base/.cache"
git archive "$revision" buf.yaml proto services | tar -x -C "$base"
cp -R .cache/proto "$base/.cache/proto"
tools/buf/node_modules/.bin/buf breaking --against "$base"
