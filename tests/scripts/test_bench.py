#!/usr/bin/env python3
"""bench/run without measuring: the harness, what it writes, what it refuses, and that nothing is left."""
import contextlib
import inspect
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as xml
from unittest import mock

BENCH = pathlib.Path(__file__).resolve().parent.parent.parent / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True
import harness
import measures
import picture
import report

SOURCE = 'venvfs 0.1.0; Python 3.11.7; A "processor", 2 CPUs; root; 2026-01-31'
USER = 65534  # nobody
SVG = "{http://www.w3.org/2000/svg}"


def row(measure, what, ours, theirs=None, **more):
    """A row as Bench.row makes it. ours, theirs: Spread, Size or text."""
    bench = harness.Bench.__new__(harness.Bench)
    bench.rows, bench.show = [], lambda line: None
    if theirs is not None and hasattr(ours, "median"):
        bench.compare(measure, what, ours, theirs, **more)
    else:
        bench.row(measure, what, ours, theirs, **more)
    return bench.rows[0]


def left_out(measure, what, why, failed=False):
    bench = harness.Bench.__new__(harness.Bench)
    bench.rows, bench.show = [], lambda line: None
    bench.left_out(measure, what, why, failed)
    return bench.rows[0]


def result(*rows):
    return {"command": "bench/run --json <a> & b", "date": "2026-01-31", "venvfs": "venvfs 0.1.0",
            "python": "Python 3.11.7", "machine": "A \"processor\", 2 CPUs", "user": "root", "complete": True,
            "rows": list(rows)}


SPREAD = report.Spread
WEB = row("create", "web, packages stored", SPREAD([0.009, 0.010, 0.012]), SPREAD([0.5, 0.6, 0.7]),
          title="a new environment", label="web", note="without bytecode")
DATA = row("create", "data, packages stored", SPREAD([0.018]), SPREAD([1.8]), title="a new environment",
           label="data")
REMOVED = row("write", "web, rm -rf", SPREAD([3.6]), SPREAD([0.9]), bar=1.25, title="`rm -rf` of <all>",
              label="web",
              messages={"UNLINK": 40, "RMDIR": 2})
DISK = row("disk", "data", report.Size(370_000_000), report.Size(1_253_000_000), title="on disk", label="data")
UNSEEN = row("unseen", "data, lock never seen", SPREAD([0.124]), bar="250 ms", ok=True, title="a lock never seen")
COLD = left_out("cold", "web, caches dropped", "only root can drop the caches")
ALL = (WEB, REMOVED, DATA, DISK, UNSEEN, COLD)


class Figures(unittest.TestCase):
    def test_a_spread_is_its_median_with_minimum_and_maximum(self):
        spread = SPREAD([0.3, 0.1, 0.2, 0.9])
        self.assertEqual((spread.median, str(spread)), (0.25, "250 ms (100-900)"))
        self.assertEqual(str(SPREAD([2.5, 1.5, 7.25])), "2.5 s (1.5-7.25)")
        self.assertEqual(str(SPREAD([123.4, 150], "MB/s")), "136.7 MB/s (123.4-150)")

    def test_sizes(self):
        self.assertEqual([str(report.Size(n)) for n in (32768, 370_123_456)], ["32.0 KiB", "370.1 MB"])
        self.assertEqual(str(report.Size(33634, "inodes")), "33,634 inodes")

    def test_a_comparison_keeps_its_bar_up_to_it(self):
        self.assertEqual([row("x", "y", SPREAD([ours]), SPREAD([1]), bar=1.25)["within"] for ours in (1.25, 1.26)],
                         [True, False])

    def test_lines_of_the_table(self):
        line = report.line_of(REMOVED)
        for part in ("write", "web, rm -rf", "venvfs 3.6 s", "plain 900 ms", "ratio 4.000", "(bar 1.25: NO)",
                     "messages 42"):
            self.assertIn(part, line)
        self.assertIn("left out: only root can drop the caches", report.line_of(COLD))
        self.assertIn("FAILED: uv: exit 1", report.line_of(left_out("x", "y", "uv: exit 1", failed=True)))


    def test_the_header_names_command_machine_and_date(self):
        header = report.header(["--only", "disk"], "venvfs 9", "/proc/self")
        self.assertEqual((header["command"], header["venvfs"]), ("bench/run --only disk", "venvfs 9"))
        self.assertRegex(header["date"], r"^\d{4}-\d\d-\d\d$")
        self.assertRegex(header["machine"], r", \d+ CPUs, \d+ GiB, Linux [0-9.]+.*, proc, load [0-9.]+ before$")


