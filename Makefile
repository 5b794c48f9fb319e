# Everything a contributor or a user types. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install packages-lab packages-tests lab-up lab-down lab-reset lab-status demo test test-long test-minimums lock check fuzz properties bench clean

# docker (containers that are whole machines), or virtualbox, or libvirt
LAB_PROVIDER ?= docker
LAB_NODES ?= 5
# for lab-reset: which ones; all of them by default
NODES ?=
# for test: what to hand to pytest, as in `make test PYTEST="-k firewall"`
PYTEST ?=
# for fuzz: times more examples than `make test` tries
FUZZ ?= 100
# for bench: which cases and options to hand to python -m benchmarks
BENCH ?=
export LAB_NODES

INSTALLED := .venv/.installed
PIP_INSTALL := pip install --quiet --disable-pip-version-check

help:  ## list what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1|/' | column -t -s '|'

install: $(INSTALLED)  ## .venv with .venv/bin/orchestr and the tools of development

# Read again whenever what it was made from changes; a virtual environment made by hand is kept and completed.
$(INSTALLED): setup.cfg pyproject.toml requirements/dev.txt tests/lab/packages.sh
	@tests/lab/packages.sh python
	@[ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 \
	  || { echo "making .venv"; "$$(tests/lab/packages.sh which-python)" -m venv --clear .venv; }
	@echo "installing into .venv: orchestr (editable) and, from PyPI, the packages of requirements/dev.txt, checked by hash"
	@.venv/bin/python -m $(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt </dev/null
	@.venv/bin/python -m $(PIP_INSTALL) --no-deps --no-build-isolation --editable . </dev/null
	@.venv/bin/python -m compileall -q orchestr roles
	@touch $@

packages-lab:
	@tests/lab/packages.sh lab

packages-tests:
	@tests/lab/packages.sh tests

lab-up: packages-lab  ## start the lab: lab1 ... lab5 at 192.168.56.11 ... 15
ifeq ($(LAB_PROVIDER),docker)
	@tests/lab/lab.sh up
else
	@vagrant up --provider=$(LAB_PROVIDER)
endif

lab-down:  ## remove the lab's machines
ifeq ($(LAB_PROVIDER),docker)
	@tests/lab/lab.sh down
else
	@vagrant destroy --force
endif

lab-reset: packages-lab  ## machines back to bare, in seconds; some only: make lab-reset NODES="lab3 lab4"
ifeq ($(LAB_PROVIDER),docker)
	@tests/lab/lab.sh reset $(NODES)
else
	@vagrant destroy --force $(NODES) && vagrant up --provider=$(LAB_PROVIDER) $(NODES)
endif

lab-status:  ## one line per machine
	@tests/lab/lab.sh status

demo: install packages-lab  ## everything, on lab machines: one LiveKit node, then three
	@tests/lab/demo.sh

test: install packages-tests lab-up  ## every test, the lab's included
	@tests/lab/images/livekit.sh start v1.8.4  # for the tests of updates, while others run
	@tests/run.sh $(PYTEST)

test-long: test-minimums fuzz properties  ## what takes long: the oldest packages that setup.cfg allows, and random input

test-minimums: packages-tests  ## tests without the lab, with the oldest packages that setup.cfg allows
	@"$$(tests/lab/packages.sh which-python)" -m venv --clear build/minimum-venv
	@build/minimum-venv/bin/python -m $(PIP_INSTALL) --require-hashes --requirement requirements/minimum.txt </dev/null
	@build/minimum-venv/bin/python -m $(PIP_INSTALL) --no-deps --no-build-isolation --editable . </dev/null
	@build/minimum-venv/bin/python -m pytest tests/unit tests/agent tests/cli </dev/null

lock:  ## resolve the versions of requirements/ anew from setup.cfg; to newer ones: make lock LOCK=--upgrade
	@requirements/compile.sh $(LOCK)

check: install  ## lint, types, and that what travels to hosts is Python 3.8
	.venv/bin/ruff check .
	.venv/bin/mypy --strict orchestr roles
	.venv/bin/vermin --quiet --no-tips --violations --target=3.8- orchestr/agent orchestr/resources $(wildcard roles/*/resources.py)

fuzz: install packages-tests  ## try every reader of foreign text with random input, other one each time; more: make fuzz FUZZ=1000
	@ORCHESTR_FUZZ=$(FUZZ) .venv/bin/python -m pytest tests/fuzz $(PYTEST) </dev/null

properties: install packages-tests  ## the property tests with other random input each time
	@ORCHESTR_FUZZ=1 .venv/bin/python -m pytest $$(grep -rl --include=test_*.py hypothesis tests | grep -v tests/fuzz/) $(PYTEST) </dev/null

BENCH_INSTALLED := build/bench-venv/.installed

$(BENCH_INSTALLED): benchmarks/requirements.txt
	@echo "installing into build/bench-venv, from PyPI: what benchmarks/requirements.txt lists"
	@"$$(tests/lab/packages.sh which-python)" -m venv --clear build/bench-venv
	@build/bench-venv/bin/python -m $(PIP_INSTALL) --require-hashes --requirement $< </dev/null
	@ln -s "$$(build/bench-venv/bin/python -c 'import ansible_mitogen as m; print(m.__path__[0])')/plugins/strategy" \
	  build/bench-venv/lib/mitogen-strategy
	@touch $@

bench: install lab-up $(BENCH_INSTALLED)  ## orchestr beside the floor and its peers; some only: make bench BENCH="converged_3 --runs 3"
	@.venv/bin/python -m compileall -q orchestr roles  # where python may not write bytecode, a run would compile it each time
	@.venv/bin/python -m benchmarks $(BENCH)

clean: lab-down  ## remove the lab, .venv and all that was built
	rm -rf .venv build .vagrant
