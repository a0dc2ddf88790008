#!/usr/bin/env python3
"""What imports read is noted, and brought into the kernel's caches before the next first import."""
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MODULES = 60
FILES = {"big/__init__.py": "", "big/data.bin": "\0" * 700_000, "big/never.py": "v = 1\n",
         **{f"big/sub{i}/__init__.py": f"v = {i}\n" for i in range(MODULES)},
         **{f"big/m{i}.py": f"v = {i}\n" for i in range(MODULES)}}
IMPORT = ("import importlib, pathlib, big\n"
          f"for i in range({MODULES}):\n"
          "    importlib.import_module(f'big.sub{i}')\n    importlib.import_module(f'big.m{i}')\n"
          "with open(pathlib.Path(big.__file__).with_name('data.bin'), 'rb') as file:\n"
          "    file.seek(600_000)\n    assert len(file.read()) == 100_000\n")
ASKING = ("LOOKUP", "READ", "READDIR", "READDIRPLUS", "GETATTR")


class Warm(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("warm")
        self.addCleanup(self.box.close)
        self.box.env["VENVFS_WARM"] = ""
        self.wheel = harness.make_wheel(self.box.root, "big", "1.0", FILES)
        self.profiles = self.box.venvfs_home / "profiles.sqlite"

    def environment(self, name):
        self.box.create(name, "--without-pip")
        self.box.venvfs("install", "-n", name, self.wheel)
        return self.box.hub / name

    def python(self, env, code):
        harness.run([env / "bin" / "python", "-c", code], env=self.box.env)

    def messages(self):
        return self.box.json("status")["messages"]

    def noted(self):
        """Rows of the profiles; none while there is no file."""
        if not self.profiles.exists():
            return []
        base = sqlite3.connect(f"file:{self.profiles}?mode=ro", uri=True, timeout=10)
        try:
            return base.execute("SELECT image, node, slice, rank FROM touched ORDER BY rank").fetchall()
        finally:
            base.close()

    def walks(self):
        """Processes of `venvfs warm` of this box."""
        found = []
        for pid in self.box.processes():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"warm" in words[1:2]:
                found.append(pid)
        return found

    def quiet(self):
        """No walk goes on, and none begins."""
        calm = 0
        for _ in range(600):
            calm = 0 if self.walks() else calm + 1
            if calm == 5:
                return
            time.sleep(0.1)
        self.fail("a walk that does not end")

    def learn(self):
        """Has an import noted, in an environment of its own."""
        self.python(self.environment("teacher"), IMPORT)
        harness.wait_until(lambda: len(self.noted()) > 2 * MODULES, 30)
        self.assertGreater(len(self.noted()), 2 * MODULES)
        self.quiet()

    def first_import(self, name):
        """Messages of the first import of a new environment, once it had time to be walked."""
        env = self.environment(name)
        self.quiet()
        before = self.messages()
        self.python(env, IMPORT)
        after = self.messages()
        return sum(after[kind] - before.get(kind, 0) for kind in ASKING if kind in after)

    def test_the_first_import_of_a_new_environment_asks_for_little(self):
        self.learn()
        warmed = self.first_import("pupil")
        self.box.venvfs("umount", "--all")
        self.box.env["VENVFS_WARM"] = "off"
        cold = self.first_import("cold")
        self.assertGreater(cold, 6 * MODULES)
        self.assertLess(warmed, cold / 4)

    def test_a_new_daemon_walks_when_the_first_import_begins(self):
        self.learn()
        self.box.venvfs("umount", "--all")
        self.box.venvfs("status")
        env = self.box.hub / "teacher"
        self.box.venvfs("run", "-n", "teacher", "--", "true")
        self.quiet()
        self.box.venvfs("umount", "--all")
        self.python(env, "import big; import time; time.sleep(3)")  # the stub starts the daemon
        self.quiet()
        before = self.messages()
        self.python(env, IMPORT)
        after = self.messages()
        self.assertLess(sum(after[k] - before.get(k, 0) for k in ASKING if k in after), 2 * MODULES)

    def test_an_order_is_kept_and_no_row_changes(self):
        self.learn()
        first = self.noted()
        self.assertEqual([row[3] for row in first], list(range(1, len(first) + 1)))
        self.assertEqual(len({row[:3] for row in first}), len(first))
        self.python(self.box.hub / "teacher", "import big.never")
        harness.wait_until(lambda: len(self.noted()) > len(first), 30)
        self.assertEqual(self.noted()[:len(first)], first)
        self.assertEqual(len(self.noted()), len(first) + 1)

    def test_slices_of_a_big_file(self):
        self.learn()
        slices = {}
        for image, node, number, _ in self.noted():
            slices.setdefault((image, node), set()).add(number)
        self.assertIn({2}, slices.values())  # 700,000 bytes, of which the end was read

    def test_other_programs_and_sources_teach_nothing(self):
        env = self.environment("read")
        site = next(env.glob("lib/python3*/site-packages"))
        harness.run(["grep", "-rc", "v = ", site], env=self.box.env)
        self.python(env, f"import pathlib; [p.read_bytes() for p in pathlib.Path({str(site)!r}).glob('big/*.py')]")
        time.sleep(2.5)
        big = {row for row in self.noted()}
        self.assertLess(len(big), 5)  # of the interpreter's own start in the environment

    def test_what_is_off_starts_no_walk(self):
        self.learn()
        self.box.venvfs("umount", "--all")
        self.box.env["VENVFS_WARM"] = "off"
        before_env = self.environment("off")
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            self.assertEqual(self.walks(), [])
        self.python(before_env, IMPORT)
        self.assertEqual(self.walks(), [])

    def test_damaged_profiles_are_begun_anew(self):
        self.learn()
        self.box.venvfs("umount", "--all")
        self.profiles.write_bytes(b"this is no database, and it is long enough to be one" * 100)
        self.python(self.environment("again"), IMPORT)
        harness.wait_until(lambda: self.sound(), 30)
        self.assertTrue(self.sound())

    def sound(self):
        try:
            return len(self.noted()) > MODULES
        except sqlite3.DatabaseError:
            return False

    def test_hostile_numbers_are_passed_over(self):
        self.learn()
        self.box.venvfs("umount", "--all")
        image = self.noted()[0][0]
        base = sqlite3.connect(self.profiles)
        with base:
            base.executemany("INSERT OR REPLACE INTO touched VALUES (?, ?, ?, ?)",
                             [(image, 1 << 31, 0, 1), (image, -1, 0, 2), (image, 0, 0, 3),
                              (image, 5, 1 << 40, 4), (image, 2, -7, 5)])
        base.close()
        self.assertLess(self.first_import("pupil"), 2 * MODULES)
        log = (self.box.venvfs_home / "daemon.log").read_text()
        self.assertNotIn("failed", log)

    def test_a_walk_is_no_use_of_an_environment(self):
        self.learn()
        for _ in range(5):
            self.environment("brief")
            self.box.venvfs("remove", "brief")
        self.quiet()

    def test_a_walk_ends_with_the_daemon(self):
        self.learn()
        self.environment("last")
        self.box.venvfs("umount", "--all")
        self.assertEqual(self.walks(), [])

    def test_what_was_edited_is_shown_as_edited(self):
        self.learn()
        env = self.environment("edited")
        module = next(env.glob("lib/python3*/site-packages/big/m1.py"))
        module.write_text("v = 'edited'\n")
        self.quiet()
        module.with_name("new.py").write_text("v = 'new'\n")
        self.python(env, IMPORT + "import big.m1, big.new; assert (big.m1.v, big.new.v) == ('edited', 'new')\n"
                    "open(big.new.__file__).read()")


if __name__ == "__main__":
    harness.main()
