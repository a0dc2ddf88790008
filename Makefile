# The front door. `make help` lists what there is; the build itself is Meson's.
BUILD  ?= build
PREFIX ?= $(shell scripts/prefix)
export BUILD PREFIX

help: ## this list
	@grep -hE '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

quickstart: ## install missing system packages, build, install, and show two versions at once
	@scripts/quickstart

check: ## install what the tests need and run them all
	@scripts/check

build: ## the program, at build/venvfs
	@scripts/build

install: build ## into PREFIX (/usr/local as root, else ~/.local)
	@scripts/install

uninstall: ## remove exactly what `make install` put there
	@scripts/uninstall

bench: build ## the figures of the README, measured here: table, JSON and picture in BUILD (BENCH="--only ...")
	@[ "$$(id -u)" != 0 ] || scripts/install-packages bench
	@bench/run --venvfs '$(BUILD)/venvfs' --json '$(BUILD)/bench.json' --svg '$(BUILD)/bench.svg' $(BENCH)

format: ## lay out our C files with clang-format
	@scripts/sources | xargs clang-format -i

clean: ## remove the build folder
	rm -rf '$(BUILD)'

.PHONY: help quickstart check build install uninstall bench format clean
