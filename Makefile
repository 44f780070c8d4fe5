# The project's commands. The two that matter are `make demo` and `make test`.
#
# All of them build with the one release profile, into CARGO_TARGET_DIR if it is set and into target/ if not, so that
# RocksDB, which takes long to compile, is compiled once. Nothing here may set a variable that changes how a dependency
# is built.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# rustup extends the path in the login profile, which a shell that was open before has not read.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# How many seeds the simulation runs (0 leaves it out), from which one on, and how many steps each (empty: its default).
export SIM_SEEDS ?= 20
export SIM_FIRST_SEED ?= 1
export SIM_STEPS ?=
# Properties are tried on the same inputs every time, so that a change is judged by itself; another seed tries others.
export PROPTEST_RNG_SEED ?= 1
# All of `make test` ends within this time.
export TEST_SECONDS_MAX ?= 5100

WIRE_IMAGE := tests/golden/wire/released.binpb

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: bootstrap-build ## Build, start an embedded ledger, play a day of a sample programme, and print what happened
	@cargo run --release --locked -- demo

.PHONY: test
test: ## Run every check: format, lints, wire contract, tests, examples, benchmarks compile, simulation, fuzzing
	@tests/run.sh

.PHONY: build
build: bootstrap-build ## Build the tallystick program
	@cargo build --release --locked

.PHONY: fmt
fmt: ## Format the sources and the wire contract
	@cargo fmt
	@deploy/buf.sh format --write proto

.PHONY: lint
lint: ## Run clippy, the wire contract's lint and the check of licences
	@cargo clippy --release --locked --all-targets -- -D warnings
	@deploy/buf.sh lint proto
	@deploy/deny.sh check

.PHONY: sim
sim: ## Run the simulation for SIM_SEEDS seeds from SIM_FIRST_SEED, SIM_STEPS steps each
	@tests/sim.sh

.PHONY: bench
bench: ## Run the criterion benchmarks
	@cargo bench --locked

.PHONY: journey
journey: ## Print the folder with the grocery baskets that the tests load; fetch them if need be
	@deploy/journey-data.sh

.PHONY: wire-image
wire-image: ## At a release: keep the wire contract's image, which later changes must not break
	@mkdir -p $(dir $(WIRE_IMAGE))
	@deploy/buf.sh build proto --exclude-source-info --output $(WIRE_IMAGE)

.PHONY: bootstrap
bootstrap: ## Install what building and testing need, as far as this machine allows
	@deploy/bootstrap.sh

.PHONY: bootstrap-build
bootstrap-build:
	@deploy/bootstrap.sh build
