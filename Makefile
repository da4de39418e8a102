# Everything here works on a fresh clone with Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What `make test` runs; nothing means everything. A file stays with one worker, which makes what its
# tests share once; the longest come first, as tests/conftest.py says.
TESTS ?=
# Packages that are built rather than downloaded, this one too, are built with pinned tools.
BUILD := --build-constraint requirements-build.txt

.PHONY: play demo site sbom test check lint clean

# Opens a page that plays a song while it is rendered, until Ctrl-C.
play: $(VENV)/installed
	$(BIN)/python -m spectrodiff play examples/greensleeves.mid

# Renders the examples to out/demo/.
demo: $(VENV)/installed
	$(BIN)/python sample.py examples/*.mid --out out/demo --picture
	@echo "listen to out/demo/*.wav, look at out/demo/*.png"

# Builds the documentation as a site; out/site/index.html is its first page.
site: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -q -c docs/site . out/site
	@echo "open out/site/index.html"

# Lists what the wheel holds and the packages it is installed with, in out/sbom.json (CycloneDX).
sbom: $(VENV)/installed
	rm -rf out/wheel
	$(BIN)/python -m build --wheel --no-isolation --outdir out/wheel
	$(BIN)/python .ci/sbom.py out/wheel/*.whl --out out/sbom.json

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

# What a change has to pass.
check: lint test

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: requirements.txt requirements-build.txt pyproject.toml
	$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 14); \
		sys.exit(None if ok else "Python 3.11 to 3.14 is needed, this is " + sys.version.split()[0] \
		+ "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --requirement requirements-build.txt
	$(BIN)/python -m pip install --quiet --requirement requirements.txt $(BUILD)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' $(BUILD)
	@touch $@

clean:
	rm -rf $(VENV) out build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
