#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
report.py DIR [FILE] - what a run of the benchmark left in DIR, as Markdown and plots.

Without FILE: DIR/table.md and DIR/*.svg.  With FILE (bench/RESULTS.md): the tables replace what
stands between its two marks, so that no figure is typed by hand; text around them stays.  A
FILE that is not there yet is made.
"""
import csv
import os
import shutil
import subprocess
import sys

import figures
import machine

HERE = os.path.dirname(os.path.abspath(__file__))
RUN_COLUMNS = ("section", "work", "place", "variant", "repeat", "metric", "unit", "value",
               "status", "note")
MEDIAN_COLUMNS = ("section", "work", "place", "variant", "metric", "unit", "runs", "median",
                  "least", "most", "spread", "better", "status", "note")
# whom a variant is compared with
BASE = {"shmfd-tcp": "tcp", "nospin-tcp": "tcp", "server-only": "tcp", "client-only": "tcp",
        "shmfd-unix": "unix"}
TIMES = ("p50", "p99", "p99.9")
BEGIN, END = "<!-- run: begin -->", "<!-- run: end -->"
NEW_FILE = f"""<!-- SPDX-License-Identifier: MIT -->
# A run of the benchmark

What stands between the marks was put there by `make bench-results` from the last run of
`make bench` on the machine named in it.

{BEGIN}
{END}
"""


class Data:
    """The data of a run, on disk as it comes."""

    def __init__(self, folder, described):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.values = {}        # (section, work, place, variant) -> {metric: [values]}
        self.status = {}        # the same -> (status, note)
        with open(os.path.join(folder, "machine.csv"), "w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows([("name", "value"), *described])
        self.file = open(os.path.join(folder, "runs.csv"), "w", encoding="utf-8", newline="")
        self.writer = csv.writer(self.file)
        self.writer.writerow(RUN_COLUMNS)

    def add(self, row, variant, repeat, values, status, note=""):
        key = (row.section, row.work, row.place, variant)
        if self.status.get(key, ("ok",))[0] == "ok":
            self.status[key] = (status, row.note)
        have = self.values.setdefault(key, {})
        for metric, value in values.items():
            have.setdefault(metric, []).append(value)
        for metric, value in values.items() or (("", ""),):
            unit = figures.METRICS[metric][0] if metric else ""
            self.writer.writerow([*key, repeat, metric, unit, value, status,
                                  "; ".join(filter(None, (row.note, note)))])
        self.file.flush()

    def medians(self):
        for key, metrics in self.values.items():
            status, note = self.status[key]
            if not metrics:
                yield [*key, "", "", 0, "", "", "", "", "", status, note]
            for metric, values in metrics.items():
                better = ""
                base = self.values.get((*key[:3], BASE.get(key[3])), {}).get(metric)
                if base and figures.METRICS[metric][1]:
                    better = figures.times_better(figures.median(values), figures.median(base),
                                                  metric)
                yield [*key, metric, figures.METRICS[metric][0], len(values),
                       figures.median(values), min(values), max(values),
                       figures.spread(values), better, status, note]

    def close(self):
        self.file.close()
        path = os.path.join(self.folder, "medians.csv")
        with open(path, "w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows([MEDIAN_COLUMNS, *self.medians()])


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def load(folder):
    """(section/work/place) -> variant -> metric -> its line of medians.csv."""
    found = {}
    for line in rows_of(os.path.join(folder, "medians.csv")):
        key = "/".join((line["section"], line["work"], line["place"]))
        found.setdefault(key, {}).setdefault(line["variant"], {})[line["metric"]] = line
    return found


def value_of(data, key, variant, metric):
    line = data.get(key, {}).get(variant, {}).get(metric)
    return float(line["median"]) if line and line["median"] != "" else None


# ---- targets -------------------------------------------------------------------


def judge(target, data):
    """(what was measured, is it met) of one line of targets.csv; None where nothing was."""
    metric, unit = target["metric"], figures.METRICS[target["metric"]][0]
    limit = float(target["limit"])
    value = value_of(data, target["row"], target["variant"], metric)
    if value is None:
        return None, None
    if target["form"] in ("at least", "at most"):
        met = value >= limit if target["form"] == "at least" else value <= limit
        return figures.show(value, unit), met
    row, _, other = target["against"].partition("@")
    variant, _, base_metric = other.partition(":")
    base = value_of(data, row or target["row"], variant, base_metric or metric)
    if base is None:
        return None, None
    if target["form"] == "more, at most":
        return "+" * (value >= base) + figures.show(value - base, unit), value - base <= limit
    if target["form"] == "times, at most":
        return (f"{value / base:.2f}x", value <= base * limit) if base else (None, None)
    if target["form"] == "times better":
        better = figures.times_better(value, base, metric)
        return (None, None) if better is None else (f"{better:.2f}x", better >= limit)
    raise ValueError(f"targets.csv: unknown form '{target['form']}'")


def wanted(target):
    limit, unit = float(target["limit"]), figures.METRICS[target["metric"]][0]
    if target["form"] == "times better":
        return f"at least {limit:g}x"
    if target["form"] == "times, at most":
        return f"at most {limit:g}x"
    if target["form"] == "more, at most":
        return f"at most {figures.show(limit, unit)} more"
    return f"{target['form']} {figures.show(limit, unit)}"


def against(target):
    if not target["against"]:
        return "-"
    row, _, other = target["against"].partition("@")
    variant, _, metric = other.partition(":")
    return ", ".join(filter(None, (row, "" if row and variant == "floor" else
                                   word_of(target, variant), metric)))


def word_of(target, variant):
    return words(target["row"].split("/")[0])[variant]


def targets(data):
    lines, counts = [], {"met": 0, "NOT met": 0, "not measured": 0}
    for target in rows_of(os.path.join(HERE, "targets.csv")):
        measured, met = judge(target, data)
        word = "not measured" if met is None else "met" if met else "NOT met"
        counts[word] += 1
        if met is not None:
            lines.append((target["what"], target["row"], word_of(target, target["variant"]),
                          target["metric"], wanted(target), against(target), measured, word,
                          target["mark"]))
    return lines, counts


# ---- Markdown ------------------------------------------------------------------


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |",
            *("| " + " | ".join(line) + " |" for line in lines), ""]


def cell(lines, metrics):
    """The medians of some metrics of one variant, and the spread of the first."""
    if "" in lines and not any(m in lines for m in metrics if m):
        return lines[""]["status"].replace("|", "/")
    have = [lines[m] for m in metrics if m in lines]
    if not have:
        return "-"
    text = " / ".join(figures.show(float(h["median"]), h["unit"]) for h in have)
    if int(have[0]["runs"]) > 1:
        text += f" ±{float(have[0]['spread']):.0f}%"
    status = "" if have[0]["status"] == "ok" else " " + have[0]["status"].replace("|", "/")
    return text + status


def groups(variants):
    """The metrics of a row by line of its table."""
    have = {m for lines in variants.values() for m in lines} - {"", "ring", "line"}
    if not have:
        return [("",)]
    out = []
    if have & set(TIMES):
        out.append(tuple(m for m in TIMES if m in have))
        have -= {*TIMES, "mean"}
    return out + [(m,) for m in figures.METRICS if m in have]


def words(section):
    return machine.VARIANT_WORDS | (machine.PROGRAM_WORDS
                                    if section in ("startup", "passthrough") else {})


def section_table(section, found):
    variants = [v for v in machine.VARIANTS if any(v in row for row in found.values())]
    compared = [v for v in variants if BASE.get(v) in variants]
    rings = any("ring" in lines for row in found.values() for lines in row.values())
    word = words(section)
    head = ["work", "placement", "figure", *(word[v] for v in variants)]
    head += [f"{word[v]}: times better" for v in compared]
    head += ["by ring"] * rings
    lines = []
    for key, row in found.items():
        _, work, place = key.split("/", 1)[0], *key.split("/", 1)[1].rsplit("/", 1)
        note = next((l["note"] for ls in row.values() for l in ls.values() if l["note"]), "")
        for metrics in groups(row):
            line = [work + (f" ({note})" if note else ""), place, " / ".join(metrics) or "-"]
            line += [cell(row[v], metrics) if v in row else "" for v in variants]
            for v in compared:
                better = row.get(v, {}).get(metrics[0], {}).get("better")
                line.append(f"{float(better):.2f}x" if better else "")
            if rings:
                share = [lines_of["ring"]["median"] for v, lines_of in row.items()
                         if "ring" in lines_of]
                line.append(f"{min(map(float, share)):.0f}%" if share else "")
            lines.append(line)
    return table(head, lines)


def distances(folder):
    """How often the processors were where they usually are; see figures.Distance."""
    lines = [r for r in rows_of(os.path.join(folder, "runs.csv")) if r["metric"] == "line"]
    odd = sum("far" in r["note"] for r in lines)
    return (f"{len(lines)} samples of two processors, {odd} of them taken though these were not at "
            "their usual distance, after some tries." if lines else "")


def markdown(folder):
    data = load(folder)
    out = ["## Machine and settings", ""]
    out += table(("what", "value"), [(d["name"], d["value"].replace("|", "/")) for d in
                                     rows_of(os.path.join(folder, "machine.csv"))])
    lines, counts = targets(data)
    out += ["## Targets", "", ", ".join(f"{n} {word}" for word, n in counts.items()) + ".", ""]
    out += table(("work", "row", "variant", "figure", "must reach", "against", "reached", "",
                  "who holds the mark"), [[x or "-" for x in line] for line in lines])
    out += [distances(folder), "",
            "Medians; ± is half the distance from least to most, in percent of the median, of the "
            "first figure of a cell.", "\"By ring\" is the least share of the client's bytes in "
            "the preloaded runs of a row.", ""]
    sections = {}
    for key, row in data.items():
        sections.setdefault(key.split("/")[0], {})[key] = row
    for name, found in sections.items():
        out += [f"## {name}", "", *section_table(name, found)]
    return "\n".join(out)


def summary(folder):
    """What a terminal gets: the targets."""
    lines, counts = targets(load(folder))
    out = [f"{word:8} {row}  {variant}, {metric}: {measured} ({want})"
           for _, row, variant, metric, want, _, measured, word, _ in lines]
    return "\n".join(out + [", ".join(f"{n} {word}" for word, n in counts.items())])


# ---- plots ---------------------------------------------------------------------

# what is drawn of a section; of any other the rate
DRAWN = {"floors": "p50", "pingpong": "p50", "oneway": "MB/s", "twoway": "MB/s", "idle": "idle",
         "connections": "cost", "offered": "cpu", "startup": "p50", "passthrough": "call"}


def plot(folder, name, place, metric, found):
    """Bars of medians, lines from least to most."""
    variants = [v for v in machine.VARIANTS if any(metric in row.get(v, {}) for row in
                                                   found.values())]
    lines = []
    for key, row in found.items():
        work = key.split("/", 1)[1].rsplit("/", 1)[0]
        cells = [row.get(v, {}).get(metric) for v in variants]
        if any(cells):
            lines.append("\t".join([f'"{work}"', *(f"{c['median']}\t{c['least']}\t{c['most']}"
                                                   if c else "?\t?\t?" for c in cells)]))
    positive = all(float(row[v][metric]["least"]) > 0 for row in found.values()
                   for v in variants if metric in row.get(v, {}))
    if not lines:
        return
    base = os.path.join(folder, f"{name}-{place}")
    bars = ", ".join(f"$data using {3 * i + 2}:{3 * i + 3}:{3 * i + 4}" +
                     (":xtic(1)" if not i else "") +
                     f' title "{words(name)[v]}"' for i, v in enumerate(variants))
    width = min(1600, max(640, 80 + 34 * len(lines) * len(variants)))
    script = [
        f"set terminal svg size {width},480 dynamic noenhanced",
        f'set output "{base}.svg"', f'set title "{name}, {place}: {metric}"',
        f'set ylabel "{figures.METRICS[metric][0]}"', "set style data histogram",
        "set style histogram errorbars gap 1 lw 1", "set style fill solid 0.7 border -1",
        'set datafile missing "?"', "set grid ytics", "set key outside below",
        "set xtics rotate by -30 noenhanced", "set logscale y" if positive else "set yrange [0:]",
        "$data << EOD", *lines, "EOD", f"plot {bars}", ""]
    done = subprocess.run(["gnuplot"], input="\n".join(script), text=True, capture_output=True,
                          check=False)
    if done.returncode:
        print(f"gnuplot: {base}.svg: {done.stderr.strip()[-200:]}", file=sys.stderr)


def plots(folder):
    if not shutil.which("gnuplot"):
        return
    for name in os.listdir(folder):
        if name.endswith(".svg"):
            os.unlink(os.path.join(folder, name))
    charts = {}
    for key, row in load(folder).items():
        name, place = key.split("/")[0], key.rsplit("/", 1)[1]
        charts.setdefault((name, place), {})[key] = row
    for (name, place), found in charts.items():
        plot(folder, name, place, DRAWN.get(name, "rate"), found)


def write(folder):
    with open(os.path.join(folder, "table.md"), "w", encoding="utf-8") as f:
        f.write("# libshmfd: a run of the benchmark\n\n" + markdown(folder))
    plots(folder)


def put_between(text, inner):
    """The text with what stands between its marks replaced."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END}")
    return f"{head}{begin}\n{inner}\n{end}{tail}"


def main(argv):
    if len(argv) not in (2, 3):
        print(__doc__.strip().splitlines()[0], file=sys.stderr)
        return 2
    if len(argv) == 2:
        write(argv[1])
        return 0
    text = NEW_FILE
    if os.path.exists(argv[2]):
        with open(argv[2], encoding="utf-8") as f:
            text = f.read()
    with open(argv[2] + ".new", "w", encoding="utf-8") as f:
        f.write(put_between(text, "\n" + markdown(argv[1])))
    os.replace(argv[2] + ".new", argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
