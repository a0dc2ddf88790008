#!/usr/bin/env python3
"""The commands as a user meets them, without a mount: what they print, refuse, keep and leave behind."""
import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("commands")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    for version in ("1.0", "2.0"):
        harness.make_wheel(WHEELS, "thing", version, {"thing/__init__.py": f"v = {version!r}\n"},
                           requires=("part",))
    harness.make_wheel(WHEELS, "part", "1.0", {"part/__init__.py": "v = 1\n"})
    harness.make_wheel(WHEELS, "part", "1.5", {"part/__init__.py": "v = 1.5\n"})
    harness.make_wheel(WHEELS, "picky", "1.0", {"picky.py": ""}, requires=("part<1.5",))
    harness.make_wheel(WHEELS, "rival", "1.0", {"part/__init__.py": "v = 'rival'\n"})
    BOX.env.update(VENVFS_NO_DAEMON="1", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS))
    BOX.create("first", "--without-pip")  # tests compare with what is there


def lock(name, *wheels):
    path = BOX.root / name
    path.write_text(harness.lock_text(*(WHEELS / f"{wheel}-py3-none-any.whl" for wheel in wheels)))
    return path


def packages(name, seeds=False):
    """{name: version} of an environment."""
    return {row["name"]: row["version"] for row in BOX.json("show", name)["packages"]
            if seeds or not row["seed"]}


class Usage(unittest.TestCase):
    def commands(self):
        lines = BOX.venvfs("--list-commands").stdout.splitlines()
        return [line.split("\t")[0] for line in lines]

    def test_every_command_has_help_on_standard_output(self):
        names = [[name] for name in self.commands()]
        for group in ("store", "python", "tool"):
            listed = BOX.venvfs(group, "--list-commands").stdout.splitlines()
            names += [[group, line.split("\t")[0]] for line in listed]
        self.assertGreater(len(names), 18)
        for name in names:
            if name == ["help"]:
                continue
            done = BOX.venvfs(*name, "--help")
            self.assertTrue(done.stdout.startswith(f"Usage: venvfs {' '.join(name)}"), name)
            self.assertEqual(done.stderr, "")
            self.assertEqual(BOX.venvfs("help", *name).stdout, done.stdout)

    def test_no_command_is_wrong_usage(self):
        self.assertIn("Commands:", BOX.venvfs(status=2).stderr)

    def test_unknown_command_is_wrong_usage_and_suggests(self):
        self.assertIn("did you mean create?", BOX.venvfs("craete", status=2).stderr)
        self.assertIn("did you mean store verify?", BOX.venvfs("store", "verfy", status=2).stderr)
        self.assertNotIn("did you mean", BOX.venvfs("zzz", status=2).stderr)

    def test_unknown_option_is_wrong_usage_and_suggests(self):
        done = BOX.venvfs("create", "x", "--with-pip", status=2)
        self.assertIn("did you mean --without-pip?", done.stderr)
        self.assertIn("unknown option -z", BOX.venvfs("create", "x", "-z", status=2).stderr)
        self.assertIn("needs a value", BOX.venvfs("create", "x", "-p", status=2).stderr)
        self.assertIn("takes no value", BOX.venvfs("list", "--json=1", status=2).stderr)

    def test_wrong_operands_are_wrong_usage(self):
        for words in (["create"], ["create", "a", "b"], ["remove"], ["run"], ["install"],
                      ["umount"], ["umount", "--all", "x"], ["materialize"], ["list", "x"],
                      ["create", "x", "-j", "many"], ["shell-init", "tcsh"]):
            with self.subTest(words=words):
                self.assertIn("hint: see venvfs", BOX.venvfs(*words, status=2).stderr)

    def test_version_names_the_libraries(self):
        text = BOX.venvfs("--version").stdout
        for name in ("venvfs", "libfuse", "zstd", "xxHash", "SQLite", "OpenSSL", "libzip", "jansson"):
            self.assertRegex(text, rf"(?m)^ *{name} +\d+\.\d+")

    def test_a_full_disk_on_standard_output_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = harness.run([harness.PROGRAM, "--version"], env=BOX.env, stdout=full, status=1)
        self.assertIn("standard output", done.stderr)


