# Everything that a bare machine needs: Python 3.11 to 3.13, make, and a package index.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$name && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
BROWSER := .venv/browser/chromium
SOURCES := db worker scheduler tests
EXTRAS := --extra postgresql --extra standalone --extra web --extra archive --extra c2pa --extra traces --extra dev

.PHONY: demo test browser faults fuzz scale report coverage check format hooks lock clean help

help:
	@echo 'make demo    install into .venv, then colourize sample scans on this machine'
	@echo 'make test    install into .venv, then check the code and run every test'
	@echo 'make browser the browser of the tests, into .venv'
	@echo 'make faults  break a running system in every way, over 500 scans each (half an hour)'
	@echo 'make fuzz    5 000 hostile files through a real worker'
	@echo 'make scale   a million scans in the job database, and how long everything takes then'
	@echo 'make report  the report of a job of 10 000 scans: its size, its time, and the picture of it in README'
	@echo 'make coverage run every test, and print the share of the code that they run'
	@echo 'make check   ruff and mypy alone'
	@echo 'make format  put the code into shape'
	@echo 'make hooks   check each commit before it is made (pre-commit)'
	@echo 'make lock    choose the newest versions for requirements.lock'

demo: $(INSTALLED)
	$(BIN)/photochrom demo

test: check browser
	$(BIN)/python -m pytest

browser: $(BROWSER)

# Some 70 MB. Without it, the tests that need a browser take the machine's own, or are skipped.
$(BROWSER): tests/install_browser.py | $(INSTALLED)
	-$(BIN)/python -m tests.install_browser && touch $@

faults: $(INSTALLED)
	$(BIN)/python -m tests.faults

fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz

scale: $(INSTALLED)
	$(BIN)/python -m tests.bench.scale

report: $(INSTALLED)
	$(BIN)/python -m tests.bench.report --picture docs/report.jpg

coverage: $(INSTALLED) $(BROWSER)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --precision=1

check: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

hooks: $(INSTALLED)
	$(BIN)/pre-commit install

lock: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes $(EXTRAS) \
		pyproject.toml --output-file requirements.lock
	for device in cpu gpu; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
			--constraint requirements.lock --extra postgresql --extra web $$(test $$device = cpu || echo --extra gpu) \
			pyproject.toml --output-file deploy/requirements-$$device.lock; \
	done

clean:
	rm -rf .venv

$(INSTALLED): requirements.lock pyproject.toml
	@test -n '$(PYTHON)' || { echo 'photochrom: no Python 3.11 to 3.13 with venv was found; install one, or: make PYTHON=/path/to/python3 ...' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
