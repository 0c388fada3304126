#!/usr/bin/env bash
# Installs the npm packages of testdata/node into .cache/foreign/node, at the
# versions of its lock file. What is there already is not installed again, and
# what npm has in its cache is not fetched.
set -euo pipefail
cd "$(dirname "$0")/node"
to=../../../../.cache/foreign/node
if cmp -s package-lock.json "$to/installed-lock.json"; then
	exit 0
fi
mkdir -p "$to"
cp package.json package-lock.json "$to"
npm ci --prefix "$to" --no-audit --no-fund --ignore-scripts --prefer-offline --loglevel=error
cp package-lock.json "$to/installed-lock.json"
