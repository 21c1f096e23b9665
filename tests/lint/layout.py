#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
layout.py HEADER - the tables in the comments of layout.h against the compiler.

A comment with a row "off size field" that stands directly above a struct is a
table of it.  Compared with what CC (default cc) makes of the struct: offset and
size of each row, the size that the comment names, that every member stands in
the table but padding, and that members follow each other without a hole.
A struct without a table needs its size in the comment, and its "line N" marks
are offsets of 64 * N.  Prints violations, exits 1 if there is any.
"""
import os
import re
import subprocess
import sys
import tempfile

# An array of records, too long to be told in a table row by row.
NOT_IN_TABLE = {"shmfd_table": ("record",)}

problems = []


def bad(text):
    problems.append(text)


def parse_structs(text):
    """Yields name, comment directly above (or ""), body."""
    for m in re.finditer(r"^struct (\w+) \{\n(.*?)^\};", text, re.M | re.S):
        before = text[: m.start()]
        above = re.search(r"/\*(?:(?!\*/).)*\*/\n\Z", before, re.S)
        yield m.group(1), above.group(0) if above else "", m.group(2)


def parse_members(body):
    """Member names in order; with the number of a "line N" mark before them."""
    found = []
    line_mark = None
    for part in re.split(r"(/\*.*?\*/)", body, flags=re.S):
        if part.startswith("/*"):
            m = re.match(r"/\* lines? (\d+)", part)
            line_mark = int(m.group(1)) if m else line_mark
            continue
        for decl in part.split(";"):
            m = re.search(r"(\w+)(\[[^\]]*\])*\s*\Z", decl.strip())
            if m and decl.strip():
                found.append((m.group(1), line_mark))
                line_mark = None
    return found


def parse_rows(comment):
    """Rows of the table: offset, size, field.  Rows without numbers are not of the struct."""
    if not re.search(r"\*\s+off\s+size\s+field", comment):
        return None
    return [(int(o), int(s), f) for o, s, f in
            re.findall(r"^ \*\s+(\d+)\s+(\d+)\s+(\w+(?:\[\d+\])?)", comment, re.M)]


def ask_compiler(header, questions):
    """Values of C constant expressions."""
    cc = os.environ.get("CC", "cc").split()
    with tempfile.TemporaryDirectory() as tmp:
        c = os.path.join(tmp, "ask.c")
        with open(c, "w", encoding="utf-8") as f:
            f.write(f'#include <stdio.h>\n#include "{os.path.abspath(header)}"\n'
                    "int main(void)\n{\n")
            f.writelines(f'\tprintf("%zu\\n", (size_t)({q}));\n' for q in questions)
            f.write("\treturn 0;\n}\n")
        exe = os.path.join(tmp, "ask")
        include = os.path.dirname(os.path.dirname(os.path.abspath(header)))
        done = subprocess.run(cc + ["-std=gnu11", "-I", include, c, "-o", exe],
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit("a table names what the struct does not have:\n" + done.stderr)
        out = subprocess.run([exe], capture_output=True, text=True, check=True)
    return dict(zip(questions, map(int, out.stdout.split())))


def offset(name, field):
    return f"offsetof(struct {name}, {field})"


def size(name, field):
    return f"sizeof(((struct {name} *)0)->{field})"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: layout.py HEADER")
    with open(sys.argv[1], encoding="utf-8") as f:
        structs = list(parse_structs(f.read()))
    if len(structs) < 2:
        sys.exit("found no structs in " + sys.argv[1])

    questions = []
    for name, comment, body in structs:
        questions.append(f"sizeof(struct {name})")
        fields = [f for f, _ in parse_members(body)]
        fields += [f for _, _, f in parse_rows(comment) or []]
        for field in dict.fromkeys(fields):
            questions += [offset(name, field), size(name, field)]
    value = ask_compiler(sys.argv[1], questions)

    tables = rows_nr = 0
    for name, comment, body in structs:
        members, rows = parse_members(body), parse_rows(comment)
        total = value[f"sizeof(struct {name})"]
        said = re.search(r"\b(\d+) bytes\b", comment)
        if said and int(said.group(1)) != total:
            bad(f"{name}: the comment says {said.group(1)} bytes, it has {total}")
        for field, mark in members:
            if mark is not None and value[offset(name, field)] != 64 * mark:
                bad(f"{name}.{field}: marked as line {mark}, is at {value[offset(name, field)]}")
        if rows is None:
            if not said:
                bad(f"{name}: neither a table nor a size in its comment")
            continue
        tables += 1
        rows_nr += len(rows)
        for off, length, field in rows:
            if value[offset(name, field)] != off:
                bad(f"{name}.{field}: the table says offset {off}, "
                    f"it is {value[offset(name, field)]}")
            if value[size(name, field)] != length:
                bad(f"{name}.{field}: the table says {length} bytes, "
                    f"it has {value[size(name, field)]}")
        listed = {re.sub(r"\[.*", "", f) for _, _, f in rows}
        listed.update(NOT_IN_TABLE.get(name, ()))
        end = 0
        for field, _ in members:
            if field not in listed and not re.fullmatch(r"pad\d*", field):
                bad(f"{name}.{field}: not in the table")
            if value[offset(name, field)] != end:
                bad(f"{name}.{field}: a hole before it, from byte {end}")
            end = value[offset(name, field)] + value[size(name, field)]
        if end != total:
            bad(f"{name}: a hole at its end, from byte {end}")
    for line in problems:
        print(line)
    if not problems:
        print(f"{len(structs)} structs, {tables} tables, {rows_nr} rows agree")
    sys.exit(1 if problems else 0)


main()
