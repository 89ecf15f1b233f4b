# The commands of this project; `make` alone lists them.
PYTHON ?= python3
CORES ?= all
PROCESSES ?= 2
TOKENS ?= results/sample/tokens
PRESETS := $(wildcard presets/*.yaml)
BUNDLED = $(or $(PRESET),presets/demo.yaml)

# The rules call the tools of .venv by their plain names.
SNAKEMAKE := PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/snakemake

# The dependency groups of pyproject.toml that requirements.lock pins.
GROUPS := workflow training figures tests habits docs

# Without compiled modules beside it, each of the many processes would compile PyTorch and fairseq
# again, which takes about ten seconds.
unexport PYTHONDONTWRITEBYTECODE

# The tests of a file stay in one process: many share an expensive result. The order of the files is
# that of tests/conftest.py.
PYTEST := .venv/bin/python -m pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo fetch cost status test test-fast test-slurm test-package performance \
	results-pages bundle docs check format lock set-up

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 19

demo: set-up ## small models, every figure and table, offline, on a CPU: results/demo/ (CORES=all)
	$(SNAKEMAKE) --configfile presets/demo.yaml --cores $(CORES)

fetch: set-up ## list the corpora with sizes and licences, then download them (CONFIG="mirror=DIR_OR_URL")
	$(SNAKEMAKE) fetch --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

cost: set-up ## what the trainings will cost, before they start (PRESET=presets/demo.yaml)
	@test -z "$(PRESET)" -o -f "$(PRESET)" || { echo "error: there is no file $(PRESET); presets: $(PRESETS)" >&2; exit 1; }
	@$(SNAKEMAKE) --quiet all --nolock --cores 1 $(if $(PRESET),--configfile $(PRESET)) cost

status: ## where the trainings stand, while a run goes on (RUN=results/demo)
	@test -f .venv/.complete || { echo "error: .venv is not set up yet; run make set-up." >&2; exit 1; }
	@.venv/bin/python scripts/show_status.py $(RUN)

test: set-up ## the tests, offline, fast ones first, in two processes side by side (PROCESSES=2)
	$(PYTEST)

test-fast: set-up ## the tests of seconds: without the trainings
	$(PYTEST) -m "not slow"

test-slurm: set-up ## runs through a real Slurm, which it installs, starts and stops: needs root and apt
	.venv/bin/python -m pytest -q -rs tests/slurm

test-package: set-up ## build sdist and wheel, install them apart, run the library's fast tests there
	LIBRARY_TESTS=library .venv/bin/python -m pytest -q tests/test_package.py

performance: set-up ## on a GPU: check it for ten minutes, fill docs/performance.md (TOKENS=results/sample/tokens)
	.venv/bin/python benchmarks/gpu_check.py --out build/gpu_check --tokens $(TOKENS)
	.venv/bin/python benchmarks/publish_gpu.py build/gpu_check

results-pages: set-up ## a finished run's numbers, claims, figures and tables into docs/results (RUN=results/sample)
	.venv/bin/python tools/results_pages.py $(RUN)

# RUN=results/<run> takes the token ids of a run that has them; else those of the preset are made.
bundle: set-up ## bundle/ for a GPU without network (PYTHON_VERSION=3.12 PLATFORM= HAVE= PRESET= RUN=)
	$(if $(RUN),,$(SNAKEMAKE) tokens --quiet --cores $(CORES) --configfile $(BUNDLED))
	.venv/bin/python tools/bundle.py --python $(PYTHON) --preset $(BUNDLED) $(if $(RUN),--run $(RUN)) \
		$(if $(PYTHON_VERSION),--python-version $(PYTHON_VERSION)) \
		$(if $(PLATFORM),--platform $(PLATFORM)) $(if $(HAVE),--have $(HAVE))

docs: set-up ## the documentation as pages, from docs/ and docstrings: build/docs/index.html
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict

check: set-up ## format, style, type hints, Snakemake's lint, a dry run of the paper and every preset
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/snakefmt --check Snakefile rules
	@set -e; for preset in "" $(PRESETS); do \
		settings=$${preset:+--configfile $$preset}; \
		echo "lint and dry run: $${preset:-config.yaml}"; \
		.venv/bin/python tools/lint_workflow.py $$settings; \
		$(SNAKEMAKE) --dry-run --quiet --cores 1 $$settings; \
	done

format: set-up ## put all code in the project's format
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/snakefmt Snakefile rules

lock: set-up ## requirements.lock from pyproject.toml: keeps its versions (UPGRADE=1: the newest of all)
	.venv/bin/uv --config-file tools/lock.toml pip compile --quiet $(if $(UPGRADE),--upgrade) \
		$(GROUPS:%=--group %) pyproject.toml --output-file requirements.lock

set-up: ## .venv as requirements.lock pins it; nothing to do when it is there
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) was not found; install Python 3.11 or 3.12." >&2; exit 1; }
	@$(PYTHON) tools/set_up.py
