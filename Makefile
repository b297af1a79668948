# All commands of the project. `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
OLDEST := .venv-oldest
AUDIT := .venv-audit
COPY := _build/source
BEFORE := _build/before

.DEFAULT_GOAL := help
.PHONY: book pdf links notebooks test test-all oldest audit bench times lint clean help

# Reinstalls only if pyproject.toml or constraints.txt changed.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[book,dev,distributed]'
	@touch $@

book: $(INSTALLED)  ## run every notebook in a copy of the sources, and build the book from the copy
	@rm -rf $(COPY) _build/html _build/.doctrees && mkdir -p $(COPY)
	@cp -R book notebooks results README.md CONTRIBUTING.md _config.yml _toc.yml $(COPY)/
	$(BIN)/python $(COPY)/notebooks/run.py
	cd $(COPY) && $(CURDIR)/$(BIN)/jupyter-book build . --path-output ../.. -W -n --keep-going
	@echo "The book's first page: file://$(CURDIR)/_build/html/index.html"

pdf: $(INSTALLED)  ## print the built book to _build/html/wmgp.pdf, and link it from every page
	$(BIN)/python -m book.pdf

links: $(INSTALLED)  ## request the book's external links, and record today's date for each that answers
	$(BIN)/python -m book.links look

notebooks: $(INSTALLED)  ## run the .py sources and update the committed notebooks (ONLY=02_how_much for one)
	$(BIN)/python notebooks/run.py $(ONLY)

test: $(INSTALLED)  ## run the quick tests, one process per core
	$(BIN)/python -m pytest -n auto --no-loadscope-reorder -m 'not slow'

test-all: $(INSTALLED)  ## run all tests, one process per core
	$(BIN)/python -m pytest -n auto --no-loadscope-reorder

# Tests that `make oldest` skips: the book and the builds use current tools. uv picks the oldest allowed versions.
BUILT := accessibility book browser contributing site_metadata home_page links html_validity notebooks pdf readme wheel
oldest:  ## run the package's tests with the oldest versions that pyproject.toml allows
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --disable-pip-version-check uv
	$(OLDEST)/bin/python -m uv pip install --python $(OLDEST)/bin/python --resolution lowest-direct -e '.[book,dev]'
	$(OLDEST)/bin/python -m pytest -n auto --no-loadscope-reorder -W default \
		$(filter-out $(BUILT:%=tests/test_%.py),$(wildcard tests/test_*.py))

audit:  ## look up known vulnerabilities of the pinned versions (needs a network)
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --disable-pip-version-check pip-audit
	$(AUDIT)/bin/pip-audit --disable-pip --no-deps -r constraints.txt

bench: $(INSTALLED)  ## measure the speed, write results/benchmark*.csv, and report ratios that became worse
	@rm -rf $(BEFORE) && mkdir -p $(BEFORE) && cp results/benchmark*.csv $(BEFORE)/
	$(BIN)/python -m benchmarks.analyze --out results/benchmark.csv --readme README.md
	$(BIN)/python -m benchmarks.sweep --out results/benchmark_sweep.csv
	$(BIN)/python -m benchmarks.memory_formats --out results/benchmark_formats.csv
	$(BIN)/python -m benchmarks.browser --out results/benchmark_browser.csv
	$(BIN)/python -m benchmarks.sizes --out results/benchmark_sizes.csv
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
		$(BIN)/python -m benchmarks.gpu --out results/benchmark_device.csv; fi
	$(BIN)/python -m benchmarks.regressions $(BEFORE) results

times: $(INSTALLED)  ## measure how long each notebook takes, and write results/notebooks.csv
	$(BIN)/python -m notebooks.times --out results/notebooks.csv

lint: $(INSTALLED)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/pyright

clean:  ## remove build products, but not the environment in .venv
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
	find wmgp studies benchmarks notebooks book tests -name __pycache__ -prune -exec rm -rf {} +

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
