#!/usr/bin/env python3
"""The life of an environment: its generations, what differs between two, copies, names, its end, and
leaving venvfs by an export. Half of it needs no mount; what does is in classes named Live."""
import contextlib
import functools
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


class Diff(Life):
    def test_generations_and_environments(self):
        name = self.three_generations()
        other = name + "-b"
        self.box.create(other, "--without-pip", "-r", lock("two", "thing-2.0", "part-1.0"))
        facts = self.box.json("diff", f"{name}@1", f"{name}@3")
        self.assertEqual(facts["packages"]["added"], [{"name": "other", "version": "3.1"}])
        self.assertEqual(facts["packages"]["removed"], [{"name": "thing", "version": "1.0"}])
        self.assertEqual((facts["from"]["generation"], facts["to"]["generation"]), (1, 3))
        self.assertFalse(facts["to"]["now"])
        self.assertEqual(self.box.venvfs("diff", f"{name}@1", f"{name}@2").stdout,
                         "~ thing 1.0 -> 2.0\n")
        done = self.box.venvfs("diff", f"{name}@1")  # with now
        self.assertEqual(done.stdout, "+ other 3.1\n- thing 1.0\n")
        self.assertIn("+ thing 2.0\n", self.box.venvfs("diff", name, other).stdout)
        self.assertEqual(self.box.venvfs("diff", "-n", name, other).stdout,
                         self.box.venvfs("diff", name, other).stdout)

    def test_exit_codes(self):
        name = self.three_generations()
        self.box.venvfs("diff", f"{name}@1", f"{name}@2", status=0)
        self.box.venvfs("diff", f"{name}@1", f"{name}@2", "--exit-code", status=1)
        self.box.venvfs("diff", name, "--exit-code", status=0)
        self.box.venvfs("diff", f"{name}@9", "--exit-code", status=2)
        self.assertIn("no generation 9", self.box.venvfs("diff", f"{name}@9", status=1).stderr)

    def test_a_name_that_ends_like_a_generation(self):
        self.box.create("tricky@1", "--without-pip")
        self.assertEqual(self.box.json("diff", "tricky@1")["from"]["name"], "tricky@1")
        self.assertEqual(self.box.json("diff", "tricky@1@1")["from"]["name"], "tricky@1")


@functools.lru_cache(None)
def warm():
    """The sandbox of all classes that mount."""
    return box("warm")


class Live(Life):
    box = property(lambda self: warm())

    def make(self, name=None):
        """The site-packages of a new environment."""
        return self.site(self.box.create(name or self.name, "-r", lock("one", "thing-1.0", "part-1.0")))

    def site(self, path):
        return next((path / "lib").glob("python3*")) / "site-packages"

    @contextlib.contextmanager
    def running(self, script, python=None, **options):
        """A process of the environment's Python, ended with the block."""
        python = python or self.box.hub / self.name / "bin" / "python"
        script = f"print('ready', flush=True)\n{script}"
        with subprocess.Popen([python, "-c", script], stdout=subprocess.PIPE,
                              **{"env": self.box.env, "cwd": "/", **options}) as process:
            try:
                self.assertEqual(process.stdout.readline(), b"ready\n")
                yield process
            finally:
                process.kill()

    def version(self, path):
        return harness.run([path / "bin" / "python", "-c", "import thing; print(thing.v)"],
                           env=self.box.env).stdout.strip()


