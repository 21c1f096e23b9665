# SPDX-License-Identifier: MIT
# Included by the Makefile, which defines B, Q, lib and core_o.

check-symbols: $(lib)
	$(Q)BUILD="$(abspath $(B))" BATS_TEST_TIMEOUT=120 bats tests/lint/symbols.bats

check-lint:
	$(Q)BATS_TEST_TIMEOUT=120 bats tests/lint/source.bats

.PHONY: check-symbols check-lint
