# Two commands do everything on a fresh Debian: `make demo` and `make test`.
# What is missing is installed first (scripts/set-up); when nothing is, that takes no time.

PYTHON ?= python3
ARGS ?=
RUN := .venv/bin/python
PYTEST := $(RUN) -m pytest
# Two processes on two cores; tests of one file share hosts, so they stay together.
# In alphabetical order: the files without a host, which take no time, come last and fill the gaps.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
export PYTHON

.PHONY: help demo sandbox test test-long test-host conformance bench docs deb install uninstall lint \
    format clean set-up peers

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: set-up  ## volt at work on a private host: networks, names, default policy
	@$(RUN) -m scripts.demo

sandbox: set-up  ## a shell on a private host with the agent running, to play in
	@$(RUN) -m scripts.sandbox

test: set-up-test lint  ## ruff, mypy, and every test that takes seconds
	$(PYTEST) $(PARALLEL) -m "not long and not host and not conformance" $(ARGS)

test-long: set-up-test  ## the tests that take minutes
	$(PYTEST) -m long $(ARGS)

test-host: set-up-test  ## the tests on booted systemd hosts and virtual machines
	@scripts/set-up host
	$(PYTEST) -m host $(ARGS)

conformance: set-up-test  ## judges from elsewhere: h1spec, Autobahn, sslyze, slowhttptest
	@scripts/set-up conformance
	$(PYTEST) -m conformance -s $(ARGS)

bench: set-up-test peers  ## every figure of the README, each beside its peer
	@for file in $$(grep -l 'options(__doc__)' benchmarks/*.py); do \
	    echo "== $$file"; $(RUN) -m benchmarks.$$(basename $$file .py) $(ARGS) || failed=1; \
	done; exit $${failed:-0}

docs: set-up  ## docs/commands, from the commands themselves
	@$(RUN) -m scripts.command_pages

deb: set-up  ## a Debian package of volt with its libraries, in dist/
	@scripts/package deb

install: set-up  ## volt into this machine, where there is no dpkg
	@scripts/package install

uninstall:  ## out of it again; with PURGE=1 also configuration and state
	@scripts/package uninstall $(if $(PURGE),--purge)

lint: set-up  ## ruff and strict mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: set-up  ## let ruff format everything
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

clean:  ## remove .venv, what was unpacked or built, and every cache
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

set-up:
	@scripts/set-up run venv

.PHONY: set-up-test
set-up-test:
	@scripts/set-up run test venv

peers:
	@scripts/set-up peers