class Running(unittest.TestCase):
    def test_sides_take_turns_and_each_begins_a_round(self):
        calls = []
        times = harness.interleaved(3, {side: lambda side=side: calls.append(side) or len(calls) for side in "abc"})
        self.assertEqual("".join(calls), "abcbcacab")
        self.assertEqual(times["a"].values, [1, 6, 8])

    def test_a_command_that_fails_is_named_with_what_it_said(self):
        with self.assertRaisesRegex(harness.Failed, r"sh -c .*: exit 3\nno wheel"):
            harness.run(["sh", "-c", "echo no wheel >&2; exit 3"])
        with self.assertRaisesRegex(harness.Failed, "exits .*4"):
            harness.together(["sh", "-c", "exit 4"], 3)
        with self.assertRaisesRegex(harness.Failed, r"exit 5\nwhy"):
            harness.spent(["sh", "-c", "echo why; exit 5"])

    def test_cpu_time_of_children_is_told_from_a_command_s_own(self):
        burn = "import time\nwhile time.process_time() < 0.4: pass"
        _, own, children = harness.spent(["sh", "-c", f"{sys.executable} -c '{burn}'; true"])
        self.assertGreaterEqual(children, 0.35)
        self.assertLess(own, 0.2)

    def test_hard_links_count_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a")
            path.write_bytes(b"x" * 8192)
            alone = harness.usage(folder)
            os.link(path, path.with_name("b"))
            self.assertEqual(harness.usage(folder), alone)
            self.assertEqual(alone[1], 2)

    def test_an_ordinary_user_s_read_only_folders_are_removed(self):
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder, "run")
            (run / "hub" / "stub").mkdir(parents=True)
            (run / "hub" / "stub" / "python").symlink_to("/")
            (run / "hub" / "stub").chmod(0o555)
            (run / "hub").chmod(0o555)
            if os.getuid() == 0:
                for path in (folder, run, run / "hub", run / "hub" / "stub"):
                    os.chown(path, USER, USER)
            child = os.fork()
            if child == 0:
                try:
                    with contextlib.suppress(PermissionError):
                        os.setgid(USER)
                        os.setuid(USER)
                    harness.Bench.__new__(harness.Bench).clear(str(run))
                finally:
                    os._exit(run.exists())
            self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_only_folders_of_runs_that_ended_are_swept(self):
        with tempfile.TemporaryDirectory() as cache, mock.patch.object(harness, "CACHE", cache):
            ended, alive, unknown = (pathlib.Path(cache, "run-" + name) for name in ("ended", "alive", "unknown"))
            for folder in (ended, alive, unknown):
                folder.mkdir()
            harness.Bench.held(ended).close()
            with harness.Bench.held(alive):
                harness.Bench.__new__(harness.Bench).sweep()
                self.assertEqual([folder.exists() for folder in (ended, alive, unknown)], [False, True, True])


class Registry(unittest.TestCase):
    def test_each_measure_is_registered_once_and_is_there(self):
        names = [m.name for m in measures.here()]
        self.assertEqual(len(names), len(set(names)))
        for name in names:
            inspect.signature(measures.function(name)).bind("a Bench")

    def test_no_measure_is_forgotten(self):
        text = "".join(path.read_text() for path in BENCH.glob("*.py"))
        written = set(re.findall(r"^def measure_(\w+)\(", text, re.M))
        self.assertEqual({m.name.replace("-", "_") for m in measures.here()}, written)