class Create(unittest.TestCase):
    def test_prints_the_path_alone(self):
        path = BOX.create("alone")
        self.assertEqual(path, BOX.hub / "alone")

    def test_seeds_what_the_interpreter_bundles(self):
        BOX.create("seeded")
        self.assertIn("pip", packages("seeded", seeds=True))
        BOX.create("bare", "--without-pip")
        self.assertEqual(packages("bare", seeds=True), {})

    def test_from_a_lock(self):
        BOX.create("locked", "-r", lock("one.txt", "thing-1.0", "part-1.0"))
        self.assertEqual(packages("locked"), {"thing": "1.0", "part": "1.0"})

    def test_a_name_is_taken_once(self):
        BOX.create("twice")
        self.assertIn("twice", BOX.venvfs("create", "twice", status=1).stderr)

    def test_impossible_names(self):
        for name in ("", "-x", ".hidden", "x" * 200):
            with self.subTest(name=name):
                BOX.venvfs("create", "--", name, status=1)

    def test_a_folder_becomes_a_link_with_its_own_address(self):
        folder = BOX.root / "some where" / "env"
        path = BOX.create(folder)
        self.assertEqual(path, folder)
        name = os.path.basename(os.readlink(folder))
        self.assertEqual(os.readlink(folder), str(BOX.hub / name))
        self.assertEqual(BOX.json("show", str(folder))["address"], str(folder))
        BOX.venvfs("create", str(folder), status=1)
        BOX.venvfs("remove", str(folder))
        self.assertFalse(os.path.lexists(folder))

    def test_a_folder_whose_name_is_no_text_of_one_line_is_refused(self):
        BOX.create("for-names", "--without-pip")
        bad = {"two\nlines": "newline or another control character", "bell\a": "control character",
               os.fsdecode(b"latin-\xe9"): "is not UTF-8"}
        for name, why in bad.items():
            folder = BOX.project(name)
            before = sorted(os.listdir(BOX.venvfs_home / "envs"))
            for command in (["mount", folder], ["create", folder / "env"], ["create", folder],
                            ["materialize", "-n", "for-names", folder / "out"],
                            ["mount", "-n", "for-names", folder / "out"]):
                with self.subTest(command=command):
                    said = BOX.venvfs(*command, status=1).stderr
                    self.assertRegex(said, f"a folder whose name .*{why}.* cannot be used")
                    self.assertEqual(len(said.splitlines()), 2)  # the hint is the other
            self.assertEqual(os.listdir(folder), [])
            self.assertEqual(sorted(os.listdir(BOX.venvfs_home / "envs")), before)

    def test_a_failure_leaves_nothing_behind(self):
        BOX.create("before", "--without-pip")
        before = os.listdir(BOX.venvfs_home / "envs")
        folder = BOX.root / "failing" / "env"
        missing = BOX.root / "missing.txt"
        for where in ("failing", folder):
            done = BOX.venvfs("create", where, "-r", missing, status=1)
            self.assertIn("missing.txt", done.stderr)
        self.assertEqual(sorted(before), sorted(os.listdir(BOX.venvfs_home / "envs")))
        self.assertFalse(os.path.lexists(folder))
        BOX.venvfs("show", "failing", status=1)

    def test_an_interrupt_leaves_no_environment_behind(self):
        data = BOX.root / "interrupted"  # an empty store: taking in pip takes a while
        command = [harness.PROGRAM, "create", "slow", "-p", harness.default_python()]
        process = subprocess.Popen(command, env={**BOX.env, "VENVFS_HOME": str(data)},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.assertTrue(harness.wait_until(lambda: (data / "envs" / "slow" / "slot").is_symlink(), 60))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), -signal.SIGINT)
        left = [name for name in os.listdir(data / "envs") if not name.startswith(".slots")]
        self.assertEqual(left, [])
        self.assertEqual(list((data / "store").glob("packs/*.pack")), [])

    def test_what_killed_commands_left_is_swept_away(self):
        """Downloads and half a pack, by the next command that opens the store to write; what belongs to a
        live process stays."""
        BOX.create("swept-before", "-r", lock("swept.txt", "part-1.0"))
        dead, live = ([BOX.venvfs_home / "tmp" / f"lock-{name}", BOX.venvfs_home / "store" / "tmp" / f"{name}-0"]
                      for name in ("999999", "111111"))
        with contextlib.ExitStack() as held:
            for folder in dead + live:
                (folder / "0").mkdir(parents=True) if "lock-" in folder.name else folder.mkdir()
                (folder / "0" / "x.whl" if "lock-" in folder.name else folder / "pack").write_bytes(bytes(1000))
                lock_file = held.enter_context(open(folder / "lock", "w"))
                if folder in live:
                    fcntl.lockf(lock_file, fcntl.LOCK_EX)
            (BOX.venvfs_home / "tmp" / "lock-unlocked").mkdir()  # killed between two system calls
            BOX.create("swept-after", "-r", lock("swept.txt", "part-1.0"))
            self.assertEqual([path.exists() for path in dead + live], [False, False, True, True])
            self.assertEqual(os.listdir(BOX.venvfs_home / "tmp"), ["lock-111111"])
        BOX.venvfs("store", "stats")
        self.assertEqual((os.listdir(BOX.venvfs_home / "store" / "tmp"), (BOX.venvfs_home / "tmp").exists()),
                         ([], False))

    def test_an_unknown_interpreter_is_named(self):
        done = BOX.venvfs("create", "nopython", "-p", "3.99", status=1)
        self.assertIn("3.99", done.stderr)

    def test_quiet_prints_the_path_only(self):
        done = BOX.venvfs("create", "quiet", "-q", "-r", lock("q.txt", "part-1.0"))
        self.assertEqual((done.stdout, done.stderr), (f"{BOX.hub}/quiet\n", ""))

    def test_packages_that_contest_a_path_are_reported(self):
        done = BOX.venvfs("create", "contest", "-r", lock("contest.txt", "part-1.0", "rival-1.0"))
        again = BOX.venvfs("create", "contest2", "-r", lock("contest.txt", "part-1.0", "rival-1.0"))
        for text in (done.stderr, again.stderr):
            self.assertRegex(text, "warning: .*part.*rival.*part/__init__.py")


