# SPDX-License-Identifier: MIT
# Everything is built into $(B).  `make` needs a compiler and libc headers;
# `make check` and `make demo` install what else they need.  V=1 shows commands,
# WERROR=1 turns warnings into errors.

CC ?= gcc
B ?= build
V ?= 0
WERROR ?= 0
PREFIX ?= /usr/local
DESTDIR ?=

Q := $(if $(filter 1,$(V)),,@)
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wundef -Wvla \
	-Wformat=2 -Wimplicit-fallthrough -Wnull-dereference \
	$(if $(filter 1,$(WERROR)),-Werror)
# libc's memset: gcc 12 clears a record by `rep stos`, in 13 ns against 3 here.
BASE := -std=gnu11 -O2 -g -fPIC -fno-plt -fno-builtin-memset $(WARN) -MMD -MP -Iinclude -Isrc
CORE := $(BASE) -fvisibility=hidden -Wconversion -Wsign-conversion
# Off for gcc: aliases of names that glibc marks leaf or nothrow; and poll's
# prototype, which says that it only writes what it also reads.
SHIM := $(BASE) -U_FORTIFY_SOURCE -ftls-model=initial-exec -fno-builtin \
	$(if $(findstring clang,$(CC)),,-Wno-missing-attributes -Wno-maybe-uninitialized)
PROG := -std=gnu11 -O2 -g -Wall -Wextra -MMD -MP -pthread

