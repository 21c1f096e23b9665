# SPDX-License-Identifier: MIT
# Included by the Makefile, which defines B, Q, SHIM, core_o, shim_o and map.
#
# The library whose wrappers are always on the stack: `return real.read(...)` is a jump in the
# other one, which leaves no frame.  load.c needs its jumps, and calls nothing with a descriptor.

bypass_lib := $(B)/bypass/libshmfd.so
bypass_o := $(patsubst $(B)/preload/%,$(B)/bypass/preload/%,$(filter-out %/load.o,$(shim_o))) \
	$(B)/preload/load.o
bypass_cheap := self redis nginx python
bypass_programs := $(bypass_cheap) libc memcached socat iperf3 haproxy perl ruby ssh git rsync \
	openssl busybox nc dbus postgres
# More: node java php apache lighttpd mosquitto tmux.  make bypass PROGRAMS="redis tmux"
PROGRAMS ?= $(bypass_programs)

$(B)/bypass/preload/%.o: preload/%.c
	@mkdir -p $(@D); echo "  CC    $< (bypass)"
	$(Q)$(CC) $(SHIM) -fno-optimize-sibling-calls -c $< -o $@

$(bypass_lib): $(core_o) $(bypass_o) $(map)
	@echo "  LD    $@"
	$(Q)$(link_lib)

$(B)/bypass/%: tests/bypass/%.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) $< -ldl -lresolv -o $@

bypass: $(bypass_lib) $(B)/bypass/sly $(B)/bypass/libc_inside
	$(Q)sh tests/deps.sh check bypass
	$(Q)python3 -B tests/bypass/detect.py $(bypass_lib) $(PROGRAMS)

check-bypass: $(bypass_lib) $(B)/bypass/sly
	$(Q)python3 -B tests/bypass/reading_test.py
	$(Q)SHMFD_REQUIRE_APPS=1 python3 -B tests/bypass/detect.py $(bypass_lib) $(bypass_cheap)

.PHONY: bypass check-bypass
