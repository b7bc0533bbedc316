# gpupulse. `make help` lists the targets; CONTRIBUTING.md says what they need.

VERSION := $(shell git describe --tags --match 'v*' --always --dirty 2>/dev/null || echo devel)
COMMIT  := $(shell git rev-parse -q --verify HEAD 2>/dev/null)
DATE    := $(shell git log -1 --format=%cI 2>/dev/null)
BUILD   := gpupulse/sdk/cmdline
LDFLAGS := -s -w -X $(BUILD).version=$(VERSION) -X $(BUILD).commit=$(COMMIT) -X $(BUILD).date=$(DATE)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
UI_SOURCES  := $(shell find ui/src ui/public ui/index.html ui/vite.config.ts sdk/js/src -type f 2>/dev/null)
GO_TEST     ?= go test -race -timeout 10m
FUZZTIME    ?= 30s
NOW         := $(shell date +%s)
SEED        ?= $(NOW)

.DEFAULT_GOAL := help
.PHONY: help run build ui binaries test test-go test-ui test-e2e fuzz bench lint lint-go lint-ui fmt proto clean

##@ Use
run: build ## build, start a server and a simulated fleet, print the dashboard's address; Ctrl-C ends all
	@scripts/run.sh

build: ui binaries ## the user interface and the three binaries in bin/

ui: ui/dist/index.html ## the user interface alone, into ui/dist

binaries:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gpupulse-server ./server
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gpupulse-agent ./agent
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gpupulse ./sdk/cmd/gpupulse

##@ Check
test: build test-go test-ui test-e2e ## go vet, all tests under the race detector, UI and SDK tests, the UI in a browser

test-go:
	go vet ./...
	@echo "the hub's model test draws its operations from SEED=$(SEED)"
	GPUPULSE_TEST_SEED=$(SEED) $(GO_TEST) ./...

test-ui: sdk/js/node_modules/.package-lock.json ui/node_modules/.package-lock.json
	npm --prefix sdk/js test
	npm --prefix ui test

test-e2e: build
	@scripts/browser-tests.sh

fuzz: ## the frame decoder and the log's recovery on random bytes, FUZZTIME each (30s)
	go test -run '^$$' -fuzz '^FuzzFrame$$' -fuzztime $(FUZZTIME) ./sdk/wire
	go test -run '^$$' -fuzz '^FuzzRecover$$' -fuzztime $(FUZZTIME) ./server/commitlog

bench: ## Go benchmarks of every package, then the hub beside nats-server
	go test -run '^$$' -bench . -benchmem ./...
	cd scripts/bench && go run .

lint: lint-go lint-ui ## gofmt, go vet, staticcheck, the house rules (scripts/check), eslint, tsc

lint-go:
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	  if [ -n "$$unformatted" ]; then echo "gofmt wants (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -count=1 ./scripts/check

lint-ui: sdk/js/node_modules/.package-lock.json ui/node_modules/.package-lock.json
	npm --prefix sdk/js run lint
	npm --prefix ui run lint

##@ Change
fmt: sdk/js/node_modules/.package-lock.json ui/node_modules/.package-lock.json ## gofmt and eslint --fix
	git ls-files -co --exclude-standard '*.go' | xargs gofmt -w
	npm --prefix sdk/js run lint -- --fix
	npm --prefix ui run lint -- --fix

proto: sdk/js/node_modules/.package-lock.json ## generated code of sdk/wire and sdk/telemetry, for Go and TypeScript (needs protoc)
	go build -o bin/tools/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	protoc --plugin=bin/tools/protoc-gen-go --go_out=. --go_opt=module=gpupulse \
	  sdk/wire/frame.proto sdk/telemetry/reading.proto
	npm --prefix sdk/js run generate

clean: ## everything that was built; the data of make run stays in run/
	rm -rf bin ui/node_modules sdk/js/node_modules sdk/js/dist
	find ui/dist -mindepth 1 ! -name .gitkeep -delete

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST); echo

# npm writes this file itself: it is as old as the last npm ci.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci
	@touch $@

ui/dist/index.html: ui/node_modules/.package-lock.json sdk/js/node_modules/.package-lock.json $(UI_SOURCES)
	npm --prefix ui run build
	@touch $@
