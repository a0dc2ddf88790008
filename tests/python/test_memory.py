#!/usr/bin/env python3
"""The daemon's memory (RssAnon + RssShmem): below 30 MiB with the three sets in use, below 60 MiB with
a thousand environments."""
import os
import pathlib
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MIB = 1 << 20
MANY = int(os.environ.get("VENVFS_TEST_MANY", "1000"))


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024
               for field in ("RssAnon", "RssShmem"))


class Memory(unittest.TestCase):
    def test_three_sets_in_use(self):
        box = harness.sets().sandbox
        for name in harness.SETS:
            harness.run([harness.sets().path[name] / "bin" / "python",
                         harness.corpus() / "imports" / f"{name}.py"], env=box.env)
            harness.tree_digest(harness.sets().path[name])  # every file is read once
        used = memory(box.daemon_pid())
        print(f"three sets in use: {used / MIB:.1f} MiB")
        self.assertLess(used, 30 * MIB)

    def test_a_thousand_environments(self):
        with harness.Sandbox("many") as box:
            wheels = box.root / "wheels"
            wheels.mkdir()
            lock = box.root / "lock.txt"
            lock.write_text(harness.lock_text(
                harness.make_wheel(wheels, "one", "1.0", {"one/__init__.py": "x = 1\n"})))
            start = time.monotonic()
            for i in range(MANY):
                env = box.create(f"env{i}", "-r", lock)
                self.assertTrue((env / "bin" / "python").is_symlink())
            print(f"{MANY} environments in {time.monotonic() - start:.1f} s")
            for i in range(MANY):
                env = box.hub / f"env{i}"
                site = next((env / "lib").glob("python3*")) / "site-packages"
                self.assertEqual((site / "one" / "__init__.py").read_text(), "x = 1\n")
            used = memory(box.daemon_pid())
            print(f"{MANY} environments in view: {used / MIB:.1f} MiB")
            self.assertLess(used, 60 * MIB)


if __name__ == "__main__":
    harness.main()
