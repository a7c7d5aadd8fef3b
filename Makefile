# Every task of this project. `make help` lists them. Needs Python >= 3.11 and make; the rest is installed by name.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
export PORT

.PHONY: help run test check demo services cassandra bench chaos clean format

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/run.stamp: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing what the service needs ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: .venv/run.stamp ## Serve the embedded default on PORT (8000), data in VIEWER_DATA_DIR (./var)
	@set -a; [ ! -f .env ] || . ./.env; set +a; $(if $(filter-out file,$(origin PORT)),export PORT=$(PORT);) exec $(BIN)/python -m config.run

services: ## Install (once) and start what the tests need
	@scripts/services.sh postgres redis rabbitmq cassandra browser

cassandra: ## Start a Cassandra node on CQL_PORT (9042); deploy/cassandra/stop.sh stops it
	@deploy/cassandra/start.sh

test: .venv/dev.stamp services ## Run the whole suite; k=WORDS picks tests by name, t=PATH one folder
	@$(if $(t)$(k),$(BIN)/python -m pytest $(or $(t),tests) $(if $(k),-k "$(k)"),scripts/suite.sh)

check: .venv/dev.stamp ## Format, lint, types, layers, migrations, system checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run -v1
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

demo: .venv/run.stamp ## Play the stories of the design over HTTP; expected beside actual
	@$(BIN)/python scripts/demo.py

bench: .venv/dev.stamp ## Measure against floors in the same run; tier=embedded|single|cluster|all
	@scripts/services.sh postgres redis rabbitmq cassandra
	@$(BIN)/python -m bench --tier $(or $(tier),all)

chaos: .venv/dev.stamp ## Kill and pause every server under load; tier=embedded|single|cluster|all
	@scripts/services.sh postgres redis rabbitmq cassandra
	@$(BIN)/python -m chaos --tier $(or $(tier),all)

format: .venv/dev.stamp ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what builds and tests left (never ./var)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
