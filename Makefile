# make test         ruff, yamllint, salt-lint and pytest on Salt 3008; SALT=3006 for the other, ARGS="-k gate" for pytest
# make test-3006    the same on Salt 3006 LTS
# make lint         the linters alone
# make demo         both scenarios on a master and nine minions on loopback, with real Puppet
# make demo-shell   the same machines, and a prompt to try every command on them
# make clean        forget what was built here; the virtual environments stay
#
# The first run installs what is missing: Debian packages (root is needed for those alone) and a virtual environment,
# .venv for Salt 3008 and .venv-3006 for Salt 3006. PYTHON=python3.11 makes them with another interpreter.

PYTHON ?= python3
SALT ?= 3008
VENV := .venv$(patsubst %,-%,$(filter-out 3008,$(SALT)))
BIN := $(VENV)/bin
JOBS ?= $(shell expr 2 \* $$(nproc))
YAML := orch pillar.example demo
# Requisites stand as Salt's own documentation has them.
YAMLLINT := {extends: default, rules: {line-length: {max: 120}, document-start: disable, indentation: {indent-sequences: whatever}}}

.PHONY: test test-3006 lint demo demo-shell clean packages packages-test

test: packages-test lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

test-3006:
	$(MAKE) test SALT=3006

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/yamllint --strict -d '$(YAMLLINT)' $$(git ls-files $(YAML) | grep -E '\.(sls|yaml)$$')
	$(BIN)/salt-lint $$(git ls-files $(YAML) | grep '\.sls$$')

demo demo-shell: packages $(VENV)/.ready
	$(BIN)/python demo/$(subst -,_,$@).py

$(VENV)/.ready: setup.py tests/requirements.txt | packages
	@echo "Installing Salt $(SALT) and the tools of the tests in $(VENV)"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "salt~=$(SALT).0" -r tests/requirements.txt
	touch $@

packages:
	@PYTHON=$(PYTHON) .ci/packages

packages-test:
	@PYTHON=$(PYTHON) .ci/packages test

clean:
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
