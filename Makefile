# Needs make and Python 3.11 or newer, and nothing else; `make web` needs Node 20.19 or newer besides. Everything is
# installed into .venv, at the versions of constraints.txt. Choose another Python with
# `make PYTHON=/path/to/python3.12 ...`.

.PHONY: help demo test test-all fast lint check format web clean
.DELETE_ON_ERROR:

PYTHON =
RUN = .venv/bin/python -m
READY = .venv/.ready
EXTRAS = .venv/.extras

help:
	@echo "make demo    train, compress and prove a net on built-in pictures; ends with a report to open"
	@echo "make test    run all tests"
	@echo "make test-all run the tests of Core ML, OpenVINO and MediaPipe, whose packages it installs"
	@echo "make fast    run the tests that take no more than a few seconds each"
	@echo "make lint    check format, style and types"
	@echo "make check   lint, test and test-all: what continuous integration runs"
	@echo "make format  put the sources into the common format"
	@echo "make web     check, test and build the phone page of the verb demo; needs Node"
	@echo "make clean   remove .venv, the built page and what the tools left; runs/ stays"

demo: $(READY)
	@$(RUN) pocketvision fit digits --max-size 200KB --name demo --exist-ok
	@echo
	@echo "Open in a browser: $$PWD/runs/fit/demo/report.html"

# A test process for each core, each with one thread of its own.
test: $(READY)
	@OMP_NUM_THREADS=1 $(RUN) pytest -n logical

# The formats whose packages are large, and MediaPipe, which reads our files. With the variable set, an absent package is a failure, not a skip.
test-all: $(EXTRAS)
	@OMP_NUM_THREADS=1 POCKETVISION_ALL_EXTRAS=1 $(RUN) pytest -n logical \
	  tests/export/test_coreml.py tests/export/test_openvino.py tests/export/test_mediapipe.py

fast: $(READY)
	@OMP_NUM_THREADS=1 $(RUN) pytest -n logical -m "not slow"

lint: $(READY)
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy

check: lint test test-all

format: $(READY)
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

# Built into the package, so that the verb `demo` finds it; wheels bring it along.
web:
	@command -v npm >/dev/null || { echo "error: npm was not found; install Node 20.19 or newer, or take src/pocketvision/serve/page from a released wheel" >&2; exit 1; }
	@cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent check && npm run --silent build

clean:
	rm -rf .venv web/node_modules src/pocketvision/serve/page .mypy_cache .ruff_cache .pytest_cache build dist src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate counts only if it runs: version managers leave commands behind for versions they do not have.
# Paths stay relative and tools are started as modules, so that the folder may have spaces in its name.
$(READY): pyproject.toml constraints.txt
	@chosen="$(PYTHON)"; \
	right='import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'; \
	if [ -n "$$chosen" ]; then \
	  "$$chosen" -c "$$right" || { echo "error: PYTHON=$$chosen is not Python 3.11 or newer" >&2; exit 1; }; \
	else \
	  for name in python3 python3.11 python3.12 python3.13 python; do \
	    if "$$name" -c "$$right" >/dev/null 2>&1; then chosen="$$name"; break; fi; \
	  done; \
	fi; \
	if [ -z "$$chosen" ]; then \
	  echo "error: Python 3.11 or newer with ensurepip (Debian: python3-venv) was not found; install it, or name it: make PYTHON=/path/to/python3 ..." >&2; \
	  exit 1; \
	fi; \
	echo "Setting up .venv with $$("$$chosen" --version); the first time this downloads PyTorch and takes minutes."; \
	"$$chosen" -m venv .venv
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip install -qq -c constraints.txt -e '.[dev,tflite]'
	@touch $(READY)

$(EXTRAS): $(READY)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip install -qq -c constraints.txt -e '.[dev,tflite,coreml,openvino]'
	@# Without OpenCV, matplotlib and sound, which its classifier does not use.
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip install -qq -c constraints.txt --no-deps mediapipe certifi
	@touch $(EXTRAS)
