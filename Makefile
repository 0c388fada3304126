# Everything that is done with this repository. `make` lists it.
.DEFAULT_GOAL := help
SHELL := /usr/bin/env bash
BIN := .cache/bin
FUZZTIME ?= 30s

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: ## run the platform: three instances of the user service, two of the audit service, a gateway with the console
	go run ./cmd/keelson up

.PHONY: test
test: ## run the tests; nothing but Go is needed
	go test ./...

.PHONY: race
race: ## run the tests with the race detector; needs gcc
	go test -race ./...

.PHONY: servers
servers: tools ## run the tests as CI does: a missing server or tool is a failure
	KEELSONTEST_REQUIRE_SERVERS=1 go test -race -count=1 ./...

.PHONY: tools
tools: ## build the pinned tools into .cache/bin
	tools/install.sh gotestsum golangci-lint grpcurl grpc-health-probe consul connectconformance
	integration/foreign/testdata/install.sh

.PHONY: generate
generate: ## generate code from the .proto files, and the reference pages; needs npm
	tools/generate.sh
	go test -count=1 -run '^TestReference' . -update

.PHONY: console
console: ## build the browser console that the gateway embeds; needs npm
	npm ci --prefix clients/typescript --ignore-scripts --no-audit --no-fund
	npm ci --prefix console --ignore-scripts --no-audit --no-fund
	npm --prefix console run build

.PHONY: format
format: ## format the Go code
	git ls-files -z '*.go' | xargs -0 gofmt -s -w

.PHONY: lint
lint: ## run the linters of .golangci.yml
	tools/install.sh golangci-lint
	$(BIN)/golangci-lint run ./...

.PHONY: arch
arch: ## check the law of the house
	go test -count=1 -run '^TestArchitecture' .

.PHONY: bench
bench: ## run every benchmark
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: cost
cost: ## measure what the chassis costs beside plain grpc-go; alone on the machine
	go -C bench run .

.PHONY: lab-short
lab-short: ## inject every fault for some seconds, and check what is lost; needs PostgreSQL
	tools/install.sh consul
	go -C lab run . -short

.PHONY: lab-full
lab-full: ## the same as long as it is promised, with percentages, and plain grpc-go beside it; hours, alone on the machine
	tools/install.sh consul
	go -C lab run . -full -json ../.cache/lab.json
	go -C lab run ./baseline -full -json ../.cache/baseline.json
	go -C lab run . report ../.cache/lab.json ../.cache/baseline.json

.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME (30s)
	@set -e; git grep -l '^func Fuzz' -- '*_test.go' | while read -r file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$file"); do \
			echo "== $$name in $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"; \
		done; \
	done

.PHONY: cover
cover: ## show which lines the tests reach, in .cache/cover.html
	@mkdir -p .cache
	go test -coverpkg=./... -coverprofile=.cache/cover.out ./...
	go tool cover -html=.cache/cover.out -o .cache/cover.html

.PHONY: ci
ci: ## run the whole gate, as CI does
	CI=true bash .ci/run

.PHONY: clean
clean: ## remove built tools and the platform's data
	rm -rf .cache .keelson