class Facts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        BOX.create("facts", "-r", lock("facts.txt", "thing-1.0", "part-1.0"))

    def test_list(self):
        self.assertIn("facts", BOX.venvfs("list", "--names").stdout.split())
        row = next(e for e in BOX.json("list")["environments"] if e["name"] == "facts")
        self.assertEqual(row["address"], str(BOX.hub / "facts"))
        self.assertEqual(row["generation"], 1)
        self.assertRegex(BOX.venvfs("list").stdout, r"(?m)^facts +3\.\d+\.\d+ +\d+ +/")

    def test_show(self):
        facts = BOX.json("show", "facts")
        thing = next(p for p in facts["packages"] if p["name"] == "thing")
        self.assertEqual((thing["version"], thing["requested"], thing["seed"]), ("1.0", True, False))
        self.assertRegex(thing["wheel"], "^[0-9a-f]{64}$")
        self.assertIn("thing", BOX.venvfs("show", "facts").stdout)

    def test_unknown_environment_names_near_ones(self):
        self.assertIn("facts", BOX.venvfs("show", "factz", status=1).stderr)

    def test_no_environment_meant(self):
        self.assertIn("-n ENV", BOX.venvfs("show", status=1).stderr)

    def test_active_environment_is_the_default(self):
        env = {"VIRTUAL_ENV": str(BOX.hub / "facts")}
        done = BOX.venvfs("show", "--json", env=env)
        self.assertEqual(json.loads(done.stdout)["name"], "facts")

    def test_python(self):
        found = BOX.json("python", "list")["interpreters"]
        self.assertTrue(found)
        one = BOX.json("python", "find", harness.default_python())
        self.assertIn(one["version"], [row["version"] for row in found] + [one["version"]])
        BOX.venvfs("python", "find", "2.1", status=1)

    def test_what_is_refused_is_not_advised(self):
        env = {"PATH": f"{BOX.root / 'tools'}:{BOX.env['PATH']}"}
        (BOX.root / "tools").mkdir(exist_ok=True)
        (BOX.root / "tools" / "pyenv").write_text("#!/bin/sh\n")
        (BOX.root / "tools" / "pyenv").chmod(0o755)
        for spec in ("2.7", "3.5", "python2", "4.1"):
            said = BOX.venvfs("python", "find", spec, status=1, env=env).stderr
            self.assertIn("hint: venvfs works with CPython 3.6 and newer", said, spec)
        self.assertIn("hint: pyenv install 3.99", BOX.venvfs("python", "find", "3.99", status=1, env=env).stderr)

    def test_an_empty_name_is_near_to_none(self):
        for words in (["show", ""], ["remove", ""], ["run", "-n", "", "true"], ["sync", "-n", ""]):
            said = BOX.venvfs(*words, status=1).stderr
            self.assertIn("the name of the environment is empty", said)
            self.assertNotIn("did you mean", said)
        for word in ("mount", "umount"):
            self.assertIn('"" is neither', BOX.venvfs(word, "", status=1).stderr)

    def test_status_without_a_daemon(self):
        self.assertEqual(BOX.json("status"), {"running": False, "hub": str(BOX.hub)})

    def test_store(self):
        wheel = WHEELS / "picky-1.0-py3-none-any.whl"
        added = BOX.json("store", "add", wheel)["added"]
        self.assertEqual(added[0]["file"], str(wheel))
        row = next(r for r in BOX.json("store", "ls")["images"] if r["name"] == "picky")
        self.assertEqual(row["image"], added[0]["image"])
        self.assertGreater(BOX.json("store", "stats")["pack_bytes"], 0)
        self.assertEqual(BOX.json("store", "verify"), {"problems": 0, "lines": []})
        self.assertTrue(pathlib.Path(BOX.json("store", "path")["path"]).is_dir())

    def test_verify_fails_on_damage(self):
        store = pathlib.Path(BOX.json("store", "path")["path"])
        pack = max((store / "packs").glob("*.pack"), key=lambda path: path.stat().st_size)
        good = pack.read_bytes()
        mode = pack.stat().st_mode
        pack.chmod(0o600)
        try:
            pack.write_bytes(good[:64] + bytes(byte ^ 0xff for byte in good[64:80]) + good[80:])
            done = BOX.venvfs("store", "verify", status=1)
            self.assertIn(f"pack {pack.stem} ", done.stdout)
        finally:
            pack.write_bytes(good)
            pack.chmod(mode)
        BOX.venvfs("store", "verify")


