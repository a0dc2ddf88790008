#!/usr/bin/env python3
"""The life of an environment: its generations, what differs between two, copies, names, its end, and
leaving venvfs by an export. Half of it needs no mount; what does is in classes named Live."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

needs_mount = unittest.skipIf(harness.fuse_problem(), str(harness.fuse_problem()))


def setUpModule():
    global WHEELS, BOX, SCRATCH
    SCRATCH = harness.Sandbox("life")
    unittest.addModuleCleanup(SCRATCH.close)
    WHEELS = SCRATCH.root / "wheels"
    WHEELS.mkdir()
    for version in ("1.0", "2.0"):
        harness.make_wheel(WHEELS, "thing", version, {
            "thing/__init__.py": f"v = {version!r}\n",
            "thing/data.txt": f"data of {version}\n" * 20,
            "thing/sub/__init__.py": "", "thing/sub/deep.py": f"deep = {version!r}\n",
            "thing/tool.sh": "#!/bin/sh\necho tool\n"},
            requires=("part",), entry_points="[console_scripts]\nthing = thing:main\n")
    harness.make_wheel(WHEELS, "part", "1.0", {"part/__init__.py": "v = 1\n"})
    harness.make_wheel(WHEELS, "other", "3.1", {"other.py": "v = 3.1\n"})
    BOX = box("cold", VENVFS_NO_DAEMON="1")


def box(label, **variables):
    """A sandbox with the wheels at hand, closed with the module."""
    made = harness.Sandbox(label)
    unittest.addModuleCleanup(made.close)
    made.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), **variables)
    return made


def lock(name, *wheels):
    path = SCRATCH.root / f"{name}.txt"
    path.write_text(harness.lock_text(*(WHEELS / f"{wheel}-py3-none-any.whl" for wheel in wheels)))
    return path


def packages(sandbox, name):
    return {row["name"]: row["version"] for row in sandbox.json("show", name)["packages"]
            if not row["seed"]}


class Life(unittest.TestCase):
    """Environments named after the test, so that they do not meet."""
    box = property(lambda self: BOX)

    @property
    def name(self):
        return self.id().rpartition(".")[2].replace("test_", "")[:40]

    def three_generations(self):
        """1: thing 1.0 and part; 2: thing 2.0; 3: without thing, with other. Returns the name."""
        self.box.create(self.name, "-r", lock("one", "thing-1.0", "part-1.0"))
        self.box.venvfs("install", "-n", self.name, "thing==2.0")
        self.box.venvfs("sync", "-n", self.name, "-r", lock("three", "part-1.0", "other-3.1"))
        return self.name

    def generations(self, name=None):
        return self.box.json("history", "-n", name or self.name)["generations"]


class History(Life):
    def test_newest_first_with_what_changed(self):
        name = self.three_generations()
        rows = self.generations()
        self.assertEqual([row["generation"] for row in rows], [3, 2, 1])
        self.assertEqual([row["current"] for row in rows], [True, False, False])
        self.assertEqual([row["reason"] for row in rows], ["sync", "install thing==2.0", "create"])
        self.assertEqual(rows[1]["changes"], {
            "added": [], "removed": [], "changed": [{"name": "thing", "from": "1.0", "to": "2.0"}]})
        self.assertEqual(rows[0]["changes"]["added"], [{"name": "other", "version": "3.1"}])
        self.assertEqual(rows[0]["changes"]["removed"], [{"name": "thing", "version": "2.0"}])
        self.assertRegex(rows[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        text = self.box.venvfs("history", name).stdout
        self.assertRegex(text, r"(?m)^\* 3  \S+ \S+  sync\n +\+ other 3\.1\n +- thing 2\.0\n  2  ")
        self.assertIn("~ thing 1.0 -> 2.0", text)
        self.assertEqual(text, self.box.venvfs("history", "-n", name).stdout)

    def test_what_a_killed_command_left_is_no_generation(self):
        name = self.three_generations()
        folder = self.box.venvfs_home / "envs" / name
        shutil.copy(folder / "3.json", folder / "4.json")
        (folder / "5.json.tmp").touch()
        self.assertEqual([row["generation"] for row in self.generations()], [3, 2, 1])

    def test_a_damaged_generation_is_named_and_the_others_are_listed(self):
        name = self.three_generations()
        (self.box.venvfs_home / "envs" / name / "2.json").write_text("{")
        done = self.box.venvfs("history", name, "--json", status=1)
        self.assertIn("2.json", done.stderr)
        self.assertEqual([row["generation"] for row in json.loads(done.stdout)["generations"]],
                         [3, 1])

    def test_a_long_list_is_cut_for_people_only(self):
        wheels = [harness.make_wheel(WHEELS, f"many{i:02}", "1", {f"many{i:02}.py": ""}).name
                  for i in range(15)]
        many = lock("many", *(wheel.removesuffix("-py3-none-any.whl") for wheel in wheels))
        self.box.create(self.name, "--without-pip")
        self.box.venvfs("sync", "-n", self.name, "-r", many)
        self.assertIn("... and 6 more", self.box.venvfs("history", self.name).stdout)
        self.assertEqual(len(self.generations()[0]["changes"]["added"]), 15)

    def test_nothing_to_list_is_an_error(self):
        self.assertIn("no environment", self.box.venvfs("history", "-n", "nobody", status=1).stderr)
        self.box.venvfs("history", "a", "-n", "b", status=2)


class Rollback(Life):
    def test_the_one_before_comes_back_as_a_new_generation(self):
        name = self.three_generations()
        done = self.box.venvfs("rollback", "-n", name)
        self.assertEqual(done.stdout, "")
        self.assertIn("+ thing 2.0", done.stderr)
        self.assertIn("- other 3.1", done.stderr)
        self.assertNotIn("stays on top", done.stderr)
        self.assertEqual(packages(self.box, name), {"thing": "2.0", "part": "1.0"})
        rows = self.generations()
        self.assertEqual((rows[0]["generation"], rows[0]["reason"]), (4, "rollback to 2"))
        self.box.venvfs("rollback", "-n", name)
        self.assertEqual(packages(self.box, name), {"other": "3.1", "part": "1.0"})

    def test_a_numbered_one(self):
        name = self.three_generations()
        first = SCRATCH.root / f"{name}-plain"
        again = SCRATCH.root / f"{name}-again"
        self.box.venvfs("rollback", "-n", name, "1")
        self.assertEqual(packages(self.box, name), {"thing": "1.0", "part": "1.0"})
        self.box.venvfs("materialize", "-n", name, first)
        self.box.venvfs("rollback", "-n", name, "3")
        self.box.venvfs("rollback", "-n", name, "1")
        self.box.venvfs("materialize", "-n", name, again)
        trees = [harness.tree_digest(tree) for tree in (first, again)]
        differing = {path for path in trees[0] | trees[1] if trees[0].get(path) != trees[1].get(path)}
        # They name their own folder.
        self.assertTrue(all(path.startswith("bin/") or path == "pyvenv.cfg" for path in differing))

    def test_the_current_one_changes_nothing(self):
        name = self.three_generations()
        done = self.box.venvfs("rollback", "-n", name, "3")
        self.assertIn("as generation 3 already", done.stderr)
        self.assertEqual(self.generations()[0]["generation"], 3)

    def test_what_there_is_not(self):
        self.box.create(self.name)
        done = self.box.venvfs("rollback", "-n", self.name, status=1)
        self.assertIn("only one generation", done.stderr)
        done = self.box.venvfs("rollback", "-n", self.name, "7", status=1)
        self.assertIn("no generation 7", done.stderr)
        for word in ("0", "-1", "x", "1x", "99999999999999999999"):
            self.box.venvfs("rollback", "-n", self.name, "--", word, status=2)

    def test_images_that_are_gone_are_named_and_nothing_changes(self):
        own = box("gone", VENVFS_NO_DAEMON="1")
        own.create("e", "-r", lock("one", "thing-1.0", "part-1.0"))
        own.venvfs("sync", "-n", "e", "-r", lock("three", "part-1.0", "other-3.1"))
        listing = own.json("store", "ls")["images"]
        image = next(row["image"] for row in listing if row["name"] == "thing")
        for file in (own.venvfs_home / "store" / "images").glob(f"*{image}*"):
            file.unlink()
        done = own.venvfs("rollback", "-n", "e", status=1)
        self.assertIn("thing 1.0", done.stderr)
        self.assertIn("hint: venvfs install -n e thing==1.0", done.stderr)
        self.assertEqual(packages(own, "e"), {"part": "1.0", "other": "3.1"})

    def test_the_place_and_the_project_stay(self):
        folder = self.box.project(self.name, lock("one", "thing-1.0", "part-1.0").read_text())
        self.box.venvfs("mount", "-p", harness.default_python(), folder)
        moved = folder.with_name(folder.name + "-moved")
        folder.rename(moved)
        self.box.venvfs("mount", moved)
        self.box.venvfs("rollback", cwd=moved)
        facts = self.box.json("show", str(moved))
        self.assertEqual(facts["address"], str(moved / ".venv"))
        self.assertEqual(facts["project"], str(moved))


if __name__ == "__main__":
    harness.main(needs_fuse=False)
