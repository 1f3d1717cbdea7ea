# Needs make and Python 3.11 or newer, and nothing else; `make web` needs Node 20.19 or newer besides. Everything is
# installed into .venv, at the versions of constraints.txt. Choose another Python with
# `make PYTHON=/path/to/python3.12 ...`.

.PHONY: help demo page test test-all fast lint check format web clean
.DELETE_ON_ERROR:

PYTHON =
RUN = .venv/bin/python -P -m
READY = .venv/.ready
EXTRAS = .venv/.extras
PAGE = src/pocketvision/serve/page/index.html
PACKAGES = web/node_modules/.ready
SOURCES = $(wildcard web/*.html web/*.json web/*.ts web/public/* web/src/* web/test/*)
NODE = command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'

help:
	@echo "make demo    train, compress and prove a net on built-in images; ends with a report to open"
	@echo "make page    try what make demo made in the browser; needs Node"
	@echo "make test    run all tests, those of the page where Node and Chromium are"
	@echo "make test-all run the tests of the wheel and of Core ML, ExecuTorch, OpenVINO and MediaPipe, which it installs"
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
	@echo "Answer images in the browser: make page"

page: $(READY) web
	@test -f runs/fit/demo/SHA256SUMS || $(MAKE) -s --no-print-directory demo
	@$(RUN) pocketvision demo runs/fit/demo

# A test process for each core, each with one thread of its own. The page is built for its tests where that can be done;
# a page that cannot be built out of packages that are here is a failure.
test: $(READY)
	@if ! { $(NODE); }; then \
	  echo "The page is not built, and its tests are skipped: Node 20.19 or newer was not found."; \
	elif ! $(MAKE) -s --no-print-directory $(PACKAGES); then \
	  echo "The page is not built, and its tests are skipped: npm could not install its packages."; \
	else \
	  $(MAKE) -s --no-print-directory web; \
	fi
	@OMP_NUM_THREADS=1 $(RUN) pytest -n logical

# The formats whose packages are large, MediaPipe, which reads our files, and the wheel as people install it. With the variable set, an absent package
# is a failure, not a skip.
test-all: $(EXTRAS)
	@OMP_NUM_THREADS=1 POCKETVISION_ALL_EXTRAS=1 $(RUN) pytest -n logical \
	  tests/export/test_coreml.py tests/export/test_executorch.py tests/export/test_mediapipe.py \
	  tests/export/test_openvino.py tests/images/test_heic.py tests/test_wheel.py

fast: $(READY)
	@OMP_NUM_THREADS=1 $(RUN) pytest -n logical -m "not slow"

lint: $(READY)
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy

check: lint test test-all
	@$(RUN:-m=) benchmarks/code_size.py

format: $(READY)
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

# Built into the package, so that the verb `demo` finds it; wheels bring it along.
web: $(PAGE)

$(PAGE): $(PACKAGES) $(SOURCES)
	@cd web && npm run --silent check && npm run --silent build

$(PACKAGES): web/package-lock.json
	@{ $(NODE); } || { echo "error: Node 20.19 or newer with npm was not found; install it, or take src/pocketvision/serve/page from a released wheel" >&2; exit 1; }
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $(PACKAGES)

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
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip install -qq -c constraints.txt -e '.[dev,tflite,weights]'
	@touch $(READY)

$(EXTRAS): $(READY)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip install -qq -c constraints.txt -e '.[dev,tflite,weights,coreml,executorch,heic,openvino]'
	@# Without OpenCV, matplotlib and sound, which its classifier does not use.
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip install -qq -c constraints.txt --no-deps mediapipe certifi
	@touch $(EXTRAS)
