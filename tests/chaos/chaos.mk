# SPDX-License-Identifier: MIT
# Included by the Makefile, which defines B, Q, PROG and lib.
#
#   make chaos          rounds drawn from a seed until CHAOS_MINUTES (5) are over;
#                       CHAOS_SEED: of this seed, CHAOS_ROUND: this round alone,
#                       CHAOS_WORK: of this work only
#   make check-chaos    the self-test and a few rounds that are always the same

CHAOS_MINUTES ?= 5
chaos_so := $(patsubst tests/chaos/%.c,$(B)/tests/chaos/%.so,$(wildcard tests/chaos/*.c))
chaos_py := python3 -B tests/chaos/chaos.py --build $(B)

$(B)/tests/chaos/%.so: tests/chaos/%.c
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(PROG) -fPIC -shared $< -o $@

chaos-programs: all progs $(chaos_so)

chaos: chaos-programs
	$(Q)$(chaos_py) --minutes $(CHAOS_MINUTES) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) \
		$(if $(CHAOS_ROUND),--round $(CHAOS_ROUND)) $(if $(CHAOS_WORK),--work $(CHAOS_WORK))

check-chaos: chaos-programs
	$(Q)$(chaos_py) --self-test --seed 1 --rounds 12

.PHONY: chaos chaos-programs check-chaos
