#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
bench.py - the benchmark's arithmetic and what it reads of other programs' output, on fixed samples.

Measures nothing and asserts no speed.
"""
import os
import sys
import tempfile
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench"))
import figures  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import run  # noqa: E402

REDIS = '''"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms",\
"p99_latency_ms","max_latency_ms"
"SET","111.50","0.3","0.1","0.2","0.5","0.6","1.0"
"GET","163934.42","0.159","0.064","0.151","0.223","0.287","0.607"
'''
WRK = """Running 1s test @ http://127.0.0.1:7000/1KiB
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   602.35us  151.99us   2.35ms   82.93%
    Req/Sec    83.11k     4.15k   89.64k    54.55%
  Latency Distribution
     50%  593.00us
     75%  672.00us
     90%  751.00us
     99%    1.08ms
  90917 requests in 1.10s, 110.03MB read
Requests/sec:  82653.40
Transfer/sec:    100.03MB
"""
PGBENCH = """pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: <builtin: select only>
number of clients: 8
number of transactions actually processed: 26233
number of failed transactions: 0 (0.000%)
latency average = 0.305 ms
initial connection time = 8.461 ms
tps = 26226.880012 (without initial connection time)
"""


class Arithmetic(unittest.TestCase):
    def test_median_of_odd_and_even_numbers(self):
        self.assertEqual(figures.median([5, 1, 3]), 3)
        self.assertEqual(figures.median([4, 1, 3, 2]), 2.5)
        self.assertEqual(figures.median([7]), 7)

    def test_spread_is_half_the_distance_in_percent_of_the_median(self):
        self.assertEqual(figures.spread([10]), 0)
        self.assertAlmostEqual(figures.spread([90, 100, 130]), 20)
        self.assertEqual(figures.spread([0, 0, 0]), 0)

    def test_times_better_knows_which_way_a_figure_is_good(self):
        self.assertEqual(figures.times_better(10, 40, "p50"), 4)
        self.assertEqual(figures.times_better(40, 10, "rate"), 4)
        self.assertEqual(figures.times_better(40, 10, "cpu"), 0.25)
        self.assertIsNone(figures.times_better(0, 10, "idle"))

    def test_figures_are_shown_in_a_unit_of_their_size(self):
        self.assertEqual(figures.show(337, "ns"), "337 ns")
        self.assertEqual(figures.show(52040, "ns"), "52.0 us")
        self.assertEqual(figures.show(-1160000, "ns"), "-1.16 ms")
        self.assertEqual(figures.show(25.3e6, "/s"), "25.3 M/s")
        self.assertEqual(figures.show(10040, "MB/s"), "10.0 GB/s")
        self.assertEqual(figures.show(0, "ms"), "0 ms")


class Output(unittest.TestCase):
    def test_lines_of_our_own_programs(self):
        out = figures.of_line("pingpong tcp4 blocking two size=8 count=9: "
                              "p50=261 p99=301 p99.9=1042 mean=270 ns\n")
        self.assertEqual(out, {"p50": 261, "p99": 301, "p99.9": 1042, "mean": 270})
        out = figures.of_line("oneway tcp4 two size=8 buffer=262144: 100.4 MB/s 12.5500 M msg/s\n")
        self.assertEqual(out, {"MB/s": 100.4, "rate": 12550000})
        out = figures.of_line("load connections=1 active=1 rate=0: 49312 msg/s p50=15968 p99=2 "
                              "p99.9=3 mean=4 ns cpu=16582.3 answers=24763\n")
        self.assertEqual(out, {"rate": 49312, "p50": 15968, "p99": 2, "p99.9": 3, "mean": 4,
                               "cpu": 16.5823})
        out = figures.of_line("pairs tcp4 pairs=4 hogs=2 bytes=64: 57937 trips/s 263.547 M steps/s "
                              "p50=1 p99=2 p99.9=3 mean=4 ns\n")
        self.assertEqual((out["rate"], out["hogs"]), (57937, 263.547))
        out = figures.of_line("callcost pipe batches=245: least=335.96 middle=338.83 extra=-0.25 "
                              "ns\n")
        self.assertEqual(out, {"least": 335.96, "call": 338.83, "extra": -0.25})
        out = figures.of_line("connrate tcp4 plain two bytes=64 count=9: 14900 conn/s p50=9 p99=9 "
                              "p99.9=9 mean=9 ns\n")
        self.assertEqual(out["rate"], 14900)

    def test_a_line_without_figures_is_an_error(self):
        for text in ("", "usage: pingpong SIZE COUNT\n", "pingpong size=8 count=9: killed\n"):
            with self.assertRaises(ValueError):
                figures.of_line(text)

    def test_redis_benchmark(self):
        self.assertEqual(figures.of_redis(REDIS, "GET"),
                         {"rate": 163934.42, "p50": 151000.0, "p99": 287000.0})
        for text in ("", "Could not connect to Redis\n", REDIS.partition("\n")[2]):
            with self.assertRaises(ValueError):
                figures.of_redis(text, "GET")

    def test_wrk(self):
        self.assertEqual(figures.of_wrk(WRK), {"rate": 82653.4, "p50": 593000.0, "p99": 1080000.0})
        with self.assertRaises(ValueError):
            figures.of_wrk(WRK + "  Socket errors: connect 0, read 3, write 0, timeout 0\n")
        with self.assertRaises(ValueError):
            figures.of_wrk(WRK.replace("Requests/sec", "Requests"))

    def test_pgbench(self):
        self.assertEqual(figures.of_pgbench(PGBENCH), {"rate": 26226.880012, "mean": 305000.0})
        with self.assertRaises(ValueError):
            figures.of_pgbench(PGBENCH.replace("transactions: 0", "transactions: 2"))
        with self.assertRaises(ValueError):
            figures.of_pgbench("connection refused")

    def test_share_of_the_ring(self):
        line = "pid=1 ring_rx_bytes=60 ring_tx_bytes=30 kernel_rx_bytes=5 kernel_tx_bytes=5\n"
        self.assertEqual(figures.ring_share(line), 90)
        self.assertEqual(figures.ring_share(line + "kernel_rx_bytes=100\n"), 45)
        self.assertIsNone(figures.ring_share(""))


def row_of(work, place="two", note=""):
    return types.SimpleNamespace(section="pingpong", work=work, place=place, note=note)


class Report(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.data = report.Data(self.folder.name, [("kernel", "a | b")])
        self.addCleanup(self.data.file.close)

    def add(self, work, variant, *values, status="ok", metric="p50"):
        for repeat, value in enumerate(values, 1):
            self.data.add(row_of(work), variant, repeat, {metric: value}, status)

    def test_medians_and_ratios_come_from_the_runs(self):
        self.add("8 B", "tcp", 40, 60, 50)
        self.add("8 B", "shmfd-tcp", 20, 10, 5)
        self.data.close()
        line = report.load(self.folder.name)["pingpong/8 B/two"]["shmfd-tcp"]["p50"]
        self.assertEqual([float(line[c]) for c in ("runs", "median", "least", "most", "spread",
                                                   "better")], [3, 10, 5, 20, 75, 5])
        with open(os.path.join(self.folder.name, "runs.csv"), encoding="utf-8") as f:
            self.assertEqual(len(f.readlines()), 1 + 6)

    def test_what_failed_is_shown(self):
        self.add("8 B", "tcp", 40, 60)
        self.add("8 B", "shmfd-tcp", 20)
        self.data.add(row_of("8 B"), "shmfd-tcp", 2, {}, "failed: pingpong: status 1")
        self.data.add(row_of("64 B"), "tcp", 1, {}, "failed: not done")
        self.data.close()
        text = report.markdown(self.folder.name)
        self.assertIn("20.0 ns failed: pingpong: status 1", text)
        self.assertIn("| 64 B | two | - | failed: not done |", text)
        self.assertIn("50.0 ns ±20%", text)
        self.assertIn("a / b", text)

    def judge(self, form, limit, against="", metric="p50"):
        self.data.close()
        return report.judge({"row": "pingpong/8 B/two", "metric": metric, "variant": "shmfd-tcp",
                             "form": form, "limit": limit, "against": against},
                            report.load(self.folder.name))

    def test_targets_are_met_at_their_limit_and_not_beyond(self):
        self.add("8 B", "tcp", 40)
        self.add("8 B", "shmfd-tcp", 20)
        self.add("ring", "floor", 16)
        for form, limits, other in (("at most", (20, 19), ""), ("at least", (20, 21), ""),
                                    ("times better", (2, 2.1), "@tcp"),
                                    ("times, at most", (0.5, 0.4), "@tcp"),
                                    ("times, at most", (1.25, 1.2), "pingpong/ring/two@floor"),
                                    ("more, at most", (-20, -21), "@tcp")):
            for limit, met in zip(limits, (True, False)):
                self.assertEqual(self.judge(form, limit, other)[1], met, (form, limit))

    def test_a_target_without_a_figure_is_not_measured(self):
        self.add("8 B", "shmfd-tcp", 20)
        self.assertEqual(self.judge("times better", 2, "@tcp"), (None, None))
        self.assertEqual(self.judge("at most", 2, metric="p99"), (None, None))

    def test_results_keep_the_text_around_the_tables(self):
        text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        self.assertEqual(report.put_between(text, "new"),
                         f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")
        self.assertEqual(report.put_between(report.put_between(text, "x"), "new"),
                         report.put_between(text, "new"))
        with self.assertRaises(ValueError):
            report.put_between("no marks", "new")
        report.put_between(report.NEW_FILE, "new")


class Plan(unittest.TestCase):
    def rows(self, quick):
        on = types.SimpleNamespace(tmp="/nowhere")
        bench = rows.Bench(on, quick)
        return [row for section in run.SECTIONS.values() for row in section(bench)]

    def test_every_target_has_its_row_in_a_full_run(self):
        have = {(row.key, variant) for row in self.rows(False) for variant in row.variants}
        for target in report.rows_of(os.path.join(report.HERE, "targets.csv")):
            self.assertIn((target["row"], target["variant"]), have)
            self.assertIn(target["metric"], figures.METRICS)
            row, _, other = target["against"].partition("@")
            if other:
                self.assertIn((row or target["row"], other.partition(":")[0]), have)
            report.wanted(target)
            report.against(target)

    def test_names_of_rows_are_unique_and_a_quick_run_has_each_section(self):
        for quick in (False, True):
            keys = [row.key for row in self.rows(quick)]
            self.assertEqual(len(keys), len(set(keys)))
            self.assertEqual({key.split("/")[0] for key in keys}, set(run.SECTIONS))


if __name__ == "__main__":
    unittest.main()
