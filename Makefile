# Everything happens in .venv, made from uv.lock with checked hashes. uv itself, where the machine
# has none, goes into .uv: no root, no change to the user's Python. Bytecode is compiled once here:
# without it TensorFlow takes ten seconds to import wherever Python may not write its caches.
ifndef PYTHON
PYTHON := $(shell for each in python3.11 python3.12 python3.13 python3; do \
	$$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& command -v $$each && break; done)
endif
# Where the machine has no such Python, uv brings one of its own.
INTERPRETER := $(or $(PYTHON),3.11)
UV_VERSION := 0.13.9
UV := $(shell command -v uv || echo .uv/bin/uv)
BIN := .venv/bin
export UV_PROJECT_ENVIRONMENT := .venv
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Every command, test and gate is a process of its own: without bytecode each compiles the product anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test proofs walk check bench evaluate serve ui clean

install: .venv/.installed

.uv/bin/uv:
	$(or $(PYTHON),python3) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: uv.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@$(if $(PYTHON),,echo "No Python 3.11 to 3.13 on this machine: uv installs 3.11 for this folder alone")
	$(UV) sync --locked --compile-bytecode --python $(INTERPRETER)
	$(BIN)/python -m compileall -q -j 0 features flows models serving
	@touch $@

demo: install
	$(BIN)/servable demo

test: install
	$(BIN)/python -m pytest

# The tests that take long or wait for a clock; make test leaves them out.
proofs: install
	$(BIN)/python -m pytest -m proof

# What three people do, with the commands of README and docs, in a few minutes.
walk: install
	$(BIN)/python -m pytest -o python_files='walk_*.py' tests/walks

check: install
	$(UV) lock --check --python $(INTERPRETER)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m tests.benchmarks bench

evaluate: proofs
	$(BIN)/python -m tests.benchmarks evaluate

serve: install
	$(BIN)/servable serve

ui: install
	$(BIN)/servable ui

clean:
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@echo "workspace/ and mlruns/ hold your data and models and stay: remove them by hand if you mean it"
