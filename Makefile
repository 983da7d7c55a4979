# The project's commands; `make` alone lists them.
#
# They need Go, git, make and a C compiler (for the race detector). Go fetches
# the rest of the tools, and `make qemu` the programs that the tests drive.

GO ?= go

# COVER_MIN is in percent. FUZZ and BENCH are regular expressions of names,
# FUZZTIME is per target, ROUNDS per scenario of the chaos test, whose SEED 0
# takes a new one. VERSIONS are those that scripts/qemu-fetch.sh knows, CROSS the
# systems that lint builds for.
COVER_MIN ?= 92
FUZZ ?= .
FUZZTIME ?= 60s
BENCH ?= .
ROUNDS ?= 200
SEED ?= 0
VERSIONS ?= 5.2 7.2 10.0 newest
CROSS ?= darwin/arm64 windows/amd64

# Debian keeps qemu-ga in a folder that a user's PATH often lacks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export GO COVER_MIN FUZZ FUZZTIME CROSS

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | \
	while IFS='	' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## drive a virtual machine: QEMU's where it is installed, else a simulated one
	$(GO) run ./examples/quickstart

.PHONY: test
test: qemu guest ## run every test under the race detector, against a real QEMU
	$(GO) test -race -shuffle=on -timeout=20m ./...

.PHONY: unit
unit: ## run the tests that need no QEMU
	$(GO) test -race -shuffle=on -timeout=20m -short ./...

.PHONY: matrix
matrix: guest ## run the tests that drive QEMU against VERSIONS of it (5.2 7.2 10.0 newest), fetched into a cache
	$(GO) run ./internal/testing/matrix $(VERSIONS)

.PHONY: conformance
conformance: ## replay the recordings of Python's qmp module, and show by area what came of them
	@scripts/conformance.sh

# Coverage counters make the race detector several times slower: two runs, one with
# each, are faster than one with both. This one also measures what the detector
# hides, such as memory.
.PHONY: cover
cover: qemu guest ## run every test without the race detector, for the coverage; fail below COVER_MIN (92) percent
	$(GO) test -shuffle=on -timeout=20m -covermode=atomic -coverpkg=./... -coverprofile=coverage.out ./...
	@scripts/cover.sh coverage.out

.PHONY: lint
lint: ## check format, vet, staticcheck, layers, exported API, module files and other systems' builds
	@scripts/lint.sh

.PHONY: generate
generate: ## write the generated packages (qapi, qapi/qga) anew
	$(GO) generate ./qapi/...

.PHONY: fuzz
fuzz: ## run every fuzz target, or those matching FUZZ, for FUZZTIME (60s) each
	@scripts/fuzz.sh

.PHONY: chaos
chaos: qemu ## stop, kill and quit a real QEMU at random, ROUNDS (200) times over; SEED repeats a run
	$(GO) -C internal/testing/chaos test -race -count=1 -timeout=2h -rounds=$(ROUNDS) -seed=$(SEED)

.PHONY: bench
bench: ## run the benchmarks, or those matching BENCH
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem ./...

.PHONY: qemu
qemu: ## install the QEMU programs that the tests drive, where they are missing
	@scripts/qemu.sh

.PHONY: guest
guest: qemu ## fetch the Linux that tests boot in QEMU into a cache, where it is missing
	@scripts/guest.sh

.PHONY: clean
clean: ## remove the files that these commands make in this folder
	rm -rf bin coverage.out
