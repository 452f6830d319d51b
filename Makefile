# Two commands: `make demo` shows what this is for, `make test` checks it. Each makes the virtual environment that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench gpu clean

demo: $(VENV)/installed
	$(BIN)/onthefly demo

test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadscope -p no:benchmark

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/floors.py

bench: $(VENV)/installed
	failed=0; \
	$(BIN)/pytest benchmarks --benchmark-json=.benchmarks.json --benchmark-columns=median,iqr,ops --benchmark-group-by=group || failed=$$?; \
	$(BIN)/python benchmarks/results.py .benchmarks.json && exit $$failed

gpu: $(VENV)/installed
	sh benchmarks/gpu.sh $(BIN)/python

clean:
	rm -rf $(VENV) onthefly-demo onthefly-bench .benchmarks.json

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