@needs_mount
class LiveEdits(Live):
    """What is changed inside a mounted environment."""

    def edits(self, name=None):
        """[(letter, path below site-packages, source)]"""
        rows = self.box.json("diff", name or self.name)["from"]["edits"]
        site = re.compile("lib/python[^/]*/site-packages/")
        return [(row["kind"], site.sub("", row["path"])) +
                ((site.sub("", row["source"]),) if "source" in row else ()) for row in rows]

    def test_nothing_changed(self):
        self.make()
        self.assertEqual(self.edits(), [])
        self.assertEqual(self.box.venvfs("diff", self.name, "--exit-code").stdout, "")

    def test_each_letter(self):
        site = self.make()
        (site / "new.py").write_text("x = 1\n")
        (site / "thing" / "data.txt").write_text("mine\n")
        (site / "thing" / "tool.sh").unlink()
        (site / "thing" / "empty").mkdir()
        os.rename(site / "part", site / "parted")
        self.assertEqual(self.edits(), [
            ("A", "new.py"), ("R", "parted", "part"), ("M", "thing/data.txt"), ("A", "thing/empty"),
            ("D", "thing/tool.sh")])
        lines = self.box.venvfs("diff", self.name, "--exit-code", status=1).stdout.splitlines()
        base = site.relative_to(self.box.hub / self.name)
        self.assertEqual(lines[1], f"R {base}/part/ -> {base}/parted/")
        self.assertEqual(lines[3], f"A {base}/thing/empty/")

    def test_bytes_decide(self):
        site = self.make()
        data = site / "thing" / "data.txt"
        text = data.read_bytes()
        data.write_bytes(text[:-1] + b"!")
        self.assertEqual(self.edits(), [("M", "thing/data.txt")])
        data.write_bytes(text)
        os.utime(data)
        os.utime(site / "part" / "__init__.py")
        self.assertEqual(self.edits(), [])
        os.chmod(site / "part" / "__init__.py", 0o600)
        self.assertEqual(self.edits(), [("M", "part/__init__.py")])
        self.assertIn("__init__.py (mode or owner)", self.box.venvfs("diff", self.name).stdout)
        os.chmod(site / "part" / "__init__.py", 0o644)
        self.assertEqual(self.edits(), [])

    def test_folders_that_are_removed_and_made_again(self):
        site = self.make()
        shutil.rmtree(site / "thing")
        self.assertEqual(self.edits(), [("D", "thing")])
        (site / "thing").mkdir()
        (site / "thing" / "__init__.py").write_text("again\n")
        (site / "thing" / "sub").mkdir()
        found = self.edits()
        self.assertIn(("M", "thing/__init__.py"), found)
        self.assertIn(("D", "thing/data.txt"), found)
        self.assertIn(("D", "thing/sub/deep.py"), found)
        self.assertNotIn(("D", "thing"), found)

    def test_renamed_aside_and_back_is_no_edit(self):
        site = self.make()
        os.rename(site / "thing", site / "~hing")
        self.assertEqual(self.edits(), [("R", "~hing", "thing")])
        os.rename(site / "~hing", site / "thing")
        self.assertEqual(self.edits(), [])

    def test_within_a_renamed_folder(self):
        site = self.make()
        os.rename(site / "thing", site / "moved")
        (site / "moved" / "data.txt").write_text("mine\n")
        os.rename(site / "moved" / "sub", site / "sub2")
        (site / "sub2" / "deep.py").unlink()
        self.assertEqual(self.edits(), [("R", "moved", "thing"), ("M", "moved/data.txt"),
                                        ("R", "sub2", "thing/sub"), ("D", "sub2/deep.py")])

    def test_a_file_for_a_folder_and_a_folder_for_a_file(self):
        site = self.make()
        shutil.rmtree(site / "part")
        (site / "part").write_text("a file\n")
        (site / "thing" / "data.txt").unlink()
        (site / "thing" / "data.txt").mkdir()
        (site / "thing" / "data.txt" / "x").touch()
        self.assertEqual(self.edits(), [("A", "part"), ("D", "part"), ("D", "thing/data.txt"),
                                        ("A", "thing/data.txt/x")])

    def test_strange_names_keep_to_their_line(self):
        site = self.make()
        (site / "two\nlines").touch()
        (pathlib.Path(os.fsdecode(os.fsencode(site) + b"/\xff"))).touch()
        done = self.box.venvfs("diff", self.name)
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertIn("two\\x0alines", done.stdout)
        self.assertEqual(len(self.edits()), 2)

    def test_what_a_mapping_wrote_is_seen(self):
        import mmap
        site = self.make()
        with open(site / "thing" / "data.txt", "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            view[:4] = b"MINE"
            self.assertEqual(self.edits(), [("M", "thing/data.txt")])

    def test_rollback_sets_those_of_packages_aside_and_says_so(self):
        site = self.make()
        self.box.venvfs("install", "-n", self.name, "thing==2.0")
        (site / "mine.py").write_text("mine = 1\n")
        (site / "thing" / "data.txt").write_text("mine\n")
        done = self.box.venvfs("rollback", "-n", self.name)
        self.assertIn(f"{self.box.venvfs_home}/envs/{self.name}/edits/2", done.stderr)
        self.assertEqual((site / "thing" / "__init__.py").read_text(), "v = '1.0'\n")
        self.assertNotEqual((site / "thing" / "data.txt").read_text(), "mine\n")
        self.assertTrue((site / "mine.py").exists())
        self.box.venvfs("rollback", "-n", self.name, "2")
        self.assertEqual((site / "thing" / "data.txt").read_text(), "mine\n")


class Clone(Life):
    def test_a_clone_has_what_the_other_has(self):
        name = self.three_generations()
        done = self.box.venvfs("clone", name, name + "-b")
        self.assertEqual(harness.one_line(done.stdout), str(self.box.hub / (name + "-b")))
        self.assertEqual(packages(self.box, name + "-b"), packages(self.box, name))
        rows = self.generations(name + "-b")
        self.assertEqual([(row["generation"], row["reason"]) for row in rows],
                         [(1, f"clone of {name}@3")])
        slots = {os.readlink(self.box.venvfs_home / "envs" / n / "slot") for n in (name, name + "-b")}
        self.assertEqual(len(slots), 2)
        self.box.venvfs("install", "-n", name + "-b", "thing==2.0")
        self.assertNotIn("thing", packages(self.box, name))

    def test_into_a_folder(self):
        self.box.create(self.name, "--without-pip", "--prompt", "mine")
        folder = self.box.root / "folders" / "copy"
        self.box.venvfs("clone", "-n", self.name, folder, "--prompt", "yours")
        self.assertEqual(self.box.json("show", str(folder))["address"], str(folder))
        self.assertTrue(os.path.islink(folder))
        other = SCRATCH.root / "out"
        self.box.venvfs("materialize", "-n", str(folder), other)
        self.assertIn("yours", (other / "pyvenv.cfg").read_text())

    def test_a_clone_of_a_project_is_bound_to_none(self):
        folder = self.box.project(self.name, lock("one", "thing-1.0", "part-1.0").read_text())
        self.box.venvfs("mount", "-p", harness.default_python(), folder)
        self.box.venvfs("clone", folder, self.name + "-b")
        self.assertIsNone(self.box.json("show", self.name + "-b")["project"])
        self.assertEqual(self.box.json("show", str(folder))["project"], str(folder))

    def test_what_is_refused_leaves_nothing(self):
        self.box.create(self.name, "--without-pip")
        self.assertIn("of itself", self.box.venvfs("clone", self.name, self.name, status=1).stderr)
        self.box.create(self.name + "-there", "--without-pip")
        before = sorted(os.listdir(self.box.venvfs_home / "envs"))
        done = self.box.venvfs("clone", self.name, self.name + "-there", status=1)
        self.assertIn("exists already", done.stderr)
        self.box.venvfs("clone", self.name + "-not", "x", status=1)
        self.box.venvfs("clone", self.name, status=2)
        (self.box.root / "taken").mkdir()
        self.box.venvfs("clone", self.name, self.box.root / "taken", status=1)
        self.assertEqual(sorted(os.listdir(self.box.venvfs_home / "envs")), before)

    def upper(self, name):
        return self.box.venvfs_home / "envs" / name / "upper"

    def test_everything_of_the_layer_is_copied(self):
        self.box.create(self.name, "--without-pip")
        upper = self.upper(self.name)
        (upper / "a" / "b").mkdir(parents=True)
        (upper / "a" / "one").write_bytes(b"x" * 300_000)
        os.link(upper / "a" / "one", upper / "a" / "b" / "two")
        os.symlink("nowhere", upper / "a" / "link")
        os.mkfifo(upper / "a" / "fifo", 0o640)
        with open(upper / "sparse", "wb") as file:
            file.truncate(64 << 20)
            file.seek(32 << 20)
            file.write(b"island")
        (upper / "a" / ".wh.gone").touch()
        for path, mode in (("a/one", b"444"), ("a/b", b"555")):
            os.setxattr(upper / path, "user.venvfs.mode", mode)
        os.chmod(upper / "a", 0o750)
        for path in ("a/one", "a/b", "a"):
            os.utime(upper / path, ns=(10**18, 10**18 + 5))
        for own in (".wh..wh..work", ".wh..wh..orphans"):
            (upper / own).mkdir()
            (upper / own / "rest").touch()
        self.box.venvfs("clone", self.name, self.name + "-b")
        copy = self.upper(self.name + "-b")
        self.assertEqual(harness.tree_digest(copy),
                         {path: what for path, what in harness.tree_digest(upper).items()
                          if not path.startswith(".wh..wh..")})
        self.assertEqual((copy / "a" / "one").stat().st_ino, (copy / "a/b/two").stat().st_ino)
        self.assertNotEqual((copy / "a" / "one").stat().st_ino, (upper / "a" / "one").stat().st_ino)
        self.assertTrue((copy / "a" / "fifo").is_fifo())
        self.assertLess((copy / "sparse").stat().st_blocks * 512, 1 << 20)
        self.assertEqual(os.getxattr(copy / "a" / "one", "user.venvfs.mode"), b"444")
        self.assertEqual(os.getxattr(copy / "a" / "b", "user.venvfs.mode"), b"555")
        for path in ("a", "a/b", "a/one", "a/fifo"):
            facts, copied = os.lstat(upper / path), os.lstat(copy / path)
            self.assertEqual((facts.st_mode, facts.st_mtime_ns), (copied.st_mode, copied.st_mtime_ns))

    def test_an_interrupt_leaves_no_clone_behind(self):
        self.box.create(self.name, "--without-pip")
        upper = self.upper(self.name)
        upper.mkdir()
        for i in range(3000):
            (upper / f"f{i}").write_bytes(b"x" * 5000)
        before = sorted(os.listdir(self.box.venvfs_home / "envs"))
        copy = self.upper(self.name + "-b")
        process = subprocess.Popen([harness.PROGRAM, "clone", self.name, self.name + "-b"],
                                   env=self.box.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_until(lambda: copy.exists(), 20)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.communicate(timeout=60), (b"", b""))
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertEqual(sorted(os.listdir(self.box.venvfs_home / "envs")), before)


@needs_mount
class LiveClone(Live):
    def test_edits_come_along_and_neither_sees_the_other(self):
        site = self.make()
        (site / "mine.py").write_text("mine = 1\n")
        os.rename(site / "part", site / "parted")
        (site / "thing" / "tool.sh").unlink()
        os.chmod(site / "mine.py", 0o444)
        path = pathlib.Path(harness.one_line(
            self.box.venvfs("clone", self.name, self.name + "-b").stdout))
        copy = self.site(path)
        self.assertEqual(harness.tree_digest(site), harness.tree_digest(copy))
        self.assertEqual((copy / "mine.py").stat().st_mode & 0o777, 0o444)
        self.assertIn(str(path), (path / "bin" / "activate").read_text())
        (copy / "only.py").touch()
        (copy / "mine.py").unlink()
        self.assertTrue((site / "mine.py").exists())
        self.assertFalse((site / "only.py").exists())
        self.assertEqual(self.version(path), "1.0")

    def test_while_it_is_being_written_to(self):
        site = self.make()
        script = ("import sys, os, itertools\n"
                  "for i in itertools.count():\n"
                  "    open(f'{sys.argv[1]}/w{i % 50}', 'w').write('x' * 9999)\n"
                  "    if i % 7 == 0: os.unlink(f'{sys.argv[1]}/w{i % 50}')\n")
        with subprocess.Popen([sys.executable, "-c", script, str(site)]) as writer:
            try:
                harness.wait_until(lambda: (site / "w49").exists(), 20)
                for i in range(3):
                    self.box.venvfs("clone", self.name, f"{self.name}-{i}")
            finally:
                writer.kill()
        self.assertEqual(self.version(self.box.hub / f"{self.name}-2"), "1.0")


class Rename(Life):
    def test_an_environment_of_the_hub_moves_along(self):
        name = self.three_generations()
        done = self.box.venvfs("rename", name, name + "-b")
        self.assertIn(f"moved: {self.box.hub / name} -> {self.box.hub / (name + '-b')}", done.stderr)
        self.assertEqual(done.stdout, "")
        facts = self.box.json("show", name + "-b")
        self.assertEqual(facts["address"], str(self.box.hub / (name + "-b")))
        self.assertEqual((facts["generation"], facts["reason"]), (4, f"rename from {name}"))
        self.box.venvfs("show", name, status=1)
        self.box.create(name, "--without-pip")  # the name is free
        self.box.venvfs("rollback", "-n", name + "-b", "1")
        self.assertEqual(self.box.json("show", name + "-b")["address"],
                         str(self.box.hub / (name + "-b")))

    def test_one_at_a_folder_stays_there(self):
        folder = self.box.root / "stays" / "here"
        self.box.create(folder, "--without-pip")
        self.box.venvfs("rename", folder, self.name)
        self.assertEqual(os.readlink(folder), str(self.box.hub / self.name))
        facts = self.box.json("show", str(folder))
        self.assertEqual((facts["name"], facts["address"]), (self.name, str(folder)))

    def test_what_is_refused(self):
        self.box.create(self.name, "--without-pip")
        self.box.create(self.name + "-taken", "--without-pip")
        folder = self.box.project(self.name + "-project", "")
        self.box.venvfs("mount", "-p", harness.default_python(), folder)
        for word, why in ((self.name + "-taken", "exists already"), (self.name, "already"),
                          (".hidden", "cannot be"), ("x" * 150, "cannot be"), ("./x", "is a folder")):
            with self.subTest(word=word):
                done = self.box.venvfs("rename", "-n", self.name, "--", word, status=1)
                self.assertIn(why, done.stderr)
        done = self.box.venvfs("rename", folder, "free", status=1)
        self.assertIn(f"the one of {folder}", done.stderr)
        self.assertIn("hint: venvfs clone -n", done.stderr)
        self.box.venvfs("rename", self.name, status=2)
        self.assertEqual(self.box.json("show", self.name)["generation"], 1)

    def test_the_same_command_does_the_rest_of_one_that_was_killed(self):
        self.box.create(self.name, "--without-pip")
        self.box.venvfs("rename", self.name, self.name + "-b")
        envs = self.box.venvfs_home / "envs"
        (envs / (self.name + "-b")).rename(envs / self.name)  # as before the last step
        left = envs / (self.name + "-b")
        left.mkdir()
        (left / "lock").touch()
        self.box.venvfs("rename", self.name, self.name + "-b")
        self.assertEqual(self.box.json("show", self.name + "-b")["address"],
                         str(self.box.hub / (self.name + "-b")))

    def test_plain_files_move_along(self):
        hide = ("mount -t tmpfs tmpfs /dev && mknod -m666 /dev/null c 1 3 && "
                "mknod -m666 /dev/urandom c 1 9 && ")  # a /dev without fuse
        if not shutil.which("unshare") or subprocess.run(
                ["unshare", "-m", "sh", "-c", hide + "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mount namespace of our own here")
        own = box("plain")

        def venvfs(*words):
            return harness.run(["unshare", "-m", "sh", "-c", hide + 'exec "$@"', "sh",
                                harness.PROGRAM, *words], env=own.env, cwd=own.home)
        venvfs("create", "e", "-p", harness.default_python(), "--without-pip", "--fallback")
        self.assertTrue((own.hub / "e" / "pyvenv.cfg").exists())
        venvfs("rename", "e", "f")
        self.assertFalse((own.hub / "e").exists())
        self.assertIn(f"{own.hub}/f", (own.hub / "f" / "bin" / "activate").read_text())


@needs_mount
class LiveRename(Live):
    def test_scripts_and_activation_follow(self):
        site = self.make()
        old, new = self.box.hub / self.name, self.box.hub / (self.name + "-b")
        (old / "bin" / "activate").read_text()  # so that the kernel has it
        (site / "mine.py").write_text("mine = 1\n")
        os.listdir(self.box.hub)
        self.box.venvfs("rename", self.name, self.name + "-b")
        self.assertFalse(old.exists())
        self.assertNotIn(self.name, os.listdir(self.box.hub))
        self.assertIn(self.name + "-b", os.listdir(self.box.hub))
        self.assertIn(str(new), (new / "bin" / "activate").read_text())
        self.assertEqual((new / "bin" / "thing").read_text().splitlines()[0],
                         f"#!{new}/bin/python")
        self.assertEqual(self.version(new), "1.0")
        self.assertTrue((self.site(new) / "mine.py").exists())
        self.assertEqual([row["path"].rpartition("/")[2] for row in
                          self.box.json("diff", self.name + "-b")["from"]["edits"]
                          if row["kind"] != "A" or "__pycache__" not in row["path"]], ["mine.py"])

    def test_open_files_and_working_folders_go_on(self):
        self.make()
        old, new = self.box.hub / self.name, self.box.hub / (self.name + "-b")
        script = ("import os, sys\n"
                  "script = open('bin/activate')\n"
                  "script.read(10)\n"
                  "print('ready', flush=True); sys.stdin.readline()\n"
                  "open('later.txt', 'w').write('written after\\n')\n"
                  "print(os.getcwd(), len(script.read()) > 100)\n")
        process = subprocess.Popen([sys.executable, "-c", script], cwd=old, text=True,
                                   env=self.box.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), "ready\n")
        self.box.venvfs("rename", self.name, self.name + "-b")
        self.assertTrue(new.exists())
        out, _ = process.communicate("go\n", timeout=30)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(out.split(), [str(new), "True"])
        self.assertEqual((new / "later.txt").read_text(), "written after\n")

    def test_a_program_that_runs_from_it_is_named(self):
        self.make()
        with self.running("import time; time.sleep(100)") as process:
            done = self.box.venvfs("rename", self.name, self.name + "-b", status=1)
            self.assertIn(f"in use by process {process.pid} ({self.box.hub}/", done.stderr)
            self.assertEqual(self.generations()[0]["generation"], 1)
            self.box.venvfs("rename", "--force", self.name, self.name + "-b")

    def test_the_first_change_after_it_makes_the_layer_in_the_new_place(self):
        self.box.create(self.name, "--without-pip")
        (self.box.hub / self.name / "pyvenv.cfg").read_text()  # it is in view
        self.box.venvfs("rename", self.name, self.name + "-b")
        (self.box.hub / (self.name + "-b") / "first.txt").write_text("first\n")
        self.assertTrue((self.box.venvfs_home / "envs" / (self.name + "-b") / "upper" / "first.txt")
                        .exists())
        self.box.venvfs("umount", "--all")
        self.box.venvfs("mount", "-n", self.name + "-b")
        self.assertTrue((self.box.hub / (self.name + "-b") / "first.txt").exists())

    def test_after_umount_and_without_a_daemon(self):
        self.make()
        self.box.venvfs("umount", "-n", self.name)
        self.box.venvfs("rename", self.name, self.name + "-b")
        self.assertEqual(self.version(self.box.hub / (self.name + "-b")), "1.0")
        self.box.venvfs("umount", "--all")
        self.box.venvfs("rename", self.name + "-b", self.name)
        self.assertEqual(self.version(self.box.hub / self.name), "1.0")
        self.box.venvfs("umount", "--all")
        self.assertFalse((self.box.hub / (self.name + "-b")).exists())  # its stubs went, too
        self.assertEqual(self.version(self.box.hub / self.name), "1.0")

    def test_an_explicit_mount_has_the_new_name(self):
        self.make()
        folder = self.box.root / (self.name + "-at")
        self.box.venvfs("mount", self.name, folder)
        self.box.venvfs("rename", self.name, self.name + "-b")
        mounts = self.box.json("status")["mounts"]
        self.assertIn(self.name + "-b", json.dumps(mounts))
        self.box.venvfs("umount", folder)


@needs_mount
class LiveRemove(Live):
    SLEEP = "import time; time.sleep(100)"

    def refused(self, pid):
        done = self.box.venvfs("remove", self.name, status=1)
        self.assertRegex(done.stderr, rf"in use by .*\b{pid} \(")
        self.assertIn(f"venvfs remove --force -n {self.name}", done.stderr)
        self.assertTrue((self.box.hub / self.name / "pyvenv.cfg").exists())

    def test_while_nobody_uses_it(self):
        site = self.make()
        (site / "mine.py").touch()
        self.box.venvfs("remove", self.name)
        self.assertFalse((self.box.hub / self.name).exists())
        self.assertFalse((self.box.venvfs_home / "envs" / self.name).exists())

    def test_its_python(self):
        self.make()
        with self.running(self.SLEEP) as process:
            self.refused(process.pid)

    def test_its_python_by_name_in_an_active_shell(self):
        path = self.make().parents[2]
        active = {**self.box.env, "VIRTUAL_ENV": str(path),
                  "PATH": f"{path}/bin:{self.box.env['PATH']}"}
        with self.running(self.SLEEP, python="python", env=active,
                          executable=path / "bin" / "python") as process:
            self.refused(process.pid)
        base = os.path.realpath(path / "bin" / "python")
        with self.running(self.SLEEP, python=base, env=active):  # but not its base by its own path
            self.box.venvfs("remove", self.name)

    def test_a_working_folder(self):
        site = self.make()
        with self.running(self.SLEEP, python=sys.executable, cwd=site) as process:
            self.refused(process.pid)

    def test_an_open_file_and_a_mapped_one(self):
        site = self.make()
        file = site / "thing" / "data.txt"
        mapped = (f"import mmap, time\nf = open({str(file)!r}, 'rb')\n"
                  "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\nf.close()\n")
        for script in (f"import time; f = open({str(file)!r})\n", mapped):
            with self.running(script + "print('set', flush=True)\ntime.sleep(100)",
                              python=sys.executable) as process:
                process.stdout.readline()
                self.refused(process.pid)

    def test_below_the_address(self):
        folder = self.box.root / (self.name + "-at")
        self.box.create(folder, "--without-pip")
        with self.running(self.SLEEP, python=folder / "bin" / "python") as process:
            done = self.box.venvfs("remove", folder, status=1)
            self.assertIn(str(process.pid), done.stderr)
        self.box.venvfs("remove", folder)
        self.assertFalse(os.path.lexists(folder))

    def test_by_force(self):
        self.make()
        with self.running(self.SLEEP):
            self.box.venvfs("remove", "--force", self.name)
        self.assertFalse((self.box.hub / self.name).exists())

    def test_a_name_that_begins_alike_is_another(self):
        self.make()
        self.make(self.name + "-b")
        with self.running(self.SLEEP, python=self.box.hub / (self.name + "-b") / "bin" / "python"):
            self.box.venvfs("remove", self.name)


class Export(Life):
    """What an export makes again is compared with what it was made from."""

    def plain(self, name):
        """The environment's tree; its own path, which it names, is made alike."""
        folder = SCRATCH.root / "plain"
        shutil.rmtree(folder, ignore_errors=True)
        self.box.venvfs("materialize", "-n", name, folder)
        found = harness.tree_digest(folder)
        for path in folder.glob("bin/activate*"):  # they name the prompt, which is the name's
            found.pop(str(path.relative_to(folder)), None)
        found.pop("pyvenv.cfg")
        return found

    def again(self, kind):
        """Makes an environment from an export, with nothing but the store; returns its name."""
        name = f"{self.name}-{kind}"
        file = SCRATCH.root / (f"pylock.{name}.toml" if kind == "pylock" else f"{name}.txt")
        done = self.box.venvfs("export", "-n", self.name, "-o", file)  # as the name says
        self.assertEqual(done.stdout, "")
        self.box.create(name, "-r", file, "--offline")
        return name

    def same(self, one, other, without=()):
        trees = self.plain(one), self.plain(other)
        differing = {path for path in trees[0] | trees[1] if trees[0].get(path) != trees[1].get(path)}
        self.assertEqual({path for path in differing if not path.endswith(tuple(without))}, set())

    def test_requirements(self):
        self.box.create(self.name, "-r", lock("one", "thing-1.0", "part-1.0"))
        text = self.box.venvfs("export", self.name).stdout
        wheel = WHEELS / "thing-1.0-py3-none-any.whl"
        self.assertIn(f"thing==1.0 \\\n    --hash=sha256:"
                      f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n", text)
        self.assertNotIn("pip", text)
        self.assertEqual(text, self.box.venvfs("export", "-n", self.name).stdout)
        self.same(self.name, self.again("txt"))
        self.assertRegex(self.box.venvfs("export", self.name, "--all").stdout, r"(?m)^pip==")

    def test_requirements_are_taken_by_pip(self):
        self.box.create(self.name, "-r", lock("one", "thing-1.0", "part-1.0"))
        file = SCRATCH.root / "for-pip.txt"
        self.box.venvfs("export", "-n", self.name, "-o", file)
        target = SCRATCH.root / "by-pip"
        harness.run([harness.default_python(), "-m", "pip", "install", "-q", "--no-index", "--target",
                     target, "--find-links", WHEELS, "-r", file], env=self.box.env)
        self.assertEqual((target / "thing" / "__init__.py").read_text(), "v = '1.0'\n")

    def test_pylock_tells_what_was_asked_for(self):
        self.box.create(self.name)
        self.box.venvfs("install", "-n", self.name, "thing==1.0")
        self.same(self.name, self.again("pylock"))
        file = SCRATCH.root / "pylock.toml"
        self.box.venvfs("export", "-n", self.name, "-o", file)
        self.box.create(self.name + "-b", "-r", file, "--offline")
        rows = {row["name"]: row["requested"] for row in self.box.json("show", self.name + "-b")
                ["packages"] if not row["seed"]}
        self.assertEqual(rows, {"thing": True, "part": False})
        self.same(self.name, self.name + "-b")

    def test_pylock_is_what_the_standard_says(self):
        self.box.create(self.name)
        self.box.venvfs("install", "-n", self.name, "thing==1.0")
        text = self.box.venvfs("export", "-n", self.name, "--format", "pylock").stdout
        with contextlib.suppress(ImportError):
            import tomllib
            facts = tomllib.loads(text)
            self.assertEqual((facts["lock-version"], facts["created-by"][:7]), ("1.0", "venvfs "))
            part, thing = facts["packages"]
            digest = hashlib.sha256((WHEELS / "thing-1.0-py3-none-any.whl").read_bytes()).hexdigest()
            self.assertEqual(thing, {"name": "thing", "version": "1.0", "wheels": [
                {"name": "thing-1.0-py3-none-any.whl", "hashes": {"sha256": digest}}]})
            self.assertEqual(part["tool"], {"venvfs": {"requested": False}})
        self.box.create(self.name + "-none", "--without-pip")
        empty = SCRATCH.root / "pylock.empty.toml"
        self.box.venvfs("export", "-n", self.name + "-none", "-o", empty)
        self.box.create(self.name + "-empty", "--without-pip", "-r", empty)

    def test_json(self):
        self.box.create(self.name, "-r", lock("one", "thing-1.0", "part-1.0"))
        facts = json.loads(self.box.venvfs("export", self.name, "--format", "json").stdout)
        self.assertEqual([(row["name"], row["file"]) for row in facts["packages"]],
                         [("part", "part-1.0-py3-none-any.whl"), ("thing", "thing-1.0-py3-none-any.whl")])
        self.assertEqual(facts["name"], self.name)

    def test_from_a_url(self):
        self.box.create(self.name)
        self.box.venvfs("install", "-n", self.name, WHEELS / "other-3.1-py3-none-any.whl")
        text = self.box.venvfs("export", self.name).stdout
        self.assertRegex(text, r"(?m)^other @ file:///.*/other-3\.1-py3-none-any\.whl \\\n    --hash=")
        self.same(self.name, self.again("txt"))
        self.same(self.name, self.again("pylock"))

    def test_editable(self):
        folder = harness.make_source(BOX.root / "a source", "made", files={"made.py": "m = 1\n"})
        file = SCRATCH.root / "editable.txt"
        file.write_text(f"-e '{folder}'\n" + lock("one", "thing-1.0", "part-1.0").read_text())
        self.box.create(self.name, "-r", file)
        done = self.box.venvfs("export", self.name)
        self.assertIn(f"-e '{folder}'\n", done.stdout)
        self.assertIn("thing==1.0 \\\n    --hash=", done.stdout)
        self.same(self.name, self.again("txt"))
        self.same(self.name, self.again("pylock"))

    def test_from_a_folder_pip_can_check_no_hash(self):
        folder = harness.make_source(BOX.root / "built", "built", files={"built.py": "b = 1\n"})
        self.box.create(self.name, "-r", lock("one", "thing-1.0", "part-1.0"))
        self.box.venvfs("install", "-n", self.name, folder)
        done = self.box.venvfs("export", self.name)
        self.assertIn(f"built @ file://{folder}\n", done.stdout)
        self.assertNotIn("--hash", done.stdout)
        self.assertIn("warning: no hashes are written: built comes from", done.stderr)
        file = SCRATCH.root / "pylock.built.toml"
        self.assertNotIn("warning", self.box.venvfs("export", self.name, "-o", file).stderr)
        self.assertIn(f'directory = {{path = "{folder}"}}', file.read_text())
        self.box.create(self.name + "-b", "-r", file)
        self.assertEqual(packages(self.box, self.name + "-b"), packages(self.box, self.name))

    @unittest.skipUnless(shutil.which("git"), "no git")
    def test_from_a_repository(self):
        folder = harness.make_source(BOX.root / "repository", "kept", files={"kept.py": "k = 1\n"})
        git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
        harness.run([*git, "init", "-q"], env=self.box.env)
        harness.run([*git, "add", "."], env=self.box.env)
        harness.run([*git, "commit", "-qm", "one"], env=self.box.env)
        commit = harness.run([*git, "rev-parse", "HEAD"], env=self.box.env).stdout.strip()
        self.box.create(self.name)
        self.box.venvfs("install", "-n", self.name, f"kept @ git+file://{folder}")
        done = self.box.venvfs("export", self.name)
        self.assertIn(f"kept @ git+file://{folder}@{commit}\n", done.stdout)
        file = SCRATCH.root / "pylock.kept.toml"
        self.box.venvfs("export", self.name, "-o", file)
        self.assertIn(f'commit-id = "{commit}"', file.read_text())
        self.box.create(self.name + "-b", "-r", file)
        rows = [row for row in self.box.json("show", self.name + "-b")["packages"]
                if row["name"] == "kept"]
        self.assertEqual(rows[0]["direct_url"]["vcs_info"]["commit_id"], commit)

    def test_of_what_was_adopted_no_wheel_is_known(self):
        venv = SCRATCH.root / "old-venv"
        harness.run([harness.default_python(), "-m", "venv", "--without-pip", venv])
        harness.run([harness.default_python(), "-m", "pip", "--python", venv / "bin" / "python",
                     "install", "-q", "--no-index", "--find-links", WHEELS, "thing==1.0", "other"],
                    env=self.box.env)
        own = box("adopted", VENVFS_NO_DAEMON="1")  # whose store has seen no wheel of these
        own.venvfs("adopt", venv, "taken")
        done = own.venvfs("export", "taken")
        self.assertIn("\nthing==1.0\n", done.stdout)
        self.assertRegex(done.stderr, "no hashes are written: .* was taken from an installed tree")
        done = own.venvfs("export", "taken", "--format", "pylock", status=1)
        self.assertIn("hint: --format requirements", done.stderr)
        facts = json.loads(own.venvfs("export", "taken", "--format", "json").stdout)
        self.assertEqual({row["file"] for row in facts["packages"]}, {None})

    def test_wrong_usage(self):
        self.box.create(self.name, "--without-pip")
        self.box.venvfs("export", self.name, "--format", "yaml", status=2)
        self.box.venvfs("export", self.name, "-n", self.name, status=2)
        done = self.box.venvfs("export", self.name, "-o", "/nonexistent/x.txt", status=1)
        self.assertIn("/nonexistent/x.txt", done.stderr)
        done = self.box.venvfs("export", self.name, "--format", "pylock", "-o",
                               SCRATCH.root / "odd.lock")
        self.assertIn("pylock.NAME.toml", done.stderr)


if __name__ == "__main__":
    harness.main(needs_fuse=False)
