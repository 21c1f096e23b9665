# SPDX-License-Identifier: MIT
# Prints the version script: exactly the names of calls.def, no version node.
set -eu
dir=$(dirname "$0")
printf '{ global:\n'
printf '%s\n' '#define CALL(name) name;' '#define ALIAS(name, of) name;' \
	'#define OTHER(name) name;' '#include "calls.def"' |
	${CC:-cc} -E -P -I"$dir" - | tr ' ' '\n' |
	sed -n 's/^\([A-Za-z_0-9]*;\)$/\t\1/p' | LC_ALL=C sort -u
printf 'local: *; };\n'
