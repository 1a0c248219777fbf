# The commands of this project. `make help` lists them.
#
# All of them share one cargo profile and one target folder in the user's cache, so that RocksDB is
# compiled once (about 15 minutes on two cores), also for a second checkout.

SHELL := /bin/bash
export FASTKEEP_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fastkeep
export CARGO_TARGET_DIR ?= $(FASTKEEP_CACHE)/target
export FASTKEEP_PYTHON ?= $(FASTKEEP_CACHE)/venv/bin/python
BINARY := $(CARGO_TARGET_DIR)/release/fastkeep
ARGS ?=
SEEDS ?= 5000

.DEFAULT_GOAL := help
.PHONY: help run build test test-clients bench lint fmt sim faults faults-network fuzz differential needs-run needs-test needs-clients clean

help: ## Lists these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: build ## Runs everything in one process, ready for redis-cli on port 6379 (ARGS="--port 7000" adds flags)
	@exec $(BINARY) up $(ARGS)

build: needs-run ## Builds the fastkeep binary
	@echo "building (the first build compiles RocksDB, about 15 minutes on two cores)"
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	@echo "built $(BINARY)"

test: needs-test ## Runs all tests, those against redis-server and real clients included
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	FASTKEEP_BINARY=$(BINARY) cargo test --release --locked --workspace --exclude tests-clients

test-clients: needs-clients ## Runs real programs (RQ, Celery, BullMQ, Sidekiq, ...) against redis-server and fastkeep, killed in between
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	FASTKEEP_BINARY=$(BINARY) FASTKEEP_CLIENTS=$(FASTKEEP_CACHE)/clients cargo test --release --locked -p tests-clients $(ARGS)

bench: needs-test ## Measures fastkeep against redis-server in one run, prints ratios, writes docs/performance.md's table
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	FASTKEEP_BINARY=$(BINARY) cargo run --release --locked -p tests-bench -- $(ARGS)

lint: needs-run ## Checks format and lints; changes nothing
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

fmt: ## Formats the sources
	cargo fmt --all

sim: needs-run ## Simulates the log, and log, nodes and election together, over SEEDS=5000 seeds
	FASTKEEP_SIM_SEEDS=$(SEEDS) cargo test --release --locked -p logsvc-raft --test sim -p tests-sim --test nodes -- --nocapture

faults: needs-test ## Real processes under load: kills, freezes, cuts, delays, failing disks, checked (FAULTS=200 SEED=1)
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	FASTKEEP_BINARY=$(BINARY) FASTKEEP_FAULTS=$(or $(FAULTS),200) FASTKEEP_FAULTS_SEED=$(or $(SEED),1) \
		cargo test --release --locked -p tests-e2e --test faults -- --nocapture

faults-network: needs-test ## The same with a network namespace a process: what is cut is lost (as root; FAULTS=200 SEED=1)
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	FASTKEEP_BINARY=$(BINARY) FASTKEEP_FAULTS=$(or $(FAULTS),200) FASTKEEP_FAULTS_SEED=$(or $(SEED),1) \
		cargo test --release --locked -p tests-e2e --test network -- --nocapture

differential: needs-test ## Compares random commands with redis-server's replies (COMMANDS=1000000 SEED=1)
	cargo build --release --locked -p deploy-fastkeep --bin fastkeep
	FASTKEEP_BINARY=$(BINARY) cargo run --release --locked -p tests-differential -- --commands $(or $(COMMANDS),1000000) --seed $(or $(SEED),1)

fuzz: needs-run ## Fuzzes one reader of foreign bytes (TARGET=request|block|effects|rdb|dump SECONDS_EACH=60)
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	cd tests && RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(FASTKEEP_CACHE)/fuzz cargo fuzz run --fuzz-dir fuzz $(or $(TARGET),request) -- -max_total_time=$(or $(SECONDS_EACH),60)

needs-run:
	@deploy/dev/needs.sh run

needs-test:
	@deploy/dev/needs.sh test

needs-clients:
	@deploy/dev/needs.sh clients

clean: ## Removes what was built
	cargo clean
