.DEFAULT_GOAL := help
.PHONY: help install check insecure audit parts test test-fast test-thorough coverage demo drawing

BIN := .venv/bin

# Python keeps its bytecode even where the environment forbids it: to make it anew takes longer than many a test.
export PYTHONDONTWRITEBYTECODE :=

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/'

install:  ## a virtual environment with everything that developing needs, as locked
	python3 -m venv .venv
	$(BIN)/pip install -q --require-hashes -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps -e .

check:  ## ruff, its format, and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

insecure:  ## known ways to write insecure Python, by bandit; it needs no network
	$(BIN)/bandit -q -r -c pyproject.toml bot handlers client/src

audit: insecure  ## and known weaknesses of the locked packages, which a service on the network knows
	for locked in requirements.txt requirements-postgres.txt requirements-clickhouse.txt requirements-traces.txt; do \
		$(BIN)/pip-audit --strict --disable-pip --require-hashes -r $$locked || exit 1; done

parts:  ## parts.json: every locked package with its hashes, for CycloneDX
	$(BIN)/cyclonedx-py requirements --of JSON --output-reproducible --pyproject pyproject.toml -o parts.json requirements.txt

test:  ## every test; on PostgreSQL too, which starts by itself
	$(BIN)/pytest -n auto

test-fast:  ## the tests without processes, a running bot or PostgreSQL
	CLAUDE_COST_TEST_POSTGRES= $(BIN)/pytest -n $$(getconf _NPROCESSORS_ONLN) --hypothesis-profile=fast \
		tests/unit tests/contract tests/client

test-thorough:  ## the properties alone, with many examples that are new each time
	$(BIN)/pytest -n auto -m hypothesis --hypothesis-profile=thorough

coverage:  ## every test, and the lines and branches that none of them takes
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

demo:  ## the real bot against a local Slack and a local Anthropic, on a web page
	$(BIN)/claude-cost demo

drawing:  ## what is generated from the code: the rooms, the tree of exceptions, the list of levels, the client's copies, the catalogues
	$(BIN)/python -m tests.contract.rooms_drawing
	$(BIN)/python -m tests.contract.errors_drawing
	$(BIN)/python -m tests.contract.level_list
	$(BIN)/python -m tests.contract.client_copies
	$(BIN)/python -m tests.contract.catalogue
