# Everything that a bare machine needs: Python 3.11 to 3.13, make, and a package index.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$name && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
BROWSER := .venv/browser/chromium
SOURCES := db worker scheduler deploy/wheel tests
EXTRAS := --extra standalone --extra train --extra web --extra archive --extra c2pa --extra traces --extra jax --extra dev
IMAGE_LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --constraint requirements.lock \
	--extra run --extra web --extra archive --extra c2pa --extra traces pyproject.toml

.PHONY: demo test browser images faults fuzz scale pool report coverage check format hooks lock clean help

help:
	@echo 'make demo    install into .venv, then colourize sample scans on this machine'
	@echo 'make test    install into .venv, then check the code and run every test'
	@echo 'make browser the browser of the tests, into .venv'
	@echo 'make images  build the container image and run it, and the whole of compose.yml (needs Docker and debootstrap, root)'
	@echo 'make faults  break a running system in every way, over 500 scans each (half an hour)'
	@echo 'make fuzz    50 000 hostile files through a real worker'
	@echo 'make scale   a million scans in the job database, and how long everything takes then'
	@echo 'make pool    a thousand simulated workers on one PostgreSQL: what it bears'
	@echo 'make report  the report of a job of 10 000 scans: its size, its time, and the picture of it in README'
	@echo 'make coverage run every test, and print the share of the code that they run'
	@echo 'make check   ruff and mypy alone'
	@echo 'make format  put the code into shape'
	@echo 'make hooks   check each commit before it is made (pre-commit)'
	@echo 'make lock    choose the newest versions for requirements.lock'

demo: $(INSTALLED)
	$(BIN)/photochrom demo

# Two files at a time. TEST_OPTIONS= runs one at a time, TEST_OPTIONS='-p randomly' one at a time and in random order.
TEST_OPTIONS = -n 2 --dist loadfile

test: check browser
	$(BIN)/python -m pytest $(TEST_OPTIONS)

browser: $(BROWSER)

# About 70 MB. Without it, the tests that need a browser use the machine's own, or are skipped.
$(BROWSER): tests/install_browser.py | $(INSTALLED)
	-$(BIN)/python -m tests.install_browser && touch $@

images: $(INSTALLED)
	$(BIN)/python -m pytest tests/acceptance/images -rs

faults: $(INSTALLED)
	$(BIN)/python -m tests.faults

fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz

scale: $(INSTALLED)
	$(BIN)/python -m tests.bench.scale

pool: $(INSTALLED)
	$(BIN)/python -m tests.bench.pool

report: $(INSTALLED)
	$(BIN)/python -m tests.bench.report --picture docs/report.jpg

coverage: $(INSTALLED) $(BROWSER)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TEST_OPTIONS)
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
	sed -n "s/^tensorflow==\([^ ]*\).*/tensorflow-cpu==\1 ; platform_machine == 'x86_64'/p" requirements.lock > deploy/requirements-cpu.in
	$(BIN)/uv pip compile $(IMAGE_LOCK) deploy/requirements-cpu.in --override deploy/cpu-override.txt --output-file deploy/requirements-cpu.lock
	$(BIN)/uv pip compile $(IMAGE_LOCK) --extra gpu --output-file deploy/requirements-gpu.lock
	echo 'hatchling' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--constraint requirements.lock - --output-file deploy/requirements-build.lock

clean:
	rm -rf .venv

$(INSTALLED): requirements.lock pyproject.toml
	@test -n '$(PYTHON)' || { echo 'photochrom: no Python 3.11 to 3.13 with venv was found; install one, or: make PYTHON=/path/to/python3 ...' >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