core_o := $(patsubst src/%.c,$(B)/src/%.o,$(wildcard src/*.c))
shim_o := $(patsubst preload/%.c,$(B)/preload/%.o,$(wildcard preload/*.c))
cli_o := $(patsubst src/cli/%.c,$(B)/cli/%.o,$(wildcard src/cli/*.c)) \
	$(B)/src/config.o $(B)/src/report.o
lib := $(B)/libshmfd.so
map := $(B)/shmfd.map
duo := tests/progs/duo.c tests/progs/duo_bytes.c
progs := $(patsubst tests/progs/%.c,$(B)/tests/progs/%, \
	$(filter-out $(duo) tests/progs/mixed_%.c,$(wildcard tests/progs/*.c)))
bench := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))

all: $(lib) $(B)/shmfd

link_lib = $(CC) -shared -o $@ $(filter %.o,$^) -Wl,-soname,libshmfd.so \
	-Wl,--version-script=$(map) -Wl,-z,defs -Wl,-z,now -Wl,-z,relro \
	-Wl,-z,initfirst -Wl,-z,nodelete -pthread -ldl

$(lib): $(core_o) $(shim_o) $(map)
	@echo "  LD    $@"
	$(Q)$(link_lib)

# An anonymous script: a version node would stop interposition.
$(map): preload/calls.def preload/shmfd.map.sh
	@mkdir -p $(@D)
	$(Q)CC="$(CC)" sh preload/shmfd.map.sh >$@

$(B)/shmfd: $(cli_o)
	@echo "  LD    $@"
	$(Q)$(CC) -o $@ $(cli_o) -Wl,-z,now -Wl,-z,relro

$(B)/src/%.o: src/%.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(CORE) -c $< -o $@

$(B)/cli/%.o: src/cli/%.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(CORE) -c $< -o $@

$(B)/preload/%.o: preload/%.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(SHIM) -c $< -o $@

# ---- test and bench programs: unmodified, they know nothing of the library

progs: $(progs) $(addprefix $(B)/tests/progs/,exec_static.static read_write.static deepbind.so)
bench-programs: $(bench)

$(B)/tests/progs/%: tests/progs/%.c \
		$(duo) $(wildcard tests/progs/*.h tests/progs/mixed_*.c)
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) $< $(duo) $(LDLIBS) -o $@

# The same program without a dynamic loader, which nothing can be preloaded into.
$(B)/tests/progs/%.static: tests/progs/%.c $(duo) tests/progs/duo.h
	@mkdir -p $(@D); echo "  CC    $< -static"
	$(Q)$(CC) $(filter-out -M%,$(PROG)) -static $< $(duo) -o $@

# A library that a program opens.
$(B)/tests/progs/%.so: tests/progs/%.c
	@mkdir -p $(@D); echo "  CC    $< -shared"
	$(Q)$(CC) $(filter-out -M%,$(PROG)) -DPLUGIN -fPIC -shared $< -o $@

$(B)/tests/progs/mixed: tests/progs/mixed.c $(wildcard tests/progs/mixed_*)
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) $(filter %.c,$^) -o $@

$(B)/tests/progs/ev_echo: tests/progs/ev_echo.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) $< -lev -o $@

$(B)/tests/progs/uring%: LDLIBS := -luring
$(B)/tests/progs/aio_kernel: LDLIBS := -laio

$(B)/tests/progs/fortify%: PROG += -D_FORTIFY_SOURCE=2

$(B)/bench/echo $(B)/bench/load: LIBS := -lev

$(B)/bench/%: bench/%.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) $< -o $@ $(LIBS)

# The only one that knows the library: it measures src/ring.c without the rest.
$(B)/bench/floors: bench/floors.c $(B)/src/ring.o
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) -Iinclude -Isrc $^ -o $@

# ---- checks.  `make check` needs nothing built: it installs, then runs the parts.

check:
	@sh tests/check.sh

check-shim: all progs
	$(Q)BUILD=$(B) bats --jobs 2 --tap tests/shim	# most of it is sleep

check-apps: all progs
	$(Q)APPS_BUILD=$(abspath $(B)) SHMFD_REQUIRE_APPS=1 bats --tap tests/apps

# Third-party test suites, plain and preloaded: all of them, or what a CI run has time for.
uv := $(B)/suites/libuv/uv_run_tests
libevent := $(B)/suites/libevent/regress

$(uv) $(libevent): tests/suites/fetch.sh
	@echo "  FETCH $@"
	$(Q)sh tests/suites/fetch.sh $(notdir $(@D)) $(@D)

suites: all
	$(Q)sh tests/deps.sh suites
	$(Q)$(MAKE) --no-print-directory $(uv) $(libevent)
	$(Q)BUILD=$(abspath $(B)) python3 -B tests/suites/run.py

check-suites: all $(uv)
	$(Q)BUILD=$(abspath $(B)) python3 -B tests/suites/run.py --quick

model:
	$(Q)bash tests/model/run.sh

demo:
	@sh bench/demo.sh

# Figures, side by side: into $(B)/bench.  BENCH_SECTIONS, BENCH_REPEATS: see bench/run.py.
bench bench-quick:
	@sh tests/deps.sh bench
	$(Q)$(MAKE) -s --no-print-directory all bench-programs
	$(Q)python3 bench/run.py --build $(B) $(if $(filter %-quick,$@),--quick)

# The last run of `make bench` as bench/RESULTS.md has it
bench-results:
	$(Q)python3 bench/report.py $(B)/bench bench/RESULTS.md

.PHONY: bench bench-quick bench-results

install: all
	install -D -m 755 $(lib) $(DESTDIR)$(PREFIX)/lib/libshmfd.so
	install -D -m 755 $(B)/shmfd $(DESTDIR)$(PREFIX)/bin/shmfd

clean:
	rm -rf $(B)

help:
	@echo "all check suites bypass chaos demo bench bench-quick bench-results install clean;"
	@echo "parts of check: see tests/check.sh"


.PHONY: all progs bench-programs check check-shim check-apps suites check-suites model \
	demo install clean help
.DELETE_ON_ERROR:

include tests/unit/unit.mk
include tests/lint/lint.mk
include tests/chaos/chaos.mk
include tests/bypass/bypass.mk
-include $(shell find $(B) -name '*.d' 2>/dev/null)
