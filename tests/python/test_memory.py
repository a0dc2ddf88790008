#!/usr/bin/env python3
"""The daemon's memory (RssAnon + RssShmem): below 30 MiB with the three sets in use, below 60 MiB with
a thousand environments of thirty packages each."""
import os
import pathlib
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MIB = 1 << 20
PACKAGES = 30
MANY = int(os.environ.get("VENVFS_TEST_MANY", "1000"))


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024
               for field in ("RssAnon", "RssShmem"))


def package(folder, i):
    """One of thirty: a package, every third with a part of the namespace package `shared`."""
    files = {f"pkg{i}/__init__.py": f"x = {i}\n"}
    files.update({f"pkg{i}/m{j}.py": f"y = {i * j}\n" for j in range(8)})
    if i % 3 == 0:
        files[f"shared/part{i}/__init__.py"] = f"x = {i}\n"
    return harness.make_wheel(folder, f"pkg{i}", "1.0", files,
                              entry_points=f"[console_scripts]\npkg{i} = pkg{i}:x\n")


def look(test, site, i):
    """Lists the merged folders of an environment and reads a file of package i."""
    shared = [f"part{j}" for j in range(0, PACKAGES, 3)]
    test.assertEqual(sorted(os.listdir(site / "shared")), sorted(shared))
    test.assertLess({f"pkg{j}" for j in range(PACKAGES)}, set(os.listdir(site)))
    test.assertIn(f"pkg{i}", os.listdir(site.parent.parent.parent / "bin"))
    test.assertEqual((site / f"pkg{i}" / "__init__.py").read_text(), f"x = {i}\n")


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
            lock.write_text(harness.lock_text(*(package(wheels, i) for i in range(PACKAGES))))
            start = time.monotonic()
            for i in range(MANY):
                env = box.create(f"env{i}", "-r", lock)
                self.assertTrue((env / "bin" / "python").is_symlink())
            print(f"{MANY} environments in {time.monotonic() - start:.1f} s")
            for i in range(MANY):
                site = next((box.hub / f"env{i}" / "lib").glob("python3*")) / "site-packages"
                look(self, site, i % PACKAGES)
            used = memory(box.daemon_pid())
            print(f"{MANY} environments in view: {used / MIB:.1f} MiB")
            self.assertLess(used, 60 * MIB)


if __name__ == "__main__":
    harness.main()