class Change(unittest.TestCase):
    def env(self, *wheels):
        name = self.id().rpartition(".")[2].replace("test_", "")
        BOX.create(name, *(["-r", lock(f"{name}.txt", *wheels)] if wheels else []))
        return name

    def test_install_prints_the_difference(self):
        name = self.env()
        done = BOX.venvfs("install", "-n", name, "thing==1.0")
        self.assertRegex(done.stderr, r"(?m)^\+ thing 1\.0$")
        self.assertEqual(done.stdout, "")
        self.assertEqual(packages(name), {"thing": "1.0", "part": "1.5"})
        requested = {p["name"]: p["requested"] for p in BOX.json("show", name)["packages"]}
        self.assertEqual((requested["thing"], requested["part"]), (True, False))

    def test_install_keeps_what_is_there(self):
        name = self.env("part-1.0")
        BOX.venvfs("install", "-n", name, "thing")
        self.assertEqual(packages(name), {"thing": "2.0", "part": "1.0"})

    def test_install_changes_what_stands_in_the_way(self):
        name = self.env("part-1.5")
        done = BOX.venvfs("install", "-n", name, "picky")
        self.assertRegex(done.stderr, r"(?m)^~ part 1\.5 -> 1\.0$")
        self.assertEqual(packages(name), {"picky": "1.0", "part": "1.0"})

    def test_install_again_changes_nothing(self):
        name = self.env("part-1.0")
        BOX.venvfs("install", "-n", name, "part")
        generation = BOX.json("show", name)["generation"]
        done = BOX.venvfs("install", "-n", name, "part")
        self.assertEqual(BOX.json("show", name)["generation"], generation)
        self.assertNotIn("part", done.stderr)

    def test_install_of_an_unknown_package_changes_nothing(self):
        name = self.env("part-1.0")
        done = BOX.venvfs("install", "-n", name, "no-such-thing", status=1)
        self.assertIn("no-such-thing", done.stderr)
        self.assertEqual(BOX.json("show", name)["generation"], 1)

    def test_uninstall(self):
        name = self.env("thing-1.0", "part-1.0")
        done = BOX.venvfs("uninstall", "-n", name, "-y", "Thing")
        self.assertRegex(done.stderr, r"(?m)^- thing 1\.0$")
        self.assertEqual(packages(name), {"part": "1.0"})
        done = BOX.venvfs("uninstall", "-n", name, "prat", status=1)
        self.assertIn("did you mean part?", done.stderr)

    def test_uninstall_by_a_file(self):
        name = self.env("thing-1.0", "part-1.0")
        BOX.venvfs("uninstall", "-n", name, "-r", BOX.root / f"{name}.txt")
        self.assertEqual(packages(name), {})
        self.assertIn("pip", packages(name, seeds=True))

    def test_sync_is_exact_and_keeps_the_seed(self):
        name = self.env("thing-1.0", "part-1.0")
        BOX.venvfs("install", "-n", name, "picky")
        BOX.venvfs("sync", "-n", name)
        self.assertEqual(packages(name), {"thing": "1.0", "part": "1.0"})
        self.assertIn("pip", packages(name, seeds=True))

    def test_sync_with_another_lock_is_remembered(self):
        name = self.env("thing-1.0", "part-1.0")
        done = BOX.venvfs("sync", "-n", name, "-r", lock("other.txt", "thing-2.0", "part-1.0"))
        self.assertRegex(done.stderr, r"(?m)^~ thing 1\.0 -> 2\.0$")
        lock("other.txt", "thing-1.0", "part-1.5")
        BOX.venvfs("sync", "-n", name)
        self.assertEqual(packages(name), {"thing": "1.0", "part": "1.5"})

    def test_another_python_is_one_line(self):
        others = [path for version, path in harness.interpreters().items() if path != harness.default_python()
                  and version in ("3.9", "3.10", "3.12", "3.13")]
        if not others:
            self.skipTest("no second interpreter")
        name = self.env("thing-1.0", "part-1.0")
        before = BOX.json("show", name)["python"]
        done = BOX.venvfs("sync", "-n", name, "-p", others[0])
        after = BOX.json("show", name)["python"]
        changes = [line for line in done.stderr.splitlines() if "->" in line or line.startswith("~")]
        seeds = ("~ pip ", "~ setuptools ")  # each Python bundles its own
        self.assertEqual([line for line in changes if not line.startswith(seeds)],
                         [f"Python {before} -> {after}"])

    def test_another_wheel_of_the_same_version_is_named(self):
        name = self.env()
        wheels = []
        for text in ("one", "two"):
            folder = BOX.root / text
            folder.mkdir()
            wheels.append(harness.make_wheel(folder, "local", "1.0", {"local.py": f"x = {text!r}\n"}))
        BOX.venvfs("install", "-n", name, wheels[0])
        self.assertRegex(BOX.venvfs("install", "-n", name, wheels[1]).stderr, "(?m)^~ local 1.0, another wheel$")

    def test_sync_locked_changes_nothing(self):
        name = self.env("part-1.0")
        BOX.venvfs("sync", "-n", name, "--locked")
        lock(f"{name}.txt", "part-1.5")
        done = BOX.venvfs("sync", "-n", name, "--locked", status=1)
        self.assertIn("~ part 1.0 -> 1.5", done.stderr)
        self.assertEqual(packages(name), {"part": "1.0"})

    def test_sync_without_a_lock_says_so(self):
        name = self.env()
        self.assertIn("-r LOCK", BOX.venvfs("sync", "-n", name, status=1).stderr)

    def test_what_is_not_pinned_is_resolved_once_and_said(self):
        loose = BOX.root / "loose.txt"
        loose.write_text("thing\n")
        done = BOX.venvfs("create", "loose", "-p", harness.default_python(), "-r", loose)
        self.assertRegex(done.stderr, r"loose.txt is not fully pinned: resolved on \d{4}-\d\d-\d\d")
        kept = (BOX.venvfs_home / "envs" / "loose" / "resolved.txt").read_text()
        self.assertRegex(kept, "thing==2.0")
        harness.make_wheel(WHEELS, "thing", "3.0", {"thing/__init__.py": ""})
        try:
            BOX.venvfs("sync", "-n", "loose")
            self.assertEqual(packages("loose")["thing"], "2.0")
            BOX.venvfs("sync", "-n", "loose", "--refresh")
            self.assertEqual(packages("loose")["thing"], "3.0")
        finally:
            (WHEELS / "thing-3.0-py3-none-any.whl").unlink()

    def test_remove(self):
        name = self.env()
        BOX.venvfs("remove", name)
        BOX.venvfs("show", name, status=1)
        BOX.create(name)


