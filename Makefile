# Two commands are enough: `make up` builds and starts Ringfort, `make test` proves it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

RINGFORT_CACHE ?= $(HOME)/.cache/ringfort
CARGO_TARGET_DIR ?= $(RINGFORT_CACHE)/target
# Incremental builds of an optimised profile cost more disk than they save time.
CARGO_INCREMENTAL ?= 0
export RINGFORT_CACHE CARGO_TARGET_DIR CARGO_INCREMENTAL
export PATH := $(RINGFORT_CACHE)/tools/bin:$(PATH)

# Where `make up` keeps its data, how many device folders it makes there, and how redundant.
DATA ?= $(HOME)/.local/share/ringfort
DEVICES ?= 4
POLICY ?= replicated:3
# More flags for `ringfort up`, such as ARGS="--bind 0.0.0.0 --public-host storage.lan".
ARGS ?=

# What `make fuzz` runs, all targets when none is named, and for how long each.
FUZZ_TARGETS ?=
FUZZ_SECONDS ?= 600

# Where `make bench` puts its data: on the disk to measure.
BENCH_DATA ?= $(RINGFORT_CACHE)/bench

RINGFORT := $(CARGO_TARGET_DIR)/release/ringfort

.PHONY: help up build test test-nightly acceptance s3-tests fuzz bench bench-ring fmt lint prepare-build prepare-test trim

help:
	@echo "make up            build and start Ringfort in the foreground (DATA=, DEVICES=, POLICY=, ARGS=)"
	@echo "make test          every check and test but the nightly ones"
	@echo "make test-nightly  all tests, the long ones too, with more random cases"
	@echo "make s3-tests      Ceph's tests of S3, from a clone of their repository (S3_TESTS=)"
	@echo "make fuzz          every decoder on changing inputs (FUZZ_SECONDS=, FUZZ_TARGETS=)"
	@echo "make bench         measure, and write docs/benchmarks.md (BENCH_ARGS=)"
	@echo "make bench-ring    compare the ring with Swift's builder, and write docs/ring-comparison.md"
	@echo "make fmt, lint     format; format check and lints"

prepare-build:
	@tests/tools/prepare build

prepare-test:
	@tests/tools/prepare test

trim:
	@tests/tools/trim-cache "$(CARGO_TARGET_DIR)"

# One profile for everything, so that the libraries (RocksDB above all) are built once.
build: prepare-build trim
	cargo build --release --locked -p ringfort-appliance

up: build
	exec "$(RINGFORT)" up --data "$(DATA)" --devices "$(DEVICES)" --policy "$(POLICY)" $(ARGS)

fmt:
	cargo fmt --all

lint: prepare-test
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	# What other platforms would need is looked at too, and was not downloaded by a build for this one.
	cargo fetch --locked
	cargo deny --log-level error --offline --config .deny.toml check bans licenses sources

# The runner's own summary closes the output.
# The fuzz crate and the SDK's are named so that the others are built once, with their features, and not again for the tests.
test: lint trim
	cargo build --release --locked -p ringfort-appliance -p ringfort-bench -p ringfort-fuzz -p ringfort-acceptance-aws-sdk
	cargo nextest run --release --locked --workspace

test-nightly: lint trim
	cargo build --release --locked -p ringfort-appliance -p ringfort-bench -p ringfort-fuzz -p ringfort-acceptance-aws-sdk
	PROPTEST_CASES=$${PROPTEST_CASES:-2000} cargo nextest run --release --locked --workspace --profile nightly

# Only the tests of the built binary with real clients.
acceptance: prepare-test trim
	cargo build --release --locked -p ringfort-appliance
	cargo nextest run --release --locked -p ringfort-acceptance -p ringfort-acceptance-aws-sdk

# Ceph's tests of S3, from a clone of their repository: make s3-tests S3_TESTS=FOLDER
s3-tests: prepare-test trim
	cargo build --release --locked -p ringfort-appliance
	RINGFORT_CACHE="$(RINGFORT_CACHE)" tests/tools/s3-tests "$(S3_TESTS)" "$(RINGFORT)"

# Keeps what it learned in tests/fuzz/corpus, which `make test` replays.
fuzz: prepare-build trim
	tests/fuzz/run "$(FUZZ_SECONDS)" $(FUZZ_TARGETS)

bench: prepare-build trim
	cargo build --release --locked -p ringfort-appliance -p ringfort-bench
	"$(CARGO_TARGET_DIR)/release/ringfort-bench" suite --server-bin "$(RINGFORT)" --data-root "$(BENCH_DATA)" --out docs/benchmarks.md $(BENCH_ARGS)

# Swift's builder runs in the virtual environment of the tests.
bench-ring: prepare-test trim
	cargo build --release --locked -p ringfort-bench-ring
	"$(CARGO_TARGET_DIR)/release/ringfort-bench-ring" --python "$(RINGFORT_CACHE)/venv/bin/python"
