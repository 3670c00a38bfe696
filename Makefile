# Every target makes what it needs: .venv, the packages in it, the extension. `make` alone lists the targets.
# Stamp files keep a target from doing again what no changed file asks for.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
MADE := $(VENV)/.made
DEV := $(VENV)/.dev
BUILT := $(VENV)/.built
RUST_SOURCES := $(shell find rust_core/core rust_core/py -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
KILLS := 1000
CUTS := 300
FS := ext4,xfs
OPS := 10000000
EXPLORE_S := 60
FUZZ_S := 60
FLOOR := 92
THREADS := 4
# With cargo missing, pip fetches a Rust of its own to build with, and whatever else needs cargo is skipped aloud.
CARGO := $(shell command -v cargo)
# A Python 3.14 or newer that was built without a GIL.
FREE_PYTHON := $(shell command -v python3.14t || command -v python3.15t)
FREE_VENV := target/python314t
RIVALS := target/rivals
LG := target/langgraph-suite
LG_SUITES := langgraph==1.2.22 langgraph-checkpoint==4.3.2 langgraph-checkpoint-sqlite==3.1.2
FIGURES := target/bench
HOOK_FIGURES := target/bench-hooks
# Each is about Spellkeep alone.
SOLO := benches/overhead.py benches/agents.py benches/timelines.py benches/tails.py benches/threads.py benches/checkpoints.py $(wildcard benches/reopen.py)
COMMITS := 5
LLVM_COV := target/tools/cargo-llvm-cov-0.9.1/bin/cargo-llvm-cov

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: build
build: $(BUILT) ## build the release extension into .venv

.PHONY: pgo
pgo: $(BUILT) ## build it again with a profile of benches/train.py (rustup component add llvm-tools)
	$(PY) -m pip install --quiet --disable-pip-version-check 'maturin>=1.16,<2'
	VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --pgo
	@touch $(BUILT)

.PHONY: demo
demo: $(BUILT) ## run `spellkeep demo`
	$(BIN)/spellkeep demo

.PHONY: test
test: test-rust test-python ## run every check and every test, Rust and Python

.PHONY: test-rust
test-rust: ## cargo fmt, clippy and test
ifeq ($(CARGO),)
	@echo "SKIPPED: Rust formatting, lints and tests need cargo, which is not on PATH (https://rustup.rs)."
else
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --profile checked --locked
endif

.PHONY: test-python
test-python: $(BUILT) $(DEV) ## ruff, mypy, stubtest and pytest (tidy included)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy python/spellkeep tests/typing
	$(PY) -m mypy.stubtest spellkeep._core
	$(PY) -m pytest -n auto

.PHONY: test-314t
test-314t: ## run the tests of threads under a Python without a GIL (FREE_PYTHON=)
ifeq ($(FREE_PYTHON),)
	@echo "SKIPPED: no python3.14t on PATH: build CPython 3.14 with ./configure --disable-gil, or name one: FREE_PYTHON="
else
	$(FREE_PYTHON) -c 'import sysconfig as s, sys; sys.exit(not s.get_config_var("Py_GIL_DISABLED") and "it has a GIL")'
	$(FREE_PYTHON) -m venv $(FREE_VENV)
	$(FREE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check . pytest pytest-timeout numpy
	$(FREE_VENV)/bin/python -m pytest tests/unit/test_free_threading.py tests/unit/test_store_threads.py
endif

.PHONY: langgraph-suite
langgraph-suite: $(BUILT) $(LG)/.made ## LangGraph's own tests, with its SQLite classes and with ours; lists what ours fails
	$(LG)/venv/bin/python tests/langgraph_suite

.PHONY: crash
crash: $(BUILT) ## kill writers 1,000 times and check what is left (KILLS=, SEED=, THREADS=)
	PYTHONPATH=tests $(PY) -m crash --kills $(KILLS) --threads $(THREADS) $(if $(SEED),--seed $(SEED))

.PHONY: powercut
powercut: $(BUILT) ## lose the page cache of real file systems 300 times each, and again under agents (CUTS=, SEED=, FS=; as root)
	PYTHONPATH=tests $(PY) -m powercut --cuts $(CUTS) --fs $(FS) $(if $(SEED),--seed $(SEED))
	PYTHONPATH=tests $(PY) -m powercut --agents --cuts $(CUTS) --fs $(FS) $(if $(SEED),--seed $(SEED))

.PHONY: soak
soak: $(BUILT) ## ten million operations; memory, descriptors and threads must not grow (OPS=, SEED=, JSON=1)
	PYTHONPATH=tests $(PY) -m soak --ops $(OPS) $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json)

.PHONY: mutants
mutants: $(BUILT) $(DEV) ## break the code on purpose; each defect must turn its test red (ONLY=, SEED=)
ifeq ($(CARGO),)
	@echo "SKIPPED: planting defects needs cargo, which is not on PATH."
else
	$(PY) tests/mutants/run.py $(if $(ONLY),--only '$(ONLY)') $(if $(SEED),--seed $(SEED))
endif

.PHONY: coverage
coverage: $(DEV) ## lines of the core that its Rust tests run, by file; fails below 92 % (FLOOR=, SEED=)
ifeq ($(CARGO),)
	@echo "SKIPPED: coverage needs cargo, which is not on PATH."
else
	@test -x $(LLVM_COV) || cargo install --quiet --locked --root $(LLVM_COV:/bin/cargo-llvm-cov=) \
		--target-dir target/tools/build cargo-llvm-cov@$(lastword $(subst -, ,$(LLVM_COV:/bin/cargo-llvm-cov=)))
	SPELLKEEP_PERCENT=4 $(if $(SEED),SPELLKEEP_SEED=$(SEED)) \
		$(LLVM_COV) llvm-cov --quiet --locked --profile checked --lcov --output-path target/coverage.lcov
	$(PY) tests/lines/report.py target/coverage.lcov --floor $(FLOOR)
endif

.PHONY: explore
explore: ## crash a simulated disk at every change, fresh seeds for a minute (SECONDS=, SEED=)
ifeq ($(CARGO),)
	@echo "SKIPPED: the crash explorer needs cargo, which is not on PATH."
else
	SPELLKEEP_SECONDS=$(or $(SECONDS),$(EXPLORE_S)) $(if $(SEED),SPELLKEEP_SEED=$(SEED)) \
		cargo test --profile checked --locked --test explore -- --nocapture --test-threads 1
endif

.PHONY: flips
flips: ## flip every bit of every file of a store, and misplace every sector (SEED=, EVERY=1: of snapshots too)
ifeq ($(CARGO),)
	@echo "SKIPPED: the flip sweep needs cargo, which is not on PATH."
else
	SPELLKEEP_FULL=1 $(if $(SEED),SPELLKEEP_SEED=$(SEED)) cargo test --profile checked --locked --test flips -- --nocapture $(if $(EVERY),--include-ignored)
endif

.PHONY: fuzz
fuzz: ## fuzz values, frames, scopes and recovery for a minute each (SECONDS=, TARGET=, ASAN=1)
	rust_core/fuzz/run $(or $(SECONDS),$(FUZZ_S)) $(TARGET)

.PHONY: bench
bench: $(BUILT) $(RIVALS)/.made ## measure beside rivals, print, write docs/performance.md (QUICK=1: a minute, print only)
	@command -v redis-server >/dev/null || echo "Redis is left out: apt install redis-server" >&2
	rm -rf $(FIGURES)
	PYTHONPATH=python:benches $(RIVALS)/bin/python -m rivals --json $(FIGURES)/rivals.json $(if $(QUICK),--quick)
	@for each in $(SOLO); do \
		echo "$$each"; \
		PYTHONPATH=python:benches $(RIVALS)/bin/python $$each --json $(FIGURES)/$$(basename $$each .py).json \
			$(if $(QUICK),--quick); \
	done
	PYTHONPATH=python:benches $(RIVALS)/bin/python -m rivals.report $(FIGURES) \
		$(if $(QUICK),,--page docs/performance.md --readme README.md)

.PHONY: bench-langgraph
bench-langgraph: $(BUILT) $(LG)/.bench ## measure LangGraph's savers, write their part of docs/performance.md (QUICK=1)
	PYTHONPATH=python:benches $(LG)/bench/bin/python benches/langgraph_bench/growth.py \
		--json $(LG)/figures/langgraph-growth.json $(if $(QUICK),--quick)
	PYTHONPATH=python:benches $(LG)/bench/bin/python benches/langgraph_bench/turn.py \
		--json $(LG)/figures/langgraph-turn.json $(if $(QUICK),--quick)
	PYTHONPATH=python:benches $(LG)/bench/bin/python -m rivals.report $(LG)/figures $(if $(QUICK),,--page docs/performance.md)

.PHONY: bench-hooks
bench-hooks: $(BUILT) $(RIVALS)/.made ## measure hooks beside pluggy and blinker, write their part of docs/performance.md (QUICK=1)
	PYTHONPATH=python:benches $(RIVALS)/bin/python benches/hooks.py --json $(HOOK_FIGURES)/hooks.json $(if $(QUICK),--quick)
	PYTHONPATH=python:benches $(RIVALS)/bin/python -m rivals.report $(HOOK_FIGURES) $(if $(QUICK),,--page docs/performance.md)

.PHONY: dashboard
dashboard: $(DEV) ## measure the last commits with asv and write the site of their history (COMMITS=)
	$(BIN)/asv machine --yes
	git rev-list --first-parent -n $(COMMITS) HEAD | $(BIN)/asv run --skip-existing-successful HASHFILE:-
	$(BIN)/asv publish HEAD
	@echo "target/asv/html/index.html, to be looked at with: $(BIN)/asv preview"

.PHONY: bench-compare
bench-compare: $(DEV) ## measure this commit and BASE= with asv, in turn; fails when one is 10 % slower
	$(BIN)/asv machine --yes
	$(BIN)/asv continuous --factor 1.1 --interleave-rounds $(or $(BASE),$(error BASE= names the commit to compare with)) HEAD

.PHONY: fmt
fmt: $(DEV) ## format Rust and Python
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
ifeq ($(CARGO),)
	@echo "SKIPPED: formatting Rust needs cargo, which is not on PATH."
else
	cargo fmt --all
endif

.PHONY: clean
clean: ## remove .venv, target and every cache
	rm -rf $(VENV) target .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find python tests -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/spellkeep/_core*.so

$(MADE):
	@for python in python3.11 python3.12 python3.13 python3.14 python3; do \
		if $$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$python"; $$python -m venv --clear $(VENV); touch $@; exit 0; \
		fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed, and none was found on PATH." >&2; exit 1

$(DEV): requirements-dev.txt $(MADE)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(RIVALS)/.made: benches/rivals/requirements.txt $(MADE)
	$(PY) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(LG)/.bench: benches/langgraph_bench/requirements.txt $(MADE)
	$(PY) -m venv $(LG)/bench
	$(LG)/bench/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Their source distributions have the tests; a wheel has none.
$(LG)/.made: tests/langgraph_suite/requirements.txt $(BUILT)
	$(PY) -m venv $(LG)/venv
	$(LG)/venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(LG)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(LG)/venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(LG) \
		--no-binary langgraph,langgraph-checkpoint,langgraph-checkpoint-sqlite $(LG_SUITES)
	@touch $@

$(BUILT): $(RUST_SOURCES) pyproject.toml $(MADE)
	@echo "building the extension into $(VENV): about a minute the first time"
	$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@
