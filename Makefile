# Every target does its own set-up. Only make, Python >= 3.10 and a POSIX shell are needed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-long lint panel bench clean

$(STAMP): pyproject.toml constraints.txt tools/setup
	@PYTHON="$(PYTHON)" sh tools/setup
	@touch $@

demo: $(STAMP)  ## Run binder/quickstart.ipynb headless, in a scratch home.
	@$(BIN)/python binder/demo.py

test: $(STAMP) lint  ## Lint, types, floors and the whole suite.
	@sh tools/lab
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(STAMP)  ## The whole suite, its property tests with new examples each time.
	@sh tools/lab
	@SKYNB_TEST_EXPLORE=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)  ## ruff, mypy, import floors.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

panel: $(STAMP)  ## Build the side panel anew; needs Node.js 20.
	@sh tools/panel
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/uv pip install --quiet --no-deps --reinstall-package skynb -e .

bench: $(STAMP)  ## Print the budget of speed; PEER_VENV=... runs SkyPilot beside.
	@$(BIN)/python benchmarks/run.py $(if $(PEER_VENV),--peer-venv "$(PEER_VENV)") $(BENCH_ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
