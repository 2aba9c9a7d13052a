# `make run` tries it, `make test` tests it. Everything lives in .venv; nothing else of the machine is touched
# but for `make test`, `make bench` and `make vm`, which install missing tools with apt as root.
SHELL := /bin/bash
PY := .venv/bin/python
STAMP := .venv/.stamp
DEV := .venv/.stamp-dev

.PHONY: run cluster test sim explore long leaders vm lint bench schemas clean

run: $(STAMP)
	@.venv/bin/standfast run --sandbox --services examples/services $(if $(filter 1,$(ONCE)),--tour)

# Three hosts and an etcd in namespaces, to crash and cut; as root.
cluster: $(DEV)
	@$(PY) -m tests.cluster.play

# Agents are started by the hundred: compiled once, as an installed one is, whatever a shell may say to Python.
test: $(DEV) lint
	@./tests/tools.sh
	@PYTHONDONTWRITEBYTECODE= .venv/bin/pytest -n 6 --dist loadfile --no-loadscope-reorder

# Made-up clusters of several hosts, each with the whole engine and random faults, on simulated time.
# `make sim SEED=17` replays one, with the end of its history; LAST=200 shows more of it; MINIMISE=1 leaves out
# and shortens what it can of a day that goes wrong.
SEEDS ?= 1000
START ?= 0
LAST ?= 60
sim: $(DEV)
	@$(PY) -m tests.sim --last $(LAST) $(if $(SEED),--seed $(SEED) $(if $(filter 1,$(MINIMISE)),--minimise),--seeds $(SEEDS) --start $(START))

# All that may happen to two nodes and a store, with one fault or two; minutes. STATES=n: so many of each scope.
explore: $(DEV)
	@$(PY) -m tests.explorer $(if $(STATES),--states $(STATES))

# 10,000 spoiled documents, 50 kills of the daemon at random times, 1,000 random days of the engine,
# 2,000 random faults of sessions and claims, 2,000 days of whole clusters.
long: $(DEV)
	@STANDFAST_FUZZ=10000 STANDFAST_CRASHES=50 STANDFAST_DAYS=1000 STANDFAST_SCHEDULES=2000 \
	  STANDFAST_CLUSTERS=2000 \
	  .venv/bin/pytest -n 2 \
	  tests/documents/test_fuzz.py tests/whole/test_crash_times.py tests/engine/test_monkey.py tests/members \
	  tests/sim

# Real etcd in namespaces, its leader killed 20 times, alone and together with a holder, for each profile of
# failover times; as root. Twenty minutes, nearly all of them waiting. Prints the slowest renewals.
leaders: $(DEV)
	@STANDFAST_LEADERS=20 .venv/bin/pytest -v -rP tests/cluster/test_leaders.py

# What needs device-mapper, in a small virtual machine.
vm: $(DEV)
	@./tests/tools.sh vm
	@STANDFAST_VM=1 .venv/bin/pytest tests/vm

lint: $(DEV)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/mypy tests/vm/bench.py tests/vm/guest.py tests/vm/conftest.py  # runs in `make vm` only
	@.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

bench: $(DEV)
	@./tests/tools.sh
	@$(PY) -m tests.bench

schemas: $(STAMP)
	@$(PY) -m reconciler.cli.schemas schemas/editor.json

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Standfast needs Python 3.11 or newer."; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "python3-venv is missing: sudo apt install python3-venv"; exit 1; }
	@test -x $(PY) || python3 -m venv .venv
	@echo "installing into .venv (once) …"
	@.venv/bin/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV): $(STAMP)
	@.venv/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
