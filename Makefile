# `make demo` and `make test` need nothing done before. ARGS reaches the command that is run:
#   make test ARGS="-k frames -x"

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# Tests read converted data with them; what else they depend on (torchvision, …) reading does not need.
WITHOUT_DEPENDENCIES := robomimic==0.3.0 lerobot==0.4.4 minari==0.5.4 datasets==5.2.0
INSTALLED := .venv/.installed

# Runs what follows it with MUJOCO_GL set to a backend that really renders here.
WITH_GL = MUJOCO_GL=$$($(BIN)/python -m stemob_wrappers.scene.gl) && export MUJOCO_GL && echo "MUJOCO_GL=$$MUJOCO_GL" &&

.PHONY: help demo test bench soak test-matrix lint format build release-check docs clean system
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: $(INSTALLED) ## show what the wrapper does, end to end
	@$(WITH_GL) $(BIN)/stemob demo $(ARGS)

# The tests of a file stay in one process, so that its fixtures are made once. Each process computes
# on one thread: with more, the two would wait for each other. ARGS="-n 0" takes one process.
test: $(INSTALLED) ## run the tests, without the slow ones
	@$(WITH_GL) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# Run by hand: gpu.py needs a CUDA device, versions.py an older checkout, explorer.py a browser.
bench: $(INSTALLED) ## run every benchmark in turn
	@$(WITH_GL) for script in $(filter-out %/gpu.py %/versions.py %/explorer.py,$(wildcard benchmarks/*.py)); do \
	    echo "== $$script"; $(BIN)/python "$$script" $(ARGS) || exit 1; \
	done

soak: $(INSTALLED) ## run the slow tests: kills, power cuts, damaged files, hours of it
	@$(WITH_GL) $(BIN)/python -m pytest -m slow -rA $(ARGS)

# Takes an hour and a few GB of the temporary folder; ARGS="'mujoco 3.3.0' metaworld" tries those rows.
test-matrix: $(INSTALLED) build ## try the wheel beside the oldest and newest of its dependencies
	$(PYTHON) .ci/test_matrix.py dist/*.whl $(ARGS)

lint: $(INSTALLED) ## check style, spelling and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/pyright

format: $(INSTALLED) ## put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(INSTALLED) ## make the wheel, in dist/
	rm -rf build dist
	$(BIN)/python -m build --wheel

# Takes ten minutes and a few GB of the temporary folder.
release-check: $(INSTALLED) ## build sdist and wheel, check them, run the demo from each
	rm -rf build dist
	@$(WITH_GL) $(BIN)/python .ci/release_check.py

docs: $(INSTALLED) ## build the documentation site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean: ## remove what was built, but not .venv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml requirements.lock | system
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -r requirements.lock
	$(BIN)/python -m pip install --no-deps $(WITHOUT_DEPENDENCIES)
	$(BIN)/python -m pip install --no-deps -e .
	@touch $@

# System packages (Debian's names). OpenCV needs libGL and GLib, MuJoCo one of EGL and OSMesa.
# evdev, which robosuite's input devices pull in, is compiled when it is installed.
system:
	@[ -e $(INSTALLED) ] || $(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) or sys.exit("requirements.lock needs Python 3.11 or 3.12, $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@[ "$$(uname)" = Linux ] || exit 0; \
	libraries=$$(PATH="$$PATH:/usr/sbin:/sbin" ldconfig -p); \
	missing=""; \
	for pair in libEGL.so.1=libegl1 libOSMesa.so=libosmesa6 libGL.so.1=libgl1 libgthread-2.0.so.0=libglib2.0-0; do \
	    case "$$libraries" in *"$${pair%=*}"*) ;; *) missing="$$missing $${pair#*=}" ;; esac; \
	done; \
	if [ ! -e $(INSTALLED) ]; then \
	    $(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	    printf '#include <Python.h>\n#include <linux/uinput.h>\n' \
	        | cc -E -I"$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')" - >/dev/null 2>&1 \
	        || missing="$$missing gcc libc6-dev linux-libc-dev python3-dev"; \
	fi; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q; \
	    for package in $$missing; do \
	        apt-get install -qy --no-install-recommends --no-upgrade $$package || echo "Going on without $$package"; \
	    done; \
	else \
	    echo "System packages are missing; if the next step fails: sudo apt-get install -y$$missing"; \
	fi
