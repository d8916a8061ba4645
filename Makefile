# make test         ruff, yamllint, salt-lint and pytest on Salt 3008; SALT=3006 for the other, ARGS="-k gate" for pytest
# make test-3006    the same on Salt 3006 LTS
# make test-slow    the tests that make test leaves out, of a minute or many machines each; .ci/nightly runs them on both
# make lint         the linters alone
# make demo         both scenarios on a master and nine minions on loopback, with real Puppet
# make demo-shell   the same machines, and a prompt to try every command on them
# make lab          booted nodes with puppetserver, PuppetDB and a Salt master, for real Swift and Keystone: docs/lab.md (root);
#                   LATER="st3 cmp3" adds nodes that it begins without
# make lab-test     deploy both scenarios there, break nodes and orders on purpose
# make lab-shell    a prompt on a node of it; NODE=st1 for another than its master
# make lab-down     end its nodes; make lab-clean removes the images too
# make lab-ci       lab-test without its slow tests, then lab-down; where the machine cannot have the lab it says so, no more
# make bench        measure speed and scale beside other tools, for docs/performance.md (75 minutes; the machine must be idle)
# make bench-quick  the same in two minutes, printed beside what is kept, and nothing kept
# make clean        forget what was built here; the virtual environments stay
#
# The first run installs what is missing: Debian packages (root is needed for those alone) and a virtual environment,
# .venv for Salt 3008 and .venv-3006 for Salt 3006. PYTHON=python3.11 makes them with another interpreter.

PYTHON ?= python3
SALT ?= 3008
VENV := .venv$(patsubst %,-%,$(filter-out 3008,$(SALT)))
BIN := $(VENV)/bin
JOBS ?= $(shell expr 1 + $$(nproc))
NODE ?= salt
YAML := orch pillar.example demo tests/lab
# Requisites stand as Salt's own documentation has them.
YAMLLINT := {extends: default, rules: {line-length: {max: 120}, document-start: disable, indentation: {indent-sequences: whatever}}}

# Hundreds of short programs are started here, which would compile all that they load.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test test-3006 test-slow lint demo demo-shell lab lab-test lab-ci lab-shell lab-down lab-clean bench bench-quick clean packages packages-test packages-lab packages-bench

test: packages-test lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not slow' $(ARGS)

test-3006:
	$(MAKE) test SALT=3006

test-slow:
	$(MAKE) test ARGS="-m slow"

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/yamllint --strict -d '$(YAMLLINT)' $$(git ls-files $(YAML) | grep -E '\.(sls|yaml)$$')
	$(BIN)/salt-lint $$(git ls-files $(YAML) | grep '\.sls$$')

demo demo-shell: packages $(VENV)/.ready
	$(BIN)/python demo/$(subst -,_,$@).py

lab: packages-lab $(VENV)/.ready
	$(BIN)/python tests/lab/lab.py up $(LATER)

lab-test: lab
	$(BIN)/pytest tests/lab $(ARGS)

lab-ci: $(VENV)/.ready
	@[ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory packages-lab
	@! $(BIN)/python tests/lab/lab.py check || \
		{ $(MAKE) lab-test ARGS="-m 'not slow'"; status=$$?; $(MAKE) lab-down; exit $$status; }

lab-shell lab-down lab-clean:
	@$(BIN)/python tests/lab/lab.py $(@:lab-%=%) $(if $(filter lab-shell,$@),$(NODE))

bench: packages-bench $(VENV)/.bench
	$(BIN)/python tests/bench/bench.py $(ARGS)

bench-quick: packages $(VENV)/.ready
	$(BIN)/python tests/bench/bench.py --quick $(ARGS)

$(VENV)/.bench: tests/bench/requirements.txt $(VENV)/.ready
	$(BIN)/pip install --quiet -r $<
	touch $@

$(VENV)/.ready: setup.py tests/requirements.txt | packages
	@echo "Installing Salt $(SALT) and the tools of the tests in $(VENV)"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "salt~=$(SALT).0" -r tests/requirements.txt
	touch $@

packages:
	@PYTHON=$(PYTHON) .ci/packages

packages-test:
	@PYTHON=$(PYTHON) .ci/packages test

packages-lab:
	@PYTHON=$(PYTHON) .ci/packages lab

packages-bench:
	@PYTHON=$(PYTHON) .ci/packages bench

clean:
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
