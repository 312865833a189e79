# Two commands do all the set-up on a fresh machine: `make demo` and `make test`. They need Python ≥ 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests share what they prepare, so that a file stays in one process.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check format test-all bench docs build clean

demo: $(VENV)/core.done
	$(BIN)/antipodal demo -o out/demo

test: $(VENV)/all.done
	$(BIN)/python -m pytest -q $(PARALLEL)

check: $(VENV)/all.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/all.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-all: $(VENV)/all.done
	$(BIN)/python -m pytest -q $(PARALLEL) -m "not gpu"

bench: $(VENV)/all.done
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# The manual as a site, out/site/index.html; a warning is an error.
docs: $(VENV)/docs.done
	$(BIN)/python docs/figures/draw_conventions.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# sdist, wheel out of it, and the wheel alone in an empty environment: the demo must work there, without torch.
build: $(BIN)/python
	rm -rf dist build/wheel-test
	$(PIP) install --quiet "build>=1.3"
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/wheel-test
	build/wheel-test/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt dist/*.whl
	! build/wheel-test/bin/python -c "import torch" 2> /dev/null
	cd build && wheel-test/bin/antipodal demo -o wheel-demo

clean:
	rm -rf $(VENV) out dist build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "antipodal needs Python 3.11 or newer: set PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "pip>=25.1"

$(VENV)/core.done: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/all.done: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e ".[all]" --group dev
	@touch $@ $(VENV)/core.done

$(VENV)/docs.done: $(VENV)/all.done
	$(PIP) install --quiet -c constraints.txt --group docs
	@touch $@
