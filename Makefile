# make demo     install into .venv, then train, convert, score and compare on the embedded corpus
# make test     install into .venv, then run the tests
# make install  the set-up alone
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "vcbench needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "Python has no venv module. Debian, Ubuntu: apt-get install python3-venv"; exit 1; }
	@command -v cc >/dev/null && command -v c++ >/dev/null || { \
	  echo "No C and C++ compiler found (cc, c++): pyworld, pysptk, nnmnkwii and fastdtw have no"; \
	  echo "wheels for Linux and are compiled. Debian, Ubuntu: apt-get install build-essential"; exit 1; }
	@test -f "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || { \
	  echo "Python's headers (Python.h) are missing. Debian, Ubuntu: apt-get install python3-dev"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[demo,test,dev]'
	@touch $@

demo: install
	$(BIN)/vcbench run demo

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV)
