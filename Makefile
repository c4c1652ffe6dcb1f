# The front door: `make help`. CMakeLists.txt describes the build, what takes
# more than a line is in scripts/, what is built lies in build/<name>.

LLAMA ?= $(if $(filter x86_64 aarch64,$(shell uname -m)),prebuilt,source)
IMAGES ?= off
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
TARGETS ?=
export LLAMA IMAGES

.DEFAULT_GOAL := help
.PHONY: quickstart stop test bench install uninstall release dev asan tsan \
	clang fuzz lint fmt clean help needs

help: ## this list
	@echo 'make TARGET [LLAMA=prebuilt|source|system] [IMAGES=on] [ARGS=...]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "%-13s %s\n", $$1, $$2 }'

quickstart: ## install what is missing, build, start modeld, ask a model
	@scripts/quickstart

stop: ## stop the modeld that quickstart started
	@scripts/quickstart --stop

test: ## install what the tests need and run them all; ARGS go to pytest
	@scripts/test $(ARGS)

bench: ## measure, next to llama.cpp's own server and nginx
	@scripts/bench $(ARGS)

install: ## build for PREFIX=/usr/local and install (under DESTDIR)
	@scripts/install "$(PREFIX)" "$(DESTDIR)"

uninstall: ## take away what install put there
	@scripts/install --remove "$(PREFIX)" "$(DESTDIR)"

# A build folder each. They differ in these flags and in nothing else.
flags_release = -DCMAKE_BUILD_TYPE=RelWithDebInfo
flags_dev = -DCMAKE_BUILD_TYPE=Debug
flags_asan = -DCMAKE_BUILD_TYPE=Debug -DSANITIZE=address,undefined $(quick)
flags_tsan = -DCMAKE_BUILD_TYPE=Debug -DSANITIZE=thread $(quick)
# Or sanitized tests would mostly wait for models that compute.
quick = -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1
flags_clang = -DCMAKE_BUILD_TYPE=Debug \
	-DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++

release: ## build/release: what is measured and installed
dev: ## build/dev: without optimisation, for the debugger
asan: ## build/asan: with AddressSanitizer and UBSan
tsan: ## build/tsan: with ThreadSanitizer
clang: ## build/clang: the second compiler
release dev asan tsan clang: needs
	@cmake -G Ninja -S . -B build/$@ $(flags_$@) \
		-DLLAMA=$(LLAMA) >/dev/null
	@ninja -C build/$@ $(TARGETS)

needs:
	@scripts/setup build $(if $(filter clang,$(MAKECMDGOALS)),dev)
	@scripts/fetch

fuzz: ## every fuzzer for 30 s; ARGS go to scripts/fuzz
	@scripts/setup build dev
	@scripts/fetch
	@scripts/fuzz $(ARGS)

lint: ## the rules of CONTRIBUTING.md that a script can hold
	@scripts/setup build dev
	@scripts/lint $(or $(ARGS),$(patsubst %/build.ninja,%,$(wildcard build/release/build.ninja)))

fmt: ## clang-format over every source file
	@scripts/setup dev
	@git ls-files '*.c' '*.h' '*.cpp' | xargs clang-format -i

clean: ## remove build/ (the downloads stay in ~/.cache/modeld)
	@scripts/quickstart --stop >/dev/null 2>&1 || true
	rm -rf build
