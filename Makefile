# Everything below runs from .venv, which `make setup` makes from requirements-dev.lock.
BIN := .venv/bin
INSTALLED := .venv/installed

# .python-version is for platforms; here any Python of 3.11 or newer will do, pyenv's too.
export PYENV_DIR := /
# A run starts hundreds of processes: each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test bench chaos chaos-emails chaos-hosts chaos-sources lint setup lock publish-widget audit sbom.json

help: ## Show these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## Start the whole demonstration; PORT=9000 make run takes other ports
	@exec $(BIN)/python -m demo

test: setup lint ## Run every check: lint, types, architecture, tests
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

bench: setup ## Run the benchmarks, each beside its yardstick, one after the other
	@$(BIN)/python -m bench

chaos: setup ## Run every fault at once against the real service; CHAOS="--people 1000" for less
	@$(BIN)/python -m chaos $(CHAOS)

chaos-sources: setup ## Members who pay elsewhere, with workers killed and a Patreon that lies
	@$(BIN)/python -m chaos.sources $(CHAOS)

chaos-hosts: setup ## Two hosts behind nginx and PgBouncer, a rolling deploy, a host's death
	@$(BIN)/python -m chaos.hosts $(CHAOS)

chaos-emails: setup ## E-mails, with workers killed and a mail server that misbehaves
	@$(BIN)/python -m chaos.emails $(CHAOS)

lint: setup ## Run ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

setup: $(INSTALLED) ## Install what the lock file names into .venv

$(INSTALLED): requirements-dev.lock
	@python=$$(for name in python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo $$name; break; \
		fi; \
	done); \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or newer is needed, and none was found on the PATH."; exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python lacks its venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; \
	fi; \
	echo "Installing into .venv with $$($$python --version), once for each lock file."; \
	$(BIN)/python -c 'import pip' 2>/dev/null || $$python -m venv --clear .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

lock: setup ## Write the lock files anew from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml -o requirements.lock --quiet
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock --quiet

audit: sbom.json ## Ask whether a package that we use has a known vulnerability, and list them all
	@# --strict: a package that could not be looked up is a failure, not a success.
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		-r requirements-dev.lock

sbom.json: setup ## Write what the service is made of, in CycloneDX
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --short-PURLs -o $@

publish-widget: setup ## Keep the widget's script of now for the sites that pin it, for ever
	@$(BIN)/python -m fundraiser.widget.script
