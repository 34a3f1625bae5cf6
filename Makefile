# The two commands a newcomer needs are `make demo` and `make test`; each makes its environment by itself.
PYTHON ?= python3
PLATFORM ?= cpu
VENV ?= .venv
RUNS ?= runs
BIN := $(VENV)/bin
# The stamp names the Python version, so that another PYTHON= makes the environment anew.
STAMP := $(VENV)/.installed-$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
DEMO := $(RUNS)/demo
DEMO_DATA := $(RUNS)/demo_data
DEMO_PHOTOS := $(RUNS)/demo_photos
export PYTHONUNBUFFERED := 1

DEVICE ?= cpu
BENCH := .venv-bench$(if $(filter cuda,$(DEVICE)),-cuda)
BENCH_LOCK := requirements/torch$(if $(filter cuda,$(DEVICE)),_cuda13).txt
BENCH_STAMP := $(BENCH)/.installed

LOCKS := requirements $(patsubst %.in,%,$(wildcard requirements/*.in))

.PHONY: help install demo test testlong testbeam testtorch testnewest aot testaot bench lint docs format lock image clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): requirements.txt requirements/dev.txt Makefile
	@$(PYTHON) tools/check_python.py
	@echo "environment: $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt -r requirements/dev.txt
	@$(BIN)/python -c "import sysconfig, pathlib; \
	    (pathlib.Path(sysconfig.get_path('purelib')) / 'occrobnet_checkout.pth').write_text('$(CURDIR)\n')"
	@touch $@

install: $(STAMP) ## the environment; PLATFORM=cuda13, cuda12 or tpu: with JAX for that accelerator
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt -r requirements/$(PLATFORM).txt

demo: $(STAMP) ## three rendered photos are read; then synthetic data, training, evaluation and report, in runs/demo
	$(BIN)/python -m tools.demo_photos $(DEMO_PHOTOS)
	$(BIN)/python predict.py $(DEMO_PHOTOS) --output=$(DEMO_PHOTOS)/read
	$(BIN)/python -m input_pipeline.prepare synthetic_hands --data_dir $(DEMO_DATA) \
	    --train 4400 --val 300 --test 100 --image_size_px 112
	$(BIN)/python train.py --config=configs/synthetic_tiny.py --workdir=$(DEMO) --config.data.data_dir=$(DEMO_DATA)
	$(BIN)/python eval.py --config=configs/synthetic_tiny.py --workdir=$(DEMO) --config.data.data_dir=$(DEMO_DATA)
	@echo "report: $(DEMO)/eval/val/report.html"

test: $(STAMP) ## the test suite
	$(BIN)/python -m pytest -n auto

testlong: $(STAMP) ## the tests that take long, which `make test` leaves out
	$(BIN)/python -m pytest -n auto -m long

testbeam: ## the conversion on Apache Beam, in an environment of its own
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-beam/bin/uv pip install --quiet --python .venv-beam/bin/python -r requirements/beam.txt pytest
	PYTHONPATH=. .venv-beam/bin/python -m pytest --noconftest --override-ini addopts= tests/input_pipeline/test_prepare_beam.py

testtorch: $(BENCH_STAMP) ## the tests that need PyTorch
	$(BENCH)/bin/python -m pytest -n 0 tests/weights tests/benchmarks

testnewest: ## the test suite with the newest jax, flax, optax, orbax and grain, in an environment of its own
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-newest/bin/uv pip install --quiet --python .venv-newest/bin/python -r requirements.txt -r requirements/dev.txt
	.venv-newest/bin/uv pip install --quiet --python .venv-newest/bin/python --upgrade jax flax optax orbax-checkpoint grain
	.venv-newest/bin/python -m pytest -n auto

aot: ## the TPU compiler for tools/aot_compile.py, in an environment of its own
	$(PYTHON) -m venv .venv-aot
	.venv-aot/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-aot/bin/uv pip install --quiet --python .venv-aot/bin/python -r requirements.txt -r requirements/dev.txt -r requirements/tpu.txt
	@echo "next: .venv-aot/bin/python -m tools.aot_compile --config=configs/interhand26m.py --topology=v5e:4x4"

testaot: aot ## the tests that need the TPU compiler
	.venv-aot/bin/python -m pytest -n 0 tests/tools/test_aot_compile.py

$(BENCH_STAMP): requirements.txt requirements/dev.txt $(BENCH_LOCK)
	@echo "environment: $(BENCH), with PyTorch and torchvision (some gigabytes)"
	@$(PYTHON) -m venv --clear $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(BENCH)/bin/uv pip install --quiet --python $(BENCH)/bin/python \
	    -r requirements.txt -r requirements/dev.txt -r $(BENCH_LOCK)
	@touch $@

bench: $(BENCH_STAMP) ## benchmarks beside PyTorch, in runs/bench/; ARGS="--quick --only ciet"; DEVICE=cuda
	$(BENCH)/bin/python -m benchmarks.run --device $(DEVICE) $(ARGS)

lint: $(STAMP) ## ruff, mypy, and the floors that imports must keep
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: ## the documentation site, in build/site, in an environment of its own; a dead link or a missing page fails
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-docs/bin/uv pip install --quiet --python .venv-docs/bin/python -r requirements/docs.txt
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP) ## requirements.txt and requirements/*.txt from *.in: exact, for Python 3.11 to 3.13 on every platform
	for name in $(LOCKS); do \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
	        --custom-compile-command "make lock" $$name.in -o $$name.txt || exit; \
	done

image: ## a container image of this checkout, occrobnet:PLATFORM
	docker build --build-arg PLATFORM=$(PLATFORM) --build-arg COMMIT=$$(git describe --always --abbrev=40 --dirty=+changes) \
	    --tag occrobnet:$(PLATFORM) .

clean: ## remove the environment and everything under runs/
	rm -rf $(VENV) $(RUNS)