class Picture(unittest.TestCase):
    def setUp(self):
        self.text = picture.svg(result(*ALL))
        self.root = xml.fromstring(self.text)

    def bars(self):
        return [rect for rect in self.root.iter(SVG + "rect") if rect.get("class") in ("less", "more")]

    def words(self):
        return " ".join(text.text for text in self.root.iter(SVG + "text"))

    def test_each_ratio_has_a_bar_a_number_and_a_sentence(self):
        self.assertEqual(len(self.bars()), 4)
        said = self.root.find(SVG + "desc").text
        for one in (WEB, REMOVED, DATA, DISK):
            self.assertIn(report.ratio_text(one["ratio"]), self.words())
            self.assertIn(picture.sentence(one).replace("`", ""), said)
        for figures in ("10 ms / 600 ms", "3.6 s / 900 ms", "370 MB / 1,253 MB", "plain: without bytecode"):
            self.assertIn(figures, self.words())
        self.assertIn("rm -rf of <all>", self.words())

    def test_rows_of_one_title_stand_together(self):
        titles = [group.find(SVG + "title").text.split(":")[0] for group in self.root.iter(SVG + "g")]
        self.assertEqual(titles, ["a new environment"] * 2 + ["`rm -rf` of <all>", "on disk"])

    def test_bars_are_as_long_as_their_ratios_and_a_long_one_is_cut(self):
        per_ratio = (picture.BARS_END - picture.BARS_X) / picture.LIMIT
        disk = self.bars()[3]
        self.assertAlmostEqual(float(disk.get("width")) / per_ratio, 370 / 1253, places=2)
        cuts = [path for path in self.root.iter(SVG + "path") if path.get("class") == "cut"]
        self.assertEqual((float(self.bars()[2].get("width")), len(cuts)), (picture.LIMIT * per_ratio, 1))
        self.assertEqual([bar.get("class") for bar in self.bars()], ["less", "less", "more", "less"])

    def test_it_stays_within_its_page(self):
        height = float(self.root.get("height"))
        for text in self.root.iter(SVG + "text"):
            self.assertLess(float(text.get("y")), height)
            self.assertLess(float(text.get("x")), picture.WIDTH)

    def test_it_names_its_source_brings_its_background_and_loads_nothing(self):
        for word in ("bench/run --json <a> & b", 'A "processor", 2 CPUs', "2026-01-31"):
            self.assertIn(word, self.words())
        self.assertEqual(self.root.find(SVG + "rect").get("class"), "page")
        self.assertIn("prefers-color-scheme: dark", self.text)
        for outside in ("href", "url(", "@import", "<script", "<image"):
            self.assertNotIn(outside, self.text)

    def test_a_run_without_a_ratio_still_gives_a_picture(self):
        self.assertIsNotNone(xml.fromstring(picture.svg(result(UNSEEN, COLD))))


class Markdown(unittest.TestCase):
    def test_rows_with_a_title_and_what_was_not_measured(self):
        lines = report.markdown(result(*ALL)).splitlines()
        self.assertEqual(lines[2:7], [
            "| a new environment: web | 10 ms | 600 ms, without bytecode | 0.017 |",
            "| data | 18 ms | 1.8 s | 0.010 |",
            "| `rm -rf` of <all>: web | 3.6 s | 900 ms | 4.00 |",
            "| on disk: data | 370 MB | 1,253 MB | 0.30 |",
            "| a lock never seen | 124 ms |  |  |"])
        self.assertIn("`bench/run --json <a> & b`: " + SOURCE + ".", lines)
        self.assertIn("Not measured: web, caches dropped: only root can drop the caches.", lines)


