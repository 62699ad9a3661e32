# `make` alone lists the verbs. CI and people use the same ones; a verb that runs something only calls the command line.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AIRFLOW := .venv-airflow
CONFIG ?= configs/data/cdnow.toml
NAME ?= $(basename $(notdir $(CONFIG)))

DEMO := var/demo
DEMO_CUSTOMERS ?= 20000
DEMO_DAY := 2024-06-24

CPU_WHEELS := https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^torch==//p' requirements/torch.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --no-emit-index-url \
	--no-emit-find-links --unsafe-package torch --unsafe-package setuptools --constraint $(VENV)/torch.txt \
	--find-links $(CPU_WHEELS)/torch/ --pip-args "--retries 1"

.DEFAULT_GOAL := help
.PHONY: help setup setup-tensorflow setup-spark setup-airflow setup-dev lock fmt lint types layers test test-servers \
	test-load test-tensorflow test-spark test-airflow test-all check data demo airflow run report serve bench clean

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r verb does; do \
		printf '  %-17s %s\n' "$$verb" "$$does"; done

setup: $(VENV)/.core ## install what the main job needs into .venv; PYTHON=python3.12 chooses another Python

setup-tensorflow: $(VENV)/.tensorflow ## setup, and TensorFlow beside PyTorch

setup-spark: $(VENV)/.spark ## setup, and Spark; it needs Java 17 or newer

setup-airflow: $(AIRFLOW)/.airflow ## install Airflow, in an environment of its own: .venv-airflow

setup-dev: $(VENV)/.dev ## setup, and what tests and checks need

# pip comes last: an interrupted try, or one without the system's python3-venv, is made good by the next.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "churnops needs Python 3.11 or newer: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Without an NVIDIA GPU, the CPU build: the ordinary one brings gigabytes of CUDA. Where PyTorch's own index cannot be
# reached the ordinary one must do. The first line serves both: their common dependencies are in the lock.
$(VENV)/.core: requirements/jobs.txt requirements/torch.txt pyproject.toml | $(BIN)/pip
	$(PIP) --requirement requirements/jobs.txt
	@if nvidia-smi >/dev/null 2>&1; then \
		echo "NVIDIA GPU found: installing PyTorch $(TORCH) with CUDA"; \
		$(PIP) "torch==$(TORCH)"; \
	else \
		echo "no NVIDIA GPU: installing PyTorch $(TORCH) for the CPU"; \
		$(PIP) --no-deps --retries 1 --timeout 15 --extra-index-url $(CPU_WHEELS) "torch==$(TORCH)+cpu" || \
			{ echo "no CPU build to be had: installing the ordinary one"; $(PIP) "torch==$(TORCH)"; }; \
	fi
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.tensorflow: requirements/tensorflow.txt $(VENV)/.core
	$(PIP) --requirement requirements/tensorflow.txt
	@touch $@

$(VENV)/.spark: requirements/spark.txt $(VENV)/.core
	$(PIP) --requirement requirements/spark.txt
	@touch $@

$(AIRFLOW)/.airflow: requirements/airflow.txt
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip --disable-pip-version-check install --quiet --requirement requirements/airflow.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.core
	$(PIP) --requirement requirements/dev.txt
	@touch $@

# Against the CPU build of PyTorch: what it needs goes into the lock, CUDA does not.
lock: setup-dev ## choose the exact versions again (requirements/*.txt); LOCK_WITH=--upgrade: the newest
	echo "torch==$(TORCH)+cpu" > $(VENV)/torch.txt
	$(LOCK) $(LOCK_WITH) --output-file requirements/jobs.txt pyproject.toml
	$(LOCK) $(LOCK_WITH) --extra dev --constraint requirements/jobs.txt --output-file requirements/dev.txt pyproject.toml
	$(LOCK) $(LOCK_WITH) --extra tensorflow --constraint requirements/dev.txt \
		--output-file requirements/tensorflow.txt pyproject.toml
	$(LOCK) $(LOCK_WITH) --extra spark --constraint requirements/dev.txt --output-file requirements/spark.txt pyproject.toml
	$(LOCK) $(LOCK_WITH) --constraint requirements/jobs.txt --output-file requirements/serving.txt requirements/serving.in
	$(LOCK) $(LOCK_WITH) --output-file requirements/airflow.txt requirements/airflow.in

fmt: setup-dev ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup-dev ## check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup-dev ## check types, strictly
	$(BIN)/mypy

layers: setup-dev ## check who imports whom
	$(BIN)/lint-imports --no-cache

test: setup-dev ## install, and run the tests
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder  # files stay whole: they share runs

