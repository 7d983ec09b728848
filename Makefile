# Every target sets up what it needs: a virtual environment with the locked versions, git and DVC state.
# Arguments for `temper run`: make run ARGS="--set train.learning_rate=1e-3"

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# make PYTHON=3.13 takes that one; otherwise the first of 3.11, 3.12 and 3.13 that is here, or one that uv fetches.
PYTHON :=

# Without bytecode on disk every process compiles torch and its kind anew: a stage would start in 25 s, not in 10.
unexport PYTHONDONTWRITEBYTECODE

# uv reads its own variables only; pip's are passed on, so that one setting serves both.
space := $(subst ,, )
comma := ,
PASSED_ON := $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS)))") \
	$(if $(PIP_INDEX_URL),UV_DEFAULT_INDEX="$(PIP_INDEX_URL)") \
	$(if $(PIP_CERT),SSL_CERT_FILE="$(PIP_CERT)")
INSTALL := $(PASSED_ON) UV_HTTP_TIMEOUT=180 $(BIN)/uv pip install --python $(BIN)/python
# For every Python at once, each version the same for all where one is for all. Wheels of one machine decide nothing.
COMPILE := $(PASSED_ON) UV_FIND_LINKS= $(BIN)/uv pip compile --quiet --no-header --no-annotate \
	--universal --fork-strategy fewest --python-version 3.11
# Out of a lock: what a CUDA build of torch pins itself, what is for other systems, and the name of a CPU build.
LOCKED := sed -E '/^(cuda|nvidia|triton)/d; / or /!{/sys_platform == .(win32|emscripten)/d}; s/\+cpu( ;|$$)/\1/'

# Tests wait for servers and children for a part of their time: two more than there are cores keep the cores busy.
WORKERS = $$(($$(getconf _NPROCESSORS_ONLN) + 2))

QUICK := tests/tasks/core tests/tasks/rows tests/tasks/chat tests/tasks/decide tests/tasks/dedup tests/tasks/teacher \
	tests/flows/params tests/flows/bridge/test_refusals.py tests/test_house.py tests/test_packaging.py

.DEFAULT_GOAL := help
.PHONY: help setup run ui test quick lint bench coverage docs gallery screenshots lock extras dist sbom

help: ## list the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.run .state ## install the locked versions, make git and DVC state where missing

run: $(VENV)/.run .state ## run the flow `finetune`, from nothing to the comparison table
	$(BIN)/temper run $(ARGS)

ui: $(VENV)/.run .state ## start a local Prefect server and say where its page is
	$(BIN)/temper ui

test: $(VENV)/.dev .state ## run the tests
	$(BIN)/python -m pytest -q -m "not long" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 15

# make quick VENV=.venv/other PYTHON=3.13 runs it with another Python, in an environment of its own.
quick: $(VENV)/.dev .state ## run the quick part of the tests: for every save, and for another Python
	$(BIN)/python -m pytest -q -m "not long" --numprocesses $(WORKERS) --dist loadfile $(QUICK)

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.run .state ## run the benchmarks and print their ratios
	$(BIN)/python -m benchmarks --full

coverage: $(VENV)/.dev .state ## measure what the quick part of the tests runs; fails below the floor in pyproject.toml
	$(BIN)/python -m pytest -q -m "not long" --numprocesses $(WORKERS) --dist loadfile --cov --cov-report term:skip-covered $(QUICK)

# Not --quiet: what it does not print, --strict does not see.
docs: $(VENV)/docs/.docs ## build the documentation into site/; a link or an anchor that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --strict

gallery: $(VENV)/.dev ## make the runs of docs/gallery anew, with their reports; make gallery RUNS=classifier makes that one
	$(BIN)/python -m tests.gallery $(RUNS)

screenshots: $(VENV)/.dev ## take the pictures in docs/ anew, by Chromium
	$(BIN)/python -m tests.screenshots

