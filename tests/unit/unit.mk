# SPDX-License-Identifier: MIT
# Unit tests: each tests/unit/test_*.c is one program over all core sources,
# which are compiled again for each flavour; no preload is involved.
#
#   unit   as users have it        asan   AddressSanitizer and UBSan
#   tsan   ThreadSanitizer; there both ends of a ring share one mapping
#
# The core is an archive, so that a test may bring its own `shmfd_sys` (the seam
# of src/sys.h); any other gets the command's, which is libc.

unit_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
unit_tsan := -fsanitize=thread
unit_unit :=
unit_src := $(wildcard tests/unit/test_*.c)
unit_help := $(filter-out $(unit_src),$(wildcard tests/unit/*.c))
unit_core := $(wildcard src/*.c) src/cli/sys_libc.c
unit_seconds := 60

# The binaries of flavour $(1)
unit_bin = $(patsubst tests/unit/%.c,$(B)/$(1)/%,$(unit_src))

# Rules of flavour $(1); its flags are in unit_$(1)
define unit_rules
$(B)/$(1)/core/%.o: src/%.c
	@mkdir -p $$(@D); echo "  CC    $$< ($(1))"
	$$(Q)$$(CC) $$(CORE) $$(unit_$(1)) -c $$< -o $$@

$(B)/$(1)/%.o: tests/unit/%.c
	@mkdir -p $$(@D); echo "  CC    $$< ($(1))"
	$$(Q)$$(CC) $$(BASE) $$(unit_$(1)) -c $$< -o $$@

$(B)/$(1)/libcore.a: $(patsubst src/%.c,$(B)/$(1)/core/%.o,$(unit_core)) \
		$(patsubst tests/unit/%.c,$(B)/$(1)/%.o,$(unit_help))
	$$(Q)rm -f $$@; $$(AR) rcs $$@ $$^

$(B)/$(1)/test_%: $(B)/$(1)/test_%.o $(B)/$(1)/libcore.a
	$$(Q)$$(CC) $$(unit_$(1)) -o $$@ $$^ -lcmocka -pthread
endef

$(foreach f,unit asan tsan,$(eval $(call unit_rules,$(f))))

# Runs the binaries of flavour $(1).  A test that was announced and has no
# result (crash, time-out) has failed, and so has a clean log with a bad exit.
define unit_go
@passed=0; failed=0; skipped=0; \
for t in $(call unit_bin,$(1)); do \
	rc=0; \
	CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 $(unit_seconds) \
		$$t >$$t.log 2>&1 </dev/null || rc=$$?; \
	all=$$(sed -n 's/^1\.\.\([0-9]*\)$$/\1/p' $$t.log | head -n 1); \
	ok=$$(grep -c '^ok ' $$t.log); \
	skip=$$(grep -c '^ok .*# SKIP' $$t.log); \
	bad=$$(($${all:-0} - ok)); \
	if [ $$bad -eq 0 ] && { [ $$rc -ne 0 ] || [ $$ok -eq 0 ]; }; then bad=1; fi; \
	echo "  TEST  $$t"; \
	if [ $$bad -ne 0 ]; then \
		sed 's/^/        /' $$t.log; \
		echo "        exit status $$rc"; \
	fi; \
	passed=$$((passed + ok - skip)); failed=$$((failed + bad)); skipped=$$((skipped + skip)); \
done; \
echo "$$passed passed, $$failed failed, $$skipped skipped"; \
[ $$failed -eq 0 ] && [ $$passed -gt 0 ]
endef

check-unit: $(call unit_bin,unit)
	$(call unit_go,unit)

check-asan: export ASAN_OPTIONS = detect_stack_use_after_return=1
check-asan: export UBSAN_OPTIONS = print_stacktrace=1
check-asan: $(call unit_bin,asan)
	$(call unit_go,asan)

check-tsan: export TSAN_OPTIONS = exitcode=66
check-tsan: $(call unit_bin,tsan)
	$(call unit_go,tsan)

# Every header compiles alone; the contract also as plain C11.
check-headers:
	@passed=0; failed=0; \
	one() { \
		if printf '#include "%s"\n' "$$2" | $$1 -x c -fsyntax-only -Iinclude -Isrc -I. \
			-Wall -Wextra -Wstrict-prototypes -Wundef -Werror $$3 -; then \
			passed=$$((passed + 1)); \
		else \
			echo "  $$2: not with $$1 $$3"; failed=$$((failed + 1)); \
		fi; \
	}; \
	for cc in gcc clang; do \
		command -v $$cc >/dev/null || continue; \
		for h in $(wildcard src/*.h); do one $$cc $$h -std=gnu11; done; \
		for h in $$(find include -name '*.h' | sort); do one $$cc $$h -std=c11; done; \
	done; \
	echo "$$passed passed, $$failed failed, 0 skipped"; \
	[ $$failed -eq 0 ] && [ $$passed -gt 0 ]

.PHONY: check-unit check-asan check-tsan check-headers
.SECONDARY: $(foreach f,unit asan tsan,$(addsuffix .o,$(call unit_bin,$(f))))