# A process holds one framework: these import TensorFlow and must not meet the tests that import PyTorch.
TENSORFLOW_TESTS := tests/training/test_keras_mlp.py tests/seams/test_frameworks_agree.py \
	tests/seams/test_hosts_agree.py tests/seams/test_sagemaker.py tests/end_to_end/test_frameworks.py

test-tensorflow: setup-dev setup-tensorflow ## install TensorFlow, and run its tests
	$(BIN)/pytest -m tensorflow --numprocesses 2 --dist loadfile --no-loadscope-reorder $(TENSORFLOW_TESTS)

test-servers: setup-dev ## run the tests of servers, which they start: S3, scores, a registry
	$(BIN)/pytest -m "servers and not load and not spark and not airflow" --numprocesses auto --dist loadfile

test-load: setup-dev ## load servers: swaps under traffic, malformed bodies, overload, a soak; run nothing beside it
	$(BIN)/pytest -m load

# What both engines must agree on runs in UTC, and where clocks change.
SPARK_PARITY := tests/seams/test_engines_agree.py
SPARK_TESTS := tests/engines/test_on_spark.py tests/end_to_end/test_spark_cluster.py tests/seams/test_killed_jobs.py
# Their JVMs live for seconds: the second compiler and the parallel collector would cost more than they bring.
test-spark: export SPARK_SUBMIT_OPTS := -XX:TieredStopAtLevel=1 -XX:+UseSerialGC

test-spark: setup-dev setup-spark ## install Spark, and run its tests: with S3 and on a cluster; it needs Java 17
	@java=$${JAVA_HOME:+$$JAVA_HOME/bin/}java; version=$$($$java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'); \
	[ "$${version:-0}" -ge 17 ] || \
		{ echo "Spark needs Java 17 or newer: apt-get install openjdk-17-jre-headless" >&2; exit 1; }
	TZ=UTC $(BIN)/pytest -m spark --numprocesses 2 --dist loadfile $(SPARK_PARITY) $(SPARK_TESTS)
	TZ=Europe/Berlin $(BIN)/pytest -m spark --numprocesses 2 --dist worksteal $(SPARK_PARITY)

AIRFLOW_TESTS ?= tests/dags

test-airflow: setup-dev setup-airflow ## install Airflow, and run its tests on a real scheduler; needs PostgreSQL
	$(BIN)/pytest -m airflow $(AIRFLOW_TESTS)

test-all: test test-servers test-load test-tensorflow test-spark test-airflow ## install everything, and run all tests

check: lint types layers test ## lint, types, layers, test

data: setup ## make up customers with a known truth, in var/demo; DEMO_CUSTOMERS=20000
	$(BIN)/churnops data --out $(DEMO) --customers $(DEMO_CUSTOMERS)

demo: data ## the whole path on made-up customers: install, data, init, run, score
	$(BIN)/churnops init $(DEMO)/customers.csv $(DEMO)/transactions.csv --yes --force --name demo --out $(DEMO)/demo.toml
	$(BIN)/churnops run $(DEMO)/demo.toml
	$(BIN)/churnops score $(DEMO)/demo.toml
	@echo "The report: $(CURDIR)/var/runs/demo/report.html"

# The demo's days are in the past, so no clock: a click, or the line that is printed, starts a day.
airflow: data setup-airflow ## start Airflow with the DAGs and the demo data, on 127.0.0.1:8080, until Ctrl-C
	$(BIN)/churnops init $(DEMO)/customers.csv $(DEMO)/transactions.csv --yes --force --name demo --out $(DEMO)/demo.toml
	@echo "The newest day of the demo is $(DEMO_DAY): trigger churn_features_demo with as_of = $(DEMO_DAY)"
	CHURN_SCHEDULE= CHURN_CHECK_SCHEDULE= CHURN_TRAIN_OPTIONS="--frameworks lightgbm" \
		$(AIRFLOW)/bin/python deploy/airflow/start.py

run: setup ## the main job: make run CONFIG=configs/data/yours.toml
	$(BIN)/churnops run $(CONFIG)

report: setup ## draw the report of the last run again: make report CONFIG=...
	$(BIN)/churnops report $(CONFIG)

serve: setup ## serve the champion on 127.0.0.1:8000: make serve NAME=demo
	$(BIN)/churnops serve $(NAME)

bench: setup-dev ## run the benchmarks; minutes, and most of the memory
	$(BIN)/python benchmarks/command_line.py
	$(BIN)/python benchmarks/features.py

clean: ## remove what tools left behind; keeps .venv and var/, where runs and the registry are
	rm -rf build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks dags -name __pycache__ -prune -exec rm -rf {} +