extras: $(VENV)/.dev ## install what every extra of pyproject.toml needs, so that no test is left out for want of it
	@$(INSTALL) --quiet -r requirements-extras.lock

dist: $(VENV)/.dev ## build wheel and archive into dist/
	$(BIN)/python -m hatchling build --clean --directory dist

sbom: $(VENV)/.uv ## write dist/temper.cdx.json: what a release is made of, with versions and hashes (CycloneDX)
	@mkdir -p dist
	$(PASSED_ON) $(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements \
		--pyproject pyproject.toml --output-reproducible --output-file dist/temper.cdx.json requirements-hashes.lock

lock: $(VENV)/.uv ## resolve the versions anew into requirements*.lock
	@{ echo '# Every version of the product, exact. Made by `make lock`; the stages depend on this file.'; \
	  echo '# What a CUDA build of torch needs (cuda-*, nvidia-*, triton) is pinned by torch itself and comes with it.'; \
	  $(COMPILE) pyproject.toml | $(LOCKED); } > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@{ echo '# What the tests and linters need beyond requirements.lock. Made by `make lock`.'; \
	  $(COMPILE) --extra dev --constraints requirements.lock pyproject.toml \
	  | $(LOCKED) | grep -vxF -f requirements.lock; } > requirements-dev.lock.new
	@mv requirements-dev.lock.new requirements-dev.lock
	@{ echo '# requirements.lock with the hashes of its files on PyPI, for --require-hashes. Made by `make lock`.'; \
	  echo '# Apart, since a build of torch for CPUs, or a wheel from --find-links, has the version and another hash.'; \
	  $(COMPILE) --generate-hashes --constraints requirements.lock pyproject.toml; } > requirements-hashes.lock.new
	@mv requirements-hashes.lock.new requirements-hashes.lock
	@{ echo '# What all extras need beyond requirements.lock and requirements-dev.lock. Made by `make lock`.'; \
	  $(COMPILE) --all-extras --constraints requirements.lock --constraints requirements-dev.lock pyproject.toml \
	  | $(LOCKED) | grep -vxF -f requirements.lock -f requirements-dev.lock; } > requirements-extras.lock.new
	@mv requirements-extras.lock.new requirements-extras.lock
	@{ echo '# What builds the documentation, without the product. Made by `make lock`.'; \
	  $(COMPILE) --group docs; } > requirements-docs.lock.new
	@mv requirements-docs.lock.new requirements-docs.lock
	@wc -l requirements*.lock

# The virtual environment, made once; remade by hand when Python itself changes (remove .venv).
$(VENV)/.uv:
	@command -v git >/dev/null || { echo 'git is missing: install it (Debian: apt-get install git) and run make again.'; exit 1; }
	@$(PASSED_ON) infra/venv $(VENV) $(PYTHON)
	@touch $@

$(VENV)/.run: $(VENV)/.uv requirements.lock pyproject.toml
	@echo 'Installing the locked versions into $(VENV) (once; minutes, and gigabytes where torch brings CUDA) ...'
	@$(INSTALL) --quiet -r requirements.lock
	@$(INSTALL) --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@$(INSTALL) --quiet -r requirements-dev.lock
	@touch $@

$(VENV)/docs/.docs: requirements-docs.lock
	@$(PASSED_ON) infra/venv $(VENV)/docs $(PYTHON)
	@$(PASSED_ON) UV_HTTP_TIMEOUT=180 $(VENV)/docs/bin/uv pip install --quiet --python $(VENV)/docs/bin/python -r $<
	@touch $@

# A clone has both; a downloaded archive has no history, and experiments need a commit to start from.
.PHONY: .state
.state: $(VENV)/.run
	@[ -e .git ] || git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { \
	  git init --quiet --initial-branch=main && git add --all && \
	  git -c user.name=temper -c user.email=temper@localhost commit --quiet --message 'temper as downloaded'; }
	@[ -d .dvc ] || $(BIN)/dvc init --quiet
