# make demo       builds a site from the photos that ship inside scikit-image and serves it on this machine only
# make test       linters, types, every Python and JavaScript test, end to end in real browsers
# make test-slow  what takes minutes and gigabytes: the full Stable Diffusion 1.x autoencoder, with random weights; the wheel with all its extras
# make release    the wheel and the npm package in dist/, each tried in an empty environment
# make docs       docs/ as a small static site in build/docs
# make pictures   the pictures of README and docs, from the current pack
# make gpu-train  on an accelerator: nine minutes of the whole recipe on the shards in SHARDS, weights into RUN
# make core       the WebAssembly core, from Debian's clang and lld; only for those who change it
# make lock       requirements.txt again, from the ranges of pyproject.toml
# make format     what the linters can mend
# All install what they need into .venv and node_modules first; a second run finds the stamps and starts at once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
JOBS ?= $(shell nproc)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
SITE := build/demo
SHARDS ?= shards
RUN ?= build/gpu
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# installs those of the Debian packages $(1) that are missing
debian = dpkg --status $(1) >/dev/null 2>&1 || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends $(1); }
BROWSERS := chromium firefox-esr webkit2gtk-driver xvfb
# what Qt's window, a display without a screen, and the tools that know file types ask of Debian
DESKTOP := xvfb xdotool libegl1 libgl1 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 \
	libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xkb1 fonts-dejavu-core \
	xdg-utils shared-mime-info desktop-file-utils libglib2.0-bin file
# folder below docs/demo, which holds its texts, and photo
PHOTOS := chelsea.png coffee.png retina.jpg Space/astronaut.png Space/rocket.jpg Space/hubble_deep_field.jpg \
	Motorcycle/motorcycle_left.png Motorcycle/motorcycle_right.png
LOCK := requirements.txt requirements-torch.txt requirements-metrics.txt

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo site serve test test-slow gpu-train lint types test-js test-py release docs pictures core lock browsers desktop compiler format \
	clean distclean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: .venv/installed node_modules/.installed

.venv/installed: $(LOCK)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --no-deps --require-hashes -r requirements.txt
	$(PIP) -r requirements-torch.txt
	$(PIP) --no-deps -r requirements-metrics.txt
	touch $@

node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund
	touch $@

browsers:
	@$(call debian,$(BROWSERS))

desktop:
	@$(call debian,$(DESKTOP))

compiler:
	@$(call debian,clang-19 lld-19)

demo: site
	$(BIN)/python -m sdz serve $(SITE) --port $(PORT) --quiet

site: setup
	mkdir -p build && rm -rf build/photos && cp -R docs/demo build/photos
	data=$$($(BIN)/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data")') && \
	for photo in $(PHOTOS); do cp "$$data/$${photo##*/}" "build/photos/$$photo" || exit 1; done
	$(BIN)/python -m sdz build build/photos --out $(SITE) --title "Eight photos" --originals --lossless --jobs $(JOBS)

serve:
	$(BIN)/python -m sdz serve $(SITE) --port $(PORT) --quiet

test: setup browsers desktop lint types test-js test-py

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# to the type checker, which follows no `__path__`, the rooms are laid out below `sdz` as an installation has them
types: setup
	mkdir -p build/types/sdz && ln -sfn $(CURDIR)/sdz/*.py $(addprefix $(CURDIR)/,export runtime server) build/types/sdz
	MYPYPATH=build/types $(BIN)/mypy
	$(BIN)/mypy docs/build.py release/hatch_build.py
	npx --no-install tsc --project tsconfig.json

test-js: setup
	npm test

test-py: setup browsers desktop
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow -s

release: setup browsers desktop
	rm -rf dist && mkdir dist
	$(BIN)/python -m hatchling build --target wheel --directory dist
	npm run --silent package -- dist
	SDZ_DIST=dist $(BIN)/python -m pytest tests/release $(wildcard tests/npm) -m "slow or not slow"
	@ls -l dist

gpu-train: setup
	$(BIN)/python -m sdz gpu-train --data $(SHARDS) --weights export/weights/tiny --out $(RUN) --seconds 540

docs: setup
	$(BIN)/python -m docs.build build/docs

pictures: site browsers desktop
	$(BIN)/python -m docs.pictures

core: compiler
	sh core/build.sh

# what `protect` needs stands in requirements-metrics.txt
lock: setup
	$(PIP) uv==0.13.9
	UV_FIND_LINKS=$$PIP_FIND_LINKS $(BIN)/uv pip compile pyproject.toml --constraint requirements-torch.txt --extra server --extra viewer --extra heif --extra bench --group dev --quiet \
		--generate-hashes --no-emit-package torch --no-emit-package sdz --no-annotate --custom-compile-command "make lock" \
		--output-file requirements.txt > /dev/null

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache

distclean: clean
	rm -rf .venv node_modules
