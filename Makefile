# The project's commands; `make` alone lists them.
#
# They need Go, git, make and a C compiler (for the race detector). Go fetches
# the other tools. `make qemu` installs the programs that the tests drive.

GO ?= go

# COVER_MIN is in percent. FUZZ is a regular expression for names.
# FUZZTIME is the time for each fuzz target. ROUNDS is the number of rounds for each
# scenario of the chaos test; its SEED 0 means a new seed. VERSIONS are versions that
# scripts/qemu-fetch.sh knows. PYTHON runs QEMU's tests. CROSS are the systems that lint builds for.
COVER_MIN ?= 92
FUZZ ?= .
FUZZTIME ?= 60s
ROUNDS ?= 200
SEED ?= 0
VERSIONS ?= 5.2 7.2 10.0 newest
CROSS ?= darwin/arm64 windows/amd64
PYTHON ?= python3

# Debian keeps qemu-ga in a folder that a user's PATH often lacks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export GO PYTHON COVER_MIN FUZZ FUZZTIME CROSS

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these commands
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | \
	while IFS='	' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## control a virtual machine: QEMU's if QEMU is installed, otherwise a simulated one
	$(GO) run ./examples/quickstart

.PHONY: shell
shell: ## build and install qmp-shell, where go install puts programs
	$(GO) -C cmd/qmp-shell install .
	@printf 'installed: %s\n' "$$($(GO) -C cmd/qmp-shell list -f '{{.Target}}')"

.PHONY: test
test: qemu guest ## run every test under the race detector, against a real QEMU
	scripts/modules.sh $(GO) test -race -shuffle=on -timeout=20m ./...

.PHONY: unit
unit: ## run the tests that need no QEMU
	scripts/modules.sh $(GO) test -race -shuffle=on -timeout=20m -short ./...

.PHONY: matrix
matrix: guest ## run the library's tests that drive QEMU against VERSIONS of it (5.2 7.2 10.0 newest), fetched into a cache
	$(GO) run ./internal/testing/matrix $(VERSIONS)

# QEMU, TESTS and FORMATS are lists; without TESTS it runs all. IOTESTS has further
# flags: -short, -rounds=10, -results=FOLDER, -write=docs/iotests.md.
.PHONY: iotests
iotests: qemu pybridge ## run QEMU's own iotests with QEMU's Python library and with this one; QEMU=7.2 TESTS="030 040" FORMATS="qcow2 raw"
	$(GO) run ./internal/testing/qemuiotests -python="$(PYTHON)" -qemu="$(or $(QEMU),7.2 10.0)" -tests="$(TESTS)" -formats="$(or $(FORMATS),qcow2)" $(IOTESTS)
	$(GO) -C cmd/qmp-shell test -tags oldshell -run OldShell ./internal/syntax

# QEMU's qemu.qmp and qmp-shell are in its source package, which is fetched into the cache.
.PHONY: clients
clients: qemu ## run other QMP clients through async/mux: QEMU's Python library and qmp-shell, digitalocean/go-qemu
	scripts/qemu-fetch.sh --tests 10.0
	$(GO) -C internal/testing/muxclients test -tags clients -race -count=1 ./...

.PHONY: pybridge
pybridge: ## build the C library that is called by the stand-in for Python's qmp module, and test the module
	@scripts/pybridge.sh test

.PHONY: conformance
conformance: ## replay the recordings of Python's qmp module, in Go and in Python, and count the results by area
	@scripts/conformance.sh

# Coverage counters make the race detector several times slower: two runs, one with
# each of them, are faster than one run with both. This run also has the tests that
# the race detector would disturb, such as those of memory.
.PHONY: cover
cover: qemu guest ## run every test of the library without the race detector, for the coverage; fail below COVER_MIN (92) percent; QEMU=newest takes that version
	scripts/with-qemu.sh $(or $(QEMU),system) $(GO) test -shuffle=on -timeout=20m -covermode=atomic -coverpkg=./... -coverprofile=coverage.out ./...
	@scripts/cover.sh coverage.out

.PHONY: lint
lint: ## check format, vet, staticcheck, layers, exported API, module files and the builds for other systems
	@scripts/lint.sh

.PHONY: generate
generate: ## write the generated packages (qapi, qapi/qga, cmd/qmp-gen/acme)
	$(GO) generate ./cmd/qmp-gen

.PHONY: fuzz
fuzz: ## run every fuzz target, or those that match FUZZ, for FUZZTIME (60s) each
	@scripts/fuzz.sh

.PHONY: chaos
chaos: qemu ## stop, kill and quit a real QEMU at random, ROUNDS (200) times; SEED repeats a run
	$(GO) -C internal/testing/chaos test -race -count=1 -timeout=2h -rounds=$(ROUNDS) -seed=$(SEED)

# BENCH has flags, such as -rows=one,oob -clients=async -time=1s.
.PHONY: bench
bench: ## compare all ways in with raw sockets, a plain client and other projects (under 3 minutes)
	@$(GO) run ./bench $(BENCH)

.PHONY: bench-qemu
bench-qemu: ## the same with one caller and a real QEMU of each of VERSIONS (5.2 7.2 10.0 newest)
	@for version in $(VERSIONS); do scripts/with-qemu.sh $$version $(GO) run ./bench -rows=qemu $(BENCH) || exit; done

# MICRO is a regular expression, PKG lists packages, COUNT is the number of runs.
.PHONY: microbench
microbench: ## run Go's benchmarks beside the code, or those that match MICRO in PKG, COUNT times
	@$(GO) test -run='^$$' -bench='$(or $(MICRO),.)' -benchmem -count=$(or $(COUNT),1) $(or $(PKG),./...)

.PHONY: size
size: ## print how long package qapi takes to compile, and by how much a program grows that uses it
	@scripts/size.sh

.PHONY: qemu
qemu: ## install the QEMU programs that the tests drive, if they are missing
	@scripts/qemu.sh

.PHONY: guest
guest: qemu ## fetch the Linux that tests boot in QEMU into a cache, if it is missing
	@scripts/guest.sh

.PHONY: clean
clean: ## remove the files that these commands make in this folder
	rm -rf bin coverage.out compat/pybridge/python/libgoqmp.so