class Locked(unittest.TestCase):
    """Two commands at once on one environment: the second waits and says so, or fails with --no-wait."""

    @classmethod
    def setUpClass(cls):
        BOX.create("contended", "-r", lock("contended.txt", "part-1.0"))
        cls.project = BOX.project("contended-project", harness.lock_text(WHEELS / "part-1.0-py3-none-any.whl"))
        BOX.venvfs("mount", "-p", harness.default_python(), cls.project)

    @contextlib.contextmanager
    def held(self, name):
        """As if this process changed the environment."""
        with open(BOX.venvfs_home / "envs" / name / "lock", "r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            file.truncate()
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def test_no_wait_names_the_holder_and_changes_nothing(self):
        bound = os.path.basename(os.readlink(self.project / ".venv"))
        with self.held("contended"), self.held(bound):
            for words in (["install", "-n", "contended", "thing"], ["uninstall", "-n", "contended", "part"],
                          ["sync", "-n", "contended"], ["remove", "contended"], ["mount", self.project]):
                with self.subTest(words=words):
                    done = BOX.venvfs(*words, "--no-wait", status=1)
                    self.assertRegex(done.stderr, rf"is being changed by process {os.getpid()}\n")
        self.assertEqual(packages("contended"), {"part": "1.0"})

    def test_waiting_is_said_after_a_second(self):
        with self.held("contended"):
            process = subprocess.Popen([harness.PROGRAM, "sync", "-n", "contended"], env=BOX.env, text=True,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            start = time.monotonic()
            line = process.stderr.readline()
            self.assertGreater(time.monotonic() - start, 0.9)
            self.assertEqual(line, "waiting: environment contended is being changed by process "
                                   f"{os.getpid()}\n")
        rest = process.communicate(timeout=30)[1]
        self.assertEqual((process.returncode, rest), (0, ""))

    def test_a_name_that_is_being_made(self):
        folder = BOX.venvfs_home / "envs" / "unborn"
        folder.mkdir()
        (folder / "lock").touch()
        slots = os.readlink(BOX.venvfs_home / "envs" / ".slots")
        with self.held("unborn"):
            process = subprocess.Popen([harness.PROGRAM, "create", "unborn", "-p", harness.default_python()],
                                       env=BOX.env, text=True, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.assertIn("waiting: environment unborn", process.stderr.readline())
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(int(os.readlink(BOX.venvfs_home / "envs" / ".slots")), int(slots) + 1)


class Damaged(unittest.TestCase):
    """An environment whose manifest cannot be read is in nobody's way."""

    def damage(self, name):
        (BOX.venvfs_home / "envs" / name / "1.json").write_text("{ not json")

    def test_list_names_it_lists_the_others_and_fails(self):
        for name in ("sound", "damaged"):
            BOX.create(name, "--without-pip")
        self.damage("damaged")
        try:
            done = BOX.venvfs("list", status=1)
            self.assertRegex(done.stderr, r"^warning: .*damaged/1.json: not JSON")
            self.assertRegex(done.stdout, "(?m)^sound ")
            done = BOX.venvfs("list", "--json", status=1)
            self.assertIn("sound", [row["name"] for row in json.loads(done.stdout)["environments"]])
        finally:
            BOX.venvfs("remove", "damaged")
        BOX.venvfs("list")

    def test_remove_takes_it_away(self):
        BOX.create("broken", "--without-pip")
        self.damage("broken")
        done = BOX.venvfs("remove", "broken")
        self.assertRegex(done.stderr, "warning: .*not JSON(.|\n)*removed broken")
        self.assertNotIn("broken", os.listdir(BOX.venvfs_home / "envs"))
        BOX.create("broken", "--without-pip")

    def test_remove_of_its_folder_takes_the_link_along(self):
        folder = BOX.root / "damaged-folder"
        BOX.create(folder, "--without-pip")
        self.damage(os.path.basename(os.readlink(folder)))
        BOX.venvfs("remove", folder)
        self.assertFalse(os.path.lexists(folder))

    def test_remove_without_its_slot_number(self):
        BOX.create("slotless", "--without-pip")
        (BOX.venvfs_home / "envs" / "slotless" / "slot").unlink()
        BOX.venvfs("remove", "slotless")
        BOX.venvfs("remove", "slotless", status=1)


class Progress(unittest.TestCase):
    """What takes over a second shows how it goes."""

    def on_a_terminal(self, *words, columns=80, env=None):
        """All that the program writes on a terminal of so many columns."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([str(word) for word in (harness.PROGRAM, *words)],
                                   env={**BOX.env, "TERM": "xterm", **(env or {})},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=follower)
        os.close(follower)
        text = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(leader, 65536):
                text += chunk
        os.close(leader)
        self.assertEqual(process.wait(60), 0, text)
        return text.decode()

    def test_a_terminal_shows_package_bytes_rate_and_time_left(self):
        folder = BOX.root / "big"
        folder.mkdir()
        source = "".join(f"def f{i}(a, b):\n    return [a + b * {i}, {{'k': a}}, (b, a)]\n" for i in range(400))
        wheels = [harness.make_wheel(folder, f"{name}-with-a-long-name-for-a-narrow-terminal", "1.0", {
            f"{name}/m{n}.py": f"x = {n}\n{source}" for n in range(80)}) for name in ("big1", "big2")]
        start = time.monotonic()
        text = self.on_a_terminal("store", "add", "-j", "1", "-p", harness.default_python(), *wheels)
        seconds = time.monotonic() - start
        lines = [line.removeprefix("\x1b[K").strip("\n") for line in text.split("\r")]
        drawn = [line for line in lines if line.startswith("adding ")]
        self.assertTrue(drawn, text)
        for line in drawn:
            self.assertLessEqual(len(line), 80)
        full = r"adding \[[#.]{20}\] big[12]\S*  [012]/2  [\d.]+/[\d.]+ MB  [\d.]+ MB/s  \d+ s left"
        self.assertTrue(any(re.fullmatch(full, line) for line in drawn), drawn)
        done = re.search(r"venvfs: adding: 2 packages, [\d.]+ MB in ([\d.]+) s", text)
        self.assertTrue(done, text)
        self.assertLess(float(done[1]), seconds + 0.06)

    def test_a_plain_note_has_no_colour_to_end(self):
        text = self.on_a_terminal("create", "plainly", "--without-pip", "-p", harness.default_python())
        self.assertRegex(text, r"^0 packages, Python 3")

    def test_a_download_names_the_package(self):
        wheel = harness.make_wheel(BOX.root, "far-away", "1.0", {"far.bin": os.urandom(2 << 20)})
        with SlowIndex(wheel, seconds=2) as url:
            text = self.on_a_terminal("create", "far", "-p", harness.default_python(), "-r",
                                      self.lock_of(wheel), env={"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "",
                                                                "PIP_INDEX_URL": url})
        self.assertRegex(text, r"downloading \[\.{20}\] far_away  0/1  [\d.]+ MB  [\d.]+ MB/s\r")
        self.assertRegex(text, r"venvfs: downloading: 1 package, 2.1 MB in ")
        self.assertNotIn("installing:", text)  # which took no second: its clock started after the download

    def lock_of(self, wheel):
        path = BOX.root / "far.txt"
        path.write_text(harness.lock_text(wheel).split("\n", 2)[2])  # no index options of its own
        return path


class SlowIndex:
    """A package index with one wheel, which it sends in so many seconds."""

    def __init__(self, wheel, seconds):
        data, name = wheel.read_bytes(), wheel.name

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                is_wheel = self.path.endswith(".whl")
                body = data if is_wheel else f'<a href="/{name}">{name}</a>'.encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for part in range(20):
                    time.sleep(seconds / 20 if is_wheel else 0)
                    self.wfile.write(body[len(body) * part // 20:len(body) * (part + 1) // 20])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}/"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Materialize(unittest.TestCase):
    def test_plain_files_that_run(self):
        BOX.create("plain", "-r", lock("plain.txt", "thing-1.0", "part-1.0"))
        folder = BOX.root / "out" / "env"
        done = BOX.venvfs("materialize", "-n", "plain", folder)
        self.assertEqual(harness.one_line(done.stdout), str(folder))
        out = harness.run([folder / "bin" / "python", "-c",
                           "import sys, thing; print(sys.prefix, thing.v)"]).stdout.split()
        self.assertEqual(out, [str(folder), "1.0"])
        self.assertFalse(any(path.is_symlink() and str(BOX.hub) in os.readlink(path)
                             for path in folder.rglob("*")))
        BOX.venvfs("materialize", "-n", "plain", folder, status=1)

    def test_what_only_a_mount_needs_is_left_out(self):
        BOX.create("hooked")
        folder = BOX.root / "hookless"
        BOX.venvfs("materialize", "-n", "hooked", folder)
        self.assertTrue(list(folder.glob("lib/python*/site-packages/pip")))
        self.assertFalse(list(folder.glob("lib/python*/site-packages/_venvfs*")))

    def test_the_accelerator_can_be_left_out(self):
        BOX.create("unhooked", "--no-accelerator")
        self.assertEqual(BOX.json("show", "unhooked")["settings"], {"import_hook": False})


class NoFuse(unittest.TestCase):
    """In a mount namespace whose /dev has no fuse."""

    HIDE = ("mount -t tmpfs tmpfs /dev && mknod -m666 /dev/null c 1 3 && "
            "mknod -m666 /dev/urandom c 1 9 && mknod -m666 /dev/zero c 1 5 && ")

    def hidden(self, *words, status=0):
        env = {name: value for name, value in BOX.env.items() if name != "VENVFS_NO_DAEMON"}
        script = self.HIDE + 'exec "$@"'
        return harness.run(["unshare", "-m", "sh", "-c", script, "sh", harness.PROGRAM, *words],
                           env=env, cwd=BOX.home, status=status)

    def setUp(self):
        if not shutil.which("unshare") or subprocess.run(
                ["unshare", "-m", "sh", "-c", self.HIDE + "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mount namespace of our own here")

    def shown(self, *words, status=0):
        """With FUSE, a daemon included."""
        if harness.fuse_problem():
            self.skipTest(harness.fuse_problem())
        return BOX.venvfs(*words, env={"VENVFS_NO_DAEMON": ""}, status=status)

    def tearDown(self):
        BOX.venvfs("umount", "--all")

    def hinted(self, done):
        """The one command that the hint names, as a shell would split it."""
        hints = re.findall(r"(?m)^hint: .*: venvfs (.*)$", done.stderr)
        self.assertEqual(len(hints), 1, done.stderr)
        return shlex.split(hints[0])

    def ask(self, env):
        program = "import sys, thing; print(sys.prefix, thing.v)"
        out = harness.run([env / "bin" / "python", "-c", program], env=BOX.env).stdout
        return out.strip().rsplit(" ", 1)

    def lock(self, folder, version):
        (folder / "requirements.txt").write_text(harness.lock_text(
            WHEELS / f"thing-{version}-py3-none-any.whl", WHEELS / "part-1.0-py3-none-any.whl"))

    def project(self, name, version="1.0"):
        folder = BOX.project(name)
        self.lock(folder, version)
        return folder

    def test_create_says_why_and_names_the_one_command_that_works(self):
        folder = BOX.root / "un seen" / "env"
        locked = lock("unseen.txt", "thing-1.0", "part-1.0")
        for where, path in (("unseen", BOX.hub / "unseen"), (folder, folder)):
            done = self.hidden("create", where, "--without-pip", "-r", locked, status=1)
            self.assertRegex(done.stderr, "unseen is made, but cannot be shown here: .*/dev/fuse"
                             if where == "unseen" else "is made, but cannot be shown here")
            self.assertEqual(done.stdout, "")
            self.assertFalse(os.path.lexists(path))
            again = self.hidden("create", where, "--fallback", status=1)
            self.assertIn("--fallback shows it", again.stderr)
            done = self.hidden(*self.hinted(done))
            self.assertEqual(harness.one_line(done.stdout), str(path))
            self.assertEqual(self.ask(path), [str(path), "1.0"])
        self.hidden("create", "at-once", "--without-pip", "-r", locked, "--fallback")
        self.assertEqual(self.ask(BOX.hub / "at-once"), [str(BOX.hub / "at-once"), "1.0"])
        # FUSE comes back: the mount takes the place of the plain files, whatever is shown first.
        self.shown("create", "other", "--without-pip")
        self.assertTrue(os.path.ismount(BOX.hub))
        self.assertEqual(self.ask(BOX.hub / "unseen"), [str(BOX.hub / "unseen"), "1.0"])
        self.assertFalse((BOX.venvfs_home / "edits").exists())
        # ... and goes: stubs give way, and what was written meanwhile is there.
        site = next((BOX.hub / "unseen").glob("lib/python3*/site-packages"))
        (site / "mine.py").write_text("mine = 1\n")
        BOX.venvfs("umount", "--all")
        self.assertEqual(os.listdir(BOX.hub / "unseen"), ["bin"])
        self.hidden("mount", "-n", "unseen", "--fallback")
        self.assertEqual(self.ask(BOX.hub / "unseen"), [str(BOX.hub / "unseen"), "1.0"])
        self.assertEqual((site / "mine.py").read_text(), "mine = 1\n")

    def test_plain_files_are_their_environment_as_the_link_would_be(self):
        folder, other = self.project("as-link"), self.project("as-link-other")
        env, place = folder / ".venv", BOX.root / "as link" / "env"
        self.hidden("mount", folder, "--fallback")
        self.hidden("mount", other, "--fallback")
        self.hidden("create", place, "--fallback", "--without-pip")
        (BOX.root / "through").symlink_to(BOX.root)
        through = BOX.root / "through" / "created-through"
        self.hidden("create", through, "--fallback", "--without-pip")
        for path, address in ((env, env), (folder, env), (place, place), (through, through),
                              (BOX.root / "through" / folder.name / ".venv", env)):
            self.assertEqual(BOX.json("show", path)["address"], str(address))
        # An active environment is meant before the project of the current folder.
        done = BOX.venvfs("show", "--json", cwd=other, env={"VIRTUAL_ENV": str(env)})
        self.assertEqual(json.loads(done.stdout)["address"], str(env))
        self.assertEqual(harness.one_line(self.hidden("mount", env).stdout), str(env))
        self.assertIn("exists and is environment", BOX.venvfs("create", place, status=1).stderr)

    def test_plain_files_give_way_to_the_mount(self):
        folder = self.project("give-way")
        env = folder / ".venv"
        self.hidden("mount", folder, "--fallback")
        self.lock(folder, "2.0")
        self.assertIn("~ thing 1.0 -> 2.0", self.shown("mount", folder).stderr)
        self.assertTrue(env.is_symlink())
        self.assertEqual(self.ask(env), [str(env), "2.0"])
        self.assertEqual(sorted(os.listdir(folder)), [".venv", "requirements.txt"])

    def test_plain_files_never_go_stale(self):
        folder = self.project("stale")
        env = folder / ".venv"
        run = lambda how: how("run", "-n", str(folder), "python", "-c", "import thing; print(thing.v)"
                              ).stdout.strip()
        self.hidden("mount", folder, "--fallback")
        self.lock(folder, "2.0")
        self.hidden("mount", folder)  # the fallback is remembered
        self.assertEqual(self.ask(env), [str(env), "2.0"])
        self.hidden("install", "-n", str(folder), "thing==1.0")
        self.assertEqual(self.ask(env), [str(env), "1.0"])
        # A generation that came into being without them, as by a process that was killed.
        kept = (BOX.venvfs_home / "envs" / BOX.json("show", str(folder))["name"] / "fallback.json")
        older = json.loads(kept.read_text())
        older["generation"] -= 1
        kept.write_text(json.dumps(older))
        (env / "lib").rename(env / "gone")
        self.assertEqual(run(self.hidden), "1.0")
        self.assertFalse(env.is_symlink())
        kept.write_text(json.dumps({**json.loads(kept.read_text()), "generation": 1}))
        self.assertEqual(run(self.shown), "1.0")
        self.assertTrue(env.is_symlink())

    def test_a_change_that_cannot_be_shown_says_that_it_is_made(self):
        folder = self.project("unshown")
        self.shown("mount", folder)
        BOX.venvfs("umount", "--all")
        self.lock(folder, "2.0")
        done = self.hidden("mount", folder, status=1)
        self.assertIn("is changed, but cannot be shown here", done.stderr)
        self.hidden(*self.hinted(done))
        self.assertEqual(self.ask(folder / ".venv"), [str(folder / ".venv"), "2.0"])

    def test_mount_leaves_no_dangling_link_and_fallback_writes_plain_files(self):
        wheels = [WHEELS / f"{name}-1.0-py3-none-any.whl" for name in ("thing", "part")]
        folder = BOX.project("plain", harness.lock_text(*wheels))
        self.hidden("mount", folder, status=1)
        self.assertFalse(os.path.lexists(folder / ".venv"))
        done = self.hidden("mount", folder, "--fallback")
        env = pathlib.Path(harness.one_line(done.stdout))
        self.assertEqual(env, folder / ".venv")
        self.assertTrue(env.is_dir() and not env.is_symlink())
        program = "import sys, thing; print(sys.prefix, thing.v)"
        ask = lambda: harness.run([env / "bin" / "python", "-c", program]).stdout.split()
        self.assertEqual(ask(), [str(env), "1.0"])
        (folder / "requirements.txt").write_text(harness.lock_text(
            WHEELS / "thing-2.0-py3-none-any.whl", wheels[1]))
        self.hidden("mount", folder, "--fallback")
        self.assertEqual(ask(), [str(env), "2.0"])
        self.assertEqual(sorted(os.listdir(folder)), [".venv", "requirements.txt"])
        done = self.hidden("run", "-n", str(folder), "python", "-c", program)
        self.assertEqual(done.stdout.split(), [str(env), "2.0"])
        self.hidden("remove", str(folder))
        self.assertEqual(os.listdir(folder), ["requirements.txt"])


class Shells(unittest.TestCase):
    def test_shell_init_is_read_without_a_word(self):
        for shell in ("bash", "zsh", "fish"):
            if shutil.which(shell) is None:
                continue
            with self.subTest(shell=shell):
                text = BOX.venvfs("shell-init", shell).stdout
                options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
                done = harness.run([shell, *options, "-c", text], env=BOX.env)
                self.assertEqual((done.stdout, done.stderr), ("", ""))

    def complete(self, *words):
        """What bash offers for the last word."""
        quoted = " ".join(f"'{word}'" for word in words)
        script = (f"{BOX.venvfs('shell-init', 'bash').stdout}\n"
                  f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
                  "_venvfs 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\"")
        return harness.run(["bash", "--norc", "-c", script], env=BOX.env).stdout.split()

    def test_bash_offers_commands_options_and_environments(self):
        BOX.create("offered")
        program = str(harness.PROGRAM)
        self.assertEqual(self.complete(program, "mat"), ["materialize"])
        self.assertEqual(self.complete(program, "store", "ver"), ["verify"])
        self.assertEqual(self.complete(program, "create", "--syst"), ["--system-site-packages"])
        self.assertIn("offered", self.complete(program, "show", "off"))
        self.assertIn("offered", self.complete(program, "run", "-n", "off"))

    def test_the_manual_names_every_command_and_option(self):
        manual = re.sub(r"\\&", "", (harness.SOURCE / "docs/man/venvfs.1").read_text())
        names = [line.split("\t")[0] for line in BOX.venvfs("--list-commands").stdout.splitlines()]
        for name in names:
            self.assertRegex(manual, rf"Cm [a-z ]*\b{name}\b")
            if name in ("help", "python", "pyenv", "shell-init"):
                continue
            commands = [[name]]
            if name in ("store", "tool"):
                listed = BOX.venvfs(name, "--list-commands").stdout.splitlines()
                commands = [[name, line.split("\t")[0]] for line in listed]
            for command in commands:
                self.assertRegex(manual, rf"Cm [a-z |]*\b{command[-1]}\b")
                for option in BOX.venvfs(*command, "--list-options").stdout.split():
                    self.assertTrue(re.search(rf" {re.escape(option[1:])}\b", manual),
                                    f"{command} {option}")


if __name__ == "__main__":
    harness.main(needs_fuse=False)
