# The project's tasks. `make` alone lists them; each makes what it needs first.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
WORKERS ?= 2
# Everything the installed package is made from: a change here builds it again.
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(shell find rust -path rust/fuzz -prune -o -name '*.rs' -print -o -name 'Cargo.toml' -print)
PACKAGED := $(shell find python -name '*.py' -o -name '*.pyi' -o -name '*.gz')

# pyo3 asks a Python what to build for: the one of .venv, not the first on the PATH.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /#/' | awk -F'#' '{printf "make %-10s %s\n", $$1, $$2}'

.PHONY: train
train: .venv/user ## install into .venv and train the tutorial's network on MNIST (ARGS="--epochs 5" …)
	$(BIN)/chainrule train $(ARGS)

.PHONY: check
check: .venv/user ## install into .venv and compare backpropagation with numeric gradients
	$(BIN)/chainrule check $(ARGS)

.PHONY: test
test: rust-test lint stubs pytest docs ## everything: Rust tests, lint, types, stub check, Python tests, documentation

.PHONY: rust-test
rust-test: .venv/bin/python ## the Rust tests
	cargo test --workspace

.PHONY: pytest
pytest: .venv/dev ## the Python tests (ARGS="-k gate" …), in WORKERS processes at once, 2 if not said
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

.PHONY: frameworks
frameworks: .venv-frameworks/installed ## the check on PyTorch and JAX, in a venv of their own: some gigabytes
	.venv-frameworks/bin/python -m pytest tests/checking/test_torch.py tests/checking/test_jax.py tests/checking/test_frameworks_script.py $(ARGS)

.PHONY: slow
slow: .venv/dev ## the long forms of tests of which make test runs short ones
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m slow $(ARGS)

.PHONY: mutation
mutation: .venv/mutation ## change a module line by line and see which changes its tests let pass (ARGS="nn/gradients.py")
	$(BIN)/python tests/mutation.py $(ARGS)

.PHONY: attack
attack: .venv/dev ## attack the package for minutes or hours, and tell what was found (ARGS="--minutes 60 --keep", …)
	PYTHONPATH=tests $(BIN)/python -m attack $(ARGS)

# What is found goes beside the corpus, where git does not see it: make fuzz-keep takes into the corpus what goes new ways.
# Comparisons are not traced: most are in the targets' own loops, which then take up to ten times as long.
FUZZ := cargo +nightly fuzz
FUZZ_FLAGS ?= --sanitizer none --no-trace-compares
SEED := $(shell date +%s)
TARGETS ?= $(shell sed -n 's/^path = "targets\/\(.*\).rs"/\1/p' rust/fuzz/Cargo.toml)

.PHONY: fuzz
fuzz: ## fuzz the Rust core, target by target (TARGETS=losses SEED=7 ARGS="-runs=1000000"); needs Rust nightly and cargo-fuzz
	@for target in $(TARGETS); do \
	  mkdir -p rust/fuzz/found/$$target && echo "== $$target, seed $(SEED)" && \
	  $(FUZZ) run --fuzz-dir rust/fuzz $(FUZZ_FLAGS) $$target rust/fuzz/found/$$target rust/fuzz/corpus/$$target -- \
	    -seed=$(SEED) -runs=100000 -max_len=256 -timeout=20 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 $(ARGS) || exit 1; \
	done

.PHONY: fuzz-keep
fuzz-keep: ## take into the corpora the inputs, found by make fuzz, that go where no other does
	@for target in $(TARGETS); do \
	  $(FUZZ) run --fuzz-dir rust/fuzz $(FUZZ_FLAGS) $$target rust/fuzz/corpus/$$target rust/fuzz/found/$$target -- -set_cover_merge=1 -use_counters=0 || exit 1; \
	done

# Nightly Rust, with rust-src: the standard library is built with the same eyes. The tests ask for more memory than there
# is, and let a thread keep a block, as it does (put_by.rs).
EYES = $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
.PHONY: sanitize
sanitize: .venv/bin/python ## the kernels' tests under AddressSanitizer, then ThreadSanitizer
	for each in address thread; do \
	  ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 TSAN_OPTIONS=allocator_may_return_null=1 RUSTFLAGS=-Zsanitizer=$$each CARGO_TARGET_DIR=target/$$each \
	  cargo +nightly test -Zbuild-std --target $(EYES) --package chainrule-kernels --lib || exit 1; \
	done

.PHONY: memcheck
memcheck: .venv/dev ## the extension's tests under valgrind
	$(BIN)/python tests/memcheck.py

.PHONY: miri
miri: .venv/bin/python ## the scalar paths, and what is unsafe in them, under Miri
	cargo +nightly miri test --package chainrule-kernels --lib -- leftover level nonzeros padded

.PHONY: audit
audit: ## what is known against the crates that are in the package (needs cargo-deny)
	cargo deny check

.PHONY: lint
lint: .venv/dev ## formatting, clippy, ruff, mypy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

.PHONY: stubs
stubs: .venv/dev ## hold the stub of the extension against the extension
	cd python && ../$(BIN)/python -m mypy.stubtest chainrule._kernels

.PHONY: docs
docs: .venv/docs ## build the documentation as HTML into docs/_build/html
	$(BIN)/python -m sphinx --builder html --nitpicky --fail-on-warning --keep-going docs docs/_build/html

.PHONY: bench
bench: .venv/bench ## chainrule beside NumPy, JAX, scikit-learn (and PyTorch, if it is in .venv); takes half an hour, or more
	$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: wheel
wheel: .venv/dev ## build the wheel and the sdist into dist/
	$(BIN)/maturin build --release --sdist --out dist

.PHONY: clean
clean: ## remove what was built
	rm -rf .venv .venv-frameworks target dist docs/_build python/chainrule/_kernels*.so

# The two halves of a machine: a new enough Python with venv, and cargo.
.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "chainrule needs Rust: install the stable toolchain from https://rustup.rs, then run make again." >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "chainrule needs Python 3.11 or newer, and '$(PYTHON)' is not: install one from https://python.org, or name it: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "chainrule needs Python's venv module: install it (on Debian and Ubuntu: apt install python3-venv), then run make again." >&2; exit 1; }

.venv/bin/python: | tools
	$(PYTHON) -m venv .venv

# As a user has it: a wheel, installed. As a contributor has it: editable, with the tools. Either replaces the other.
.venv/user: $(SOURCES) $(PACKAGED) | .venv/bin/python
	$(BIN)/python -m pip install --quiet .
	@rm -f .venv/dev && touch $@

.venv/dev: $(SOURCES) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@rm -f .venv/user && touch $@

.venv/docs: .venv/dev
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	@touch $@

.venv/mutation: .venv/dev
	$(BIN)/python -m pip install --quiet --editable '.[dev,mutation]'
	@touch $@

.venv/bench: .venv/dev
	$(BIN)/python -m pip install --quiet --editable '.[dev,bench]'
	@touch $@

# PyTorch comes with a GPU's libraries, which are larger than all else together: only for who asks.
.venv-frameworks/installed: $(SOURCES) | tools
	$(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --editable '.[test,frameworks]'
	@touch $@
