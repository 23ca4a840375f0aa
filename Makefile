# Two commands do it all on a machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= $(firstword $(shell command -v python3.11 python3 python))
BIN := .venv/bin
SOURCES := pyproject.toml $(shell git ls-files '*.py' 'models/weights/*' ':!tests' 2>/dev/null)

.PHONY: demo test help clean
help:
	@echo "make demo   make a clip, segment it, show where the masks are (installs into .venv first)"
	@echo "make test   install everything into .venv; run ruff, mypy and all tests"
	@echo "make clean  remove .venv and what the two made"

demo: .venv/demo-installed
	$(BIN)/python -m amcnet.benchmarks.demo -o demo

# The wheel is what is tested: an editable install would hide a file that the wheel lacks.
test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p amcnet
	$(BIN)/pytest -n 2 --dist loadfile

# What inference needs, and nothing else: no PyTorch.
.venv/demo-installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	rm -rf build/lib build/bdist.*
	$(BIN)/pip install --quiet --disable-pip-version-check '.[cpu]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

# Anew whenever a file of the package changes; setuptools would keep removed files in build/lib.
.venv/installed: constraints.txt $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	rm -rf build/lib build/bdist.*
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt '.[cpu,export,train,crf,rtx,test]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

clean:
	rm -rf .venv demo build *.egg-info
