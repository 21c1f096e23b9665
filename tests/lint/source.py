#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
source.py CHECK [ROOT] - one check of the source text.

Prints one line per violation, "file:line: what", and exits 1 if there is any;
2 if the check found nothing to look at.  Text only: no compiler is needed,
except for "layers", which asks it for the includes of includes (CC, default cc).
"""
import os
import re
import subprocess
import sys

SOURCE_DIRS = ("src", "preload", "include", "tests", "bench", ".ci")
SOURCE_ENDS = (".c", ".h", ".def", ".sh", ".bash", ".bats", ".py", ".pml", ".mk")
SOURCE_FILES = ("Makefile", ".ci/run")

FILE_LINES = 800
PRELOAD_LINES = 250
FUNCTION_LINES = 70
COLUMNS = 100
# Flat switches: a table that C has no other form for.  path:function
FLAT_SWITCHES = ()

root = "."
problems = []
looked_at = 0


def bad(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def files(*tops, ends=SOURCE_ENDS):
    """Paths below the given folders, relative to the root, in order."""
    found = []
    for top in tops:
        for folder, below, names in os.walk(os.path.join(root, top)):
            below[:] = sorted(d for d in below if d not in ("build", "__pycache__"))
            for name in sorted(names):
                if name.endswith(ends):
                    found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def sources():
    global looked_at
    extra = [f for f in SOURCE_FILES if os.path.isfile(os.path.join(root, f))]
    found = files(*SOURCE_DIRS) + extra
    looked_at += len(found)
    return found


def code(*tops):
    global looked_at
    found = files(*tops, ends=(".c", ".h"))
    looked_at += len(found)
    return found


def lines_of(path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


# ---- form ------------------------------------------------------------------


def check_size():
    for path in sources():
        n = len(lines_of(path))
        limit = PRELOAD_LINES if path.startswith("preload/") else FILE_LINES
        if n > limit:
            bad(path, n, f"file of {n} lines, {limit} at most")


def check_columns():
    for path in sources():
        for nr, line in enumerate(lines_of(path), 1):
            width = len(line.expandtabs(8))
            if width > COLUMNS:
                bad(path, nr, f"{width} columns, {COLUMNS} at most")


def check_functions():
    """Kernel braces: a body is what stands between a { and a } in column 0."""
    for path in code("src", "preload", "include", "tests", "bench"):
        start, name = 0, "?"
        for nr, line in enumerate(lines_of(path), 1):
            heading = re.match(r"[A-Za-z_].*?(\w+)\(", line)
            if heading and not start:
                name = heading.group(1)
            if line == "{":
                start = nr
            elif line.startswith("}") and start:
                n = nr - start + 1
                if n > FUNCTION_LINES and f"{path}:{name}" not in FLAT_SWITCHES:
                    bad(path, start, f"{name}() has {n} lines, {FUNCTION_LINES} at most")
                start = 0


def check_spdx():
    for path in sources():
        if not any("SPDX-License-Identifier: MIT" in s for s in lines_of(path)[:2]):
            bad(path, 1, "no SPDX line on top")


def check_comments():
    """// only inside strings: "http://..."."""
    for path in code("src", "preload", "include"):
        inside = False
        for nr, line in enumerate(lines_of(path), 1):
            text = re.sub(r'"(\\.|[^"\\])*"', '""', line)
            text = re.sub(r"/\*.*?\*/", "", text)
            if inside or text.lstrip().startswith("*"):
                inside = inside and "*/" not in text
                continue
            if "/*" in text:
                inside = True
                text = text[: text.index("/*")]
            if "//" in text:
                bad(path, nr, "comment that begins with //")


# Written so that this file does not contain what it looks for.
FOREIGN = re.compile(
    r"(?<![\w}$.-])/(?:wor[k]|far[m]|roo[t])(?![\w.-])|(?:DESIG[N]|STYL[E])\.md|\bshare[d]/"
)

# The home of a system of its own, made by the script.
OWN_PATHS = (("tests/fresh.sh", "HOME=/" + "root"),)


def check_foreign():
    """Nothing of one machine, nothing of papers outside the project."""
    global looked_at
    top = [f for f in os.listdir(root) if os.path.isfile(os.path.join(root, f))]
    found = sources() + sorted(f for f in top if f not in SOURCE_FILES)
    looked_at += len(found)
    for path in found:
        for nr, line in enumerate(lines_of(path), 1):
            for where, own in OWN_PATHS:
                line = line.replace(own, "") if path == where else line
            hit = FOREIGN.search(line)
            if hit:
                bad(path, nr, f"names {hit.group(0)}, which is not part of the project")


# ---- layers ------------------------------------------------------------------


