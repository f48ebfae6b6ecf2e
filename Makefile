# The two commands of the README are `make demo` and `make test`; both set up all they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# one thread per process: the networks are small, and several processes run side by side
ENV = OMP_NUM_THREADS=1

.PHONY: demo test test-slow test-extras lint defaults paper bench bench-quick docs clean

# reinstalled when the metadata or the tested versions change
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(ENV) $(BIN)/python examples/plot_quickstart.py --save demo_output

test: $(VENV)/installed
	$(ENV) $(BIN)/python -m pytest -n auto -m 'not slow'

test-slow: $(VENV)/installed
	$(ENV) $(BIN)/python -m pytest -n auto -m slow

# with the optional libraries, in the same environment
$(VENV)/extras: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,test-extras]'
	touch $@

test-extras: $(VENV)/extras
	$(ENV) $(BIN)/python -m pytest -n auto tests/test_raw.py tests/test_text_encoders.py \
		tests/test_table_encoder.py tests/test_image_encoder.py tests/test_audio_encoder.py \
		tests/test_pretrained.py tests/test_datasets_raw.py tests/test_persistence.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

defaults: $(VENV)/installed
	$(ENV) $(BIN)/python benchmarks/evidence/defaults.py --jobs -1

# runs go on where they were; the last one alone, since it measures time
paper: $(VENV)/installed
	$(ENV) $(BIN)/python benchmarks/paper/figure3.py --jobs 2
	$(ENV) $(BIN)/python benchmarks/paper/table2.py --jobs 2
	$(ENV) $(BIN)/python benchmarks/paper/table6.py --jobs 2
	$(ENV) $(BIN)/python benchmarks/paper/figure4.py

# OMIB, the paper's methods and scikit-learn's on the same splits; goes on where it was
bench: $(VENV)/installed
	$(ENV) $(BIN)/python benchmarks/compare.py --jobs -1

# the same on little data, into benchmark_output
bench-quick: $(VENV)/installed
	$(ENV) $(BIN)/python benchmarks/compare.py --quick --jobs -1

docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(ENV) $(BIN)/python -m sphinx -b html docs docs/_build

clean:
	rm -rf $(VENV) demo_output benchmark_output build dist *.egg-info
