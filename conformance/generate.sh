#!/usr/bin/env bash
# Generates the Go code of the public conformance protos, from the protos inside
# the Go module of the runner that tools/connectconformance pins:
# connectrpc.com/conformance, Copyright The Connect Authors, Apache-2.0. Run it
# after the pin has changed; a second run changes nothing.
#
# Needs what tools/generate.sh has installed (buf and the plugins).
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd .. && pwd)
package=github.com/keelson-dev/keelson/conformance/internal/conformancev1

source=$(env -u GOFLAGS GOWORK=off go -C "$root/tools/connectconformance" list -m -f '{{.Dir}}' connectrpc.com/conformance)
protos=$(mktemp -d)
trap 'rm -rf "$protos"' EXIT
cp -r "$source/proto/connectrpc" "$protos/"
chmod -R u+w "$protos"
echo 'version: v2' >"$protos/buf.yaml"

options=module=$package
for file in config service server_compat; do
	options+=,Mconnectrpc/conformance/v1/$file.proto=$package
done
PATH=$root/.cache/bin:$PATH "$root/tools/buf/node_modules/.bin/buf" generate "$protos" \
	--path "$protos/connectrpc/conformance/v1/config.proto" \
	--path "$protos/connectrpc/conformance/v1/service.proto" \
	--path "$protos/connectrpc/conformance/v1/server_compat.proto" \
	--template "{\"version\":\"v2\",\"plugins\":[
		{\"local\":\"protoc-gen-go\",\"out\":\"internal/conformancev1\",\"opt\":\"$options\"},
		{\"local\":\"protoc-gen-go-grpc\",\"out\":\"internal/conformancev1\",\"opt\":\"$options\"}]}"
