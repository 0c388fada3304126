#!/usr/bin/env bash
# Generates everything that comes from the .proto files. Run by `make generate`.
#
# Needs Go and npm. Tools come at the versions pinned in tools/buf and
# tools/protoc; a second run changes nothing, and CI checks that.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
bin=$root/.cache/bin
mkdir -p "$bin" .cache/proto

# buf ships as one binary inside an npm package; its install script is not run.
if [ ! -x tools/buf/node_modules/.bin/buf ] ||
	! cmp -s tools/buf/package-lock.json tools/buf/node_modules/.installed-lock.json; then
	npm ci --prefix tools/buf --no-audit --no-fund --ignore-scripts --loglevel=error
	cp tools/buf/package-lock.json tools/buf/node_modules/.installed-lock.json
fi
buf=$root/tools/buf/node_modules/.bin/buf

# A module of its own (and no workspace): these tools never meet our go.mod.
export GOWORK=off GOFLAGS=-mod=readonly
go -C tools/protoc build -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
go -C tools/protoc run ./protodeps "$root/.cache/proto"

PATH=$bin:$root/tools/buf/node_modules/.bin:$PATH
modules=(proto services/user/api services/audit/api)
for module in "${modules[@]}"; do
	"$buf" format -w "$module"
done
"$buf" lint
"$buf" generate
"$buf" generate --template buf.gen.typescript.yaml

# What the gateway knows of the services: their files with comments, what they
# import, and the details of errors.
mapfile -t files < <(find "${modules[@]}" -name '*.proto' | LC_ALL=C sort)
files+=(.cache/proto/google/rpc/error_details.proto)
set=$(mktemp)
trap 'rm -f "$set" "$set.out"' EXIT
"$buf" build --as-file-descriptor-set -o "$set#format=binpb" "${files[@]/#/--path=}"
go -C tools/protoc run ./comments <"$set" >"$set.out"
mv "$set.out" services/gateway/descriptors.binpb