def check_stdatomic():
    for path in code("src", "preload", "include"):
        for nr, line in enumerate(lines_of(path), 1):
            if re.match(r"\s*#\s*include\s*<stdatomic\.h>", line) and path != "src/atomic.h":
                bad(path, nr, "only src/atomic.h includes <stdatomic.h>")


# What the modules of memory alone must not know.
NO_SOCKETS = ("stream.h", "meet.h", "ready.h", "fdmap.h", "table.h", "config.h", "diag.h")
LAYERS = (
    # who, what it must not include, not even through other headers
    (r"include/.*\.h", r"(src|preload)/.*"),
    (r"src/.*\.[ch]", r"preload/.*"),
    (r"src/(ring|wait|spin|segment)\.[ch]", "src/(" + "|".join(map(re.escape, NO_SOCKETS)) + ")"),
    (r"src/(?!cli/).*\.[ch]", r"src/cli/.*"),
    (r"preload/.*\.[ch]", r"src/cli/.*"),
)


def includes_of(path):
    """Everything of ours that the compiler reads for a file."""
    cmd = [os.environ.get("CC", "cc"), "-MM", "-MG", "-x", "c", "-D_GNU_SOURCE",
           "-Iinclude", "-Isrc", "-Isrc/cli", path]
    out = subprocess.run(cmd, cwd=root, capture_output=True, text=True)
    if out.returncode:
        bad(path, 1, "the compiler can not list its includes: " + out.stderr.strip()[:200])
        return []
    words = out.stdout.replace("\\\n", " ").split()[1:]
    return [os.path.normpath(w) for w in words if os.path.normpath(w) != path]


def check_layers():
    for path in code("src", "preload", "include"):
        for included in includes_of(path):
            for who, what in LAYERS:
                if re.fullmatch(who, path) and re.fullmatch(what, included):
                    bad(path, 1, f"includes {included}")


# ---- memory order ------------------------------------------------------------

LABEL = re.compile(r"\[([a-z]+)\.([A-Z]\d?)\]")
STORES = re.compile(r"\b(store_release|store_seq_cst|xchg_\w+|fetch_\w+|cas_\w+)\(")
LOADS = re.compile(r"\b(load_acquire|load_seq_cst|xchg_seq_cst|fetch_\w*(?:acq|seq)\w*|cas_\w+)\(")


def head_text(module):
    """The module's header, and the first comment after the licence of its .c."""
    text = ""
    for path in (f"src/{module}.h", f"src/{module}.c"):
        if not os.path.isfile(os.path.join(root, path)):
            continue
        whole = "\n".join(lines_of(path))
        blocks = re.findall(r"/\*.*?\*/", whole, re.S)
        if path.endswith(".c"):
            blocks = [b for b in blocks if "SPDX" not in b][:1]
        text += "\n".join(blocks)
    return text


def site_ops(lines, at):
    """The atomic operation that a label speaks of: on its line, else in the
    statement below its comment, else just above."""
    near = [lines[at]] + lines[at + 1:at + 6] + lines[max(0, at - 2):at][::-1]
    for line in near:
        kinds = {k for k, r in (("store", STORES), ("load", LOADS)) if r.search(line)}
        if kinds:
            return kinds
    return set()


def check_labels():
    sites = {}
    for path in code("src", "preload"):
        lines = lines_of(path)
        for nr, line in enumerate(lines, 1):
            for label in LABEL.findall(line):
                ops = site_ops(lines, nr - 1)
                sites.setdefault(label, []).append((path, nr, ops))
    for (module, letter), where in sorted(sites.items()):
        path, nr, _ = where[0]
        name = f"[{module}.{letter}]"
        seen = set().union(*(ops for _, _, ops in where))
        atomics = [w for w in where if w[2]]
        if len(atomics) < 2:
            bad(path, nr, f"{name} stands at {len(atomics)} atomic operation, both sides need it")
        elif seen != {"store", "load"}:
            bad(path, nr, f"{name} is on the {seen.pop()} side only")
        # in a picture, as the title of one, or "X: what it orders"
        explained = rf"\[{letter}\]|\(\"{letter}\"\)|^\s*\*\s+{letter}(, [A-Z])*:"
        if not re.search(explained, head_text(module), re.M):
            bad(path, nr, f"{name} is not explained at the head of {module}.h or {module}.c")
    if not sites:
        bad("src", 0, "no label found at all")


CHECKS = {name[len("check_"):]: f for name, f in list(globals().items())
          if name.startswith("check_")}


def main():
    global root
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in CHECKS:
        sys.exit("usage: source.py " + "|".join(CHECKS) + " [ROOT]")
    if len(sys.argv) == 3:
        root = sys.argv[2]
    CHECKS[sys.argv[1]]()
    for line in problems:
        print(line)
    if not looked_at:
        print("no source file found: is this the root of the project?")
        sys.exit(2)
    sys.exit(1 if problems else 0)


main()
