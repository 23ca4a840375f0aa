# Needs Python 3.11 or later. `make demo` and `make test` install what they need into .venv.
PYTHON ?= $(firstword $(shell command -v python3.11 python3 python))
BIN := .venv/bin
SOURCES := pyproject.toml $(shell git ls-files '*.py' '*.css' '*.js' 'models/weights/*' 'benchmarks/demo_data/*' ':!tests' 2>/dev/null)

.PHONY: demo test test-slow test-ray gpu-check gpu help clean
help:
	@echo "make demo       segment a film excerpt and a drawn clip, print the paths of the masks"
	@echo "make test       run ruff, mypy and the tests that are not marked slow"
	@echo "make test-slow  run the tests marked slow: full sizes, the commands of README.md and docs/"
	@echo "make test-ray   install Ray (330 MB) and gcsfs (66 MB) and run the tests that need them"
	@echo "make gpu-check  on a machine with an NVIDIA GPU: tests, agreement and speed on it"
	@echo "make clean      remove .venv, .venv-gpu, demo and build"
	@echo "Each installs into .venv first (gpu-check into .venv-gpu)."

demo: .venv/demo-installed
	$(BIN)/python -m amcnet.benchmarks.demo -o demo

# Tests the wheel: an editable install would hide a file missing from it. The studies are not in the wheel; mypy checks them
# in the clone.
test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p amcnet
	@mkdir -p .venv/clone && ln -sfn "$(CURDIR)" .venv/clone/amcnet
	MYPYPATH=.venv/clone $(BIN)/mypy --cache-dir .mypy_cache/clone -p amcnet.benchmarks.studies
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-slow: .venv/installed
	$(BIN)/pytest -n 2 --dist worksteal -m slow

# After the other tests, because Ray is as large as all of their libraries but PyTorch. One cluster at a time. With the
# client of Google Cloud Storage and a server of its protocol, which the other tests do without.
test-ray: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt '.[ray]' gcsfs gcp-storage-emulator
	$(BIN)/pytest -n 0 tests/runtime/batch/test_ray.py tests/runtime/batch/test_cloud.py tests/test_examples.py \
		-k "ray or dataset or google"

# The dependencies of inference only: no PyTorch.
.venv/demo-installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	rm -rf build/lib build/bdist.*
	$(BIN)/pip install --quiet --disable-pip-version-check '.[cpu]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

# Repeated when a file of the package changes. setuptools would keep removed files in build/lib.
.venv/installed: constraints.txt $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	rm -rf build/lib build/bdist.*
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt '.[cpu,openvino,export,train,crf,rtx,test]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

# A separate environment: onnxruntime and onnxruntime-gpu overwrite each other's files. For a GPU older than SM 7.5, in
# Python 3.11: make gpu-check GPU_EXTRAS=cpu,tensorrt8
GPU_EXTRAS ?= gpu,tensorrt,rtx
gpu-check: gpu .venv-gpu/installed
	.venv-gpu/bin/python -m amcnet.benchmarks.latency.gpu_check

# Checked before several GB are installed.
gpu:
	@test -e /dev/nvidiactl || command -v nvidia-smi >/dev/null || \
		{ echo "error: no NVIDIA GPU or no driver was found, gpu-check needs one" >&2; exit 2; }

.venv-gpu/installed: constraints.txt $(SOURCES)
	test -x .venv-gpu/bin/python || $(PYTHON) -m venv .venv-gpu
	rm -rf build/lib build/bdist.*
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check 'setuptools>=77'
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt \
		'.[$(GPU_EXTRAS),export,test]'
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

clean:
	rm -rf .venv .venv-gpu demo build *.egg-info
