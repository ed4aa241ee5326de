# Everything that is built, run and checked here. Written for GNU make 3.81 (macOS) and a POSIX shell; paths are
# relative throughout, so the repository may lie in a folder whose name has spaces.

GO       ?= go
FUZZTIME ?= 10s

# Not from the VCS stamp of the Go command: that fails in a clone which belongs to somebody else.
VERSION  := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BUILD     = CGO_ENABLED=0 "$(GO)" build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
TESTRUN   = CGO_ENABLED=0 "$(GO)" run -buildvcs=false ./internal/house/testrun
TOOL      = CGO_ENABLED=0 "$(GO)" tool -modfile=internal/tools/go.mod

export GO

.NOTPARALLEL:

.PHONY: help run engine test test-long check fmt lint bench bench-large fuzz build build-all clean go

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: build ## build, start a server, ingest the example logs of three providers, search, prove one event and verify the proof
	@sh deploy/run.sh

engine: ## fetch the embedded ClickHouse, once (needs npm; 566 MB below the user's cache folder)
	@sh deploy/embedded/install.sh

test: go ## all tests, with the race detector where a C compiler is there
	@$(TESTRUN)

test-long: go ## the same and what takes long: random kills, big trees, real fsck runs
	@$(TESTRUN) -long

check: go fmt lint build-all ## format, vet, staticcheck, cross builds, short tests
	@$(TESTRUN) -short

fmt:
	@gofmt="$$("$(GO)" env GOROOT)/bin/gofmt"; [ -x "$$gofmt" ] || gofmt=gofmt; \
	files=$$(find . -name '*.go' -not -path './.cache/*' -exec "$$gofmt" -l {} +) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted, run gofmt -w on:"; echo "$$files"; exit 1; fi

lint:
	"$(GO)" vet ./...
	"$(GO)" vet -tags crashpoints ./...
	@if [ -f interop/go.mod ]; then echo "vet interop"; cd interop && "$(GO)" vet ./...; fi
	$(TOOL) staticcheck ./...

bench: build ## figures of docs/performance.md
	bin/domicile bench
	"$(GO)" test -run '^$$' -bench . -benchmem ./ledger ./ledger/log ./ledger/tile ./ledger/store ./ledger/audit ./normalize
	@if [ -f interop/go.mod ]; then cd interop && "$(GO)" test -run '^$$' -bench . -benchmem -timeout 2h ./...; fi

bench-large: build ## recovery of, and questions to, a log of 10 million events; half an hour and 10 GB
	bin/domicile bench --recovery 10000000
	bin/domicile bench --search 10000000

fuzz: go ## every fuzz target for FUZZTIME (10s)
	@FUZZTIME='$(FUZZTIME)' sh internal/house/fuzz.sh

build: go ## static programs into bin/
	@mkdir -p bin
	$(BUILD) -o bin/ ./cmd/...

build-all: go ## the same for linux and darwin, amd64 and arm64, into .cache/build/
	@for os in linux darwin; do for arch in amd64 arm64; do \
		echo "build $$os/$$arch"; mkdir -p ".cache/build/$$os-$$arch"; \
		GOOS=$$os GOARCH=$$arch $(BUILD) ./... || exit 1; \
		GOOS=$$os GOARCH=$$arch $(BUILD) -o ".cache/build/$$os-$$arch/" ./cmd/... || exit 1; \
	done; done

clean: ## remove what was built; the data directory stays
	rm -rf bin .cache

go:
	@sh deploy/check-go.sh