class Command(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vf-bench-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.env = dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache"))
        self.program = self.stub("venvfs", 'case "$1" in --version) echo "venvfs 9" ;; python) echo %s ;; esac'
                                 % sys.executable)

    def stub(self, name, script):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n%s\n" % script)
        path.chmod(0o755)
        return path

    def bench(self, *words, status=0):
        done = subprocess.run([sys.executable, BENCH / "run", *map(str, words)], text=True, env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def cache(self):
        return sorted(name for name in os.listdir(self.folder / "cache" / "venvfs-bench") if name.startswith("run-"))

    def test_list_has_each_measure_with_a_line(self):
        lines = self.bench("--list").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], [m.name for m in measures.here()])
        self.assertTrue(all(len(line.split()) > 3 for line in lines))

    def test_what_it_does_not_know_is_refused(self):
        self.assertIn("no such measure: nope (", self.bench("--only", "create,nope", status=2).stderr)
        self.assertIn("no lock of nope", self.bench("--sets", "web,nope", status=2).stderr)
        self.assertIn("is not built", self.bench("--venvfs", self.folder / "none", status=2).stderr)
        self.assertIn("a median needs a round", self.bench("--rounds", "0", status=2).stderr)
        self.assertIn("none.json", self.bench("--from", self.folder / "none.json", status=1).stderr)

    def test_outputs_of_an_earlier_run(self):
        earlier, drawn = self.folder / "run.json", self.folder / "run.svg"
        earlier.write_text(json.dumps(result(*ALL)))
        said = self.bench("--from", earlier, "--svg", drawn, "--markdown", status=1).stdout  # rm -rf is over its bar
        self.assertEqual(said, report.markdown(result(*ALL)) + "\n")
        self.assertEqual(drawn.read_text(), picture.svg(result(*ALL)))
        table = self.bench("--from", earlier, "--only", "disk,cold").stdout.splitlines()
        self.assertEqual(table, ["# bench/run --json <a> & b", "# " + SOURCE,
                                 report.line_of(DISK), report.line_of(COLD)])

    def test_a_measure_that_fails_is_a_row_and_the_next_one_runs(self):
        self.stub("cache/venvfs-bench/tools/bin/uv", "echo no index >&2; exit 9")
        out = self.folder / "out.json"
        said = self.bench("--only", "import,memory", "--venvfs", self.program, "--json", out, status=1).stdout
        written = json.loads(out.read_text())
        self.assertEqual([(r["measure"], r["within"]) for r in written["rows"]], [("import", False), ("memory", False)])
        self.assertEqual((written["complete"], written["python"], written["venvfs"]), 
                         (True, "Python " + platform.python_version(), "venvfs 9"))
        self.assertEqual(said.count("no index"), 2)
        self.assertEqual(self.cache(), [])

    def interrupted(self, number):
        self.stub("cache/venvfs-bench/tools/bin/uv", f"echo > {self.folder}/begun; exec sleep 60")
        out = self.folder / "out.json"
        bench = subprocess.Popen([sys.executable, BENCH / "run", "--only", "import", "--venvfs", self.program, "--json",
                                  out], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with contextlib.ExitStack() as stack:
            stack.callback(bench.wait)
            stack.callback(bench.kill)
            until = time.monotonic() + 30
            while not (self.folder / "begun").exists() and time.monotonic() < until:
                time.sleep(0.02)
            self.assertEqual(len(self.cache()), 1)
            bench.send_signal(number)
            said = bench.communicate(timeout=30)[1]
        self.assertEqual((bench.returncode, said), (130, ""))
        self.assertEqual(self.cache(), [])
        self.assertFalse(json.loads(out.read_text())["complete"])

    def test_ctrl_c_leaves_nothing_behind(self):
        self.interrupted(signal.SIGINT)

    def test_sigterm_leaves_nothing_behind(self):
        self.interrupted(signal.SIGTERM)


if __name__ == "__main__":
    done = unittest.main(exit=False, verbosity=2).result
    failed, skipped = len(done.failures) + len(done.errors), len(done.skipped)
    print(f"== {done.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(bool(failed))
