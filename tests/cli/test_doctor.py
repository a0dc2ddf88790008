#!/usr/bin/env python3
"""venvfs doctor: each kind of damage is made by hand, told with a code, mended by the command that doctor
names, and not told again."""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

needs_mount = unittest.skipIf(harness.fuse_problem(), str(harness.fuse_problem()))
AREAS = ["fuse", "folders", "daemon", "store", "environments"]


def setUpModule():
    global WHEELS, SCRATCH, USED
    SCRATCH = harness.Sandbox("doctor")
    unittest.addModuleCleanup(SCRATCH.close)
    WHEELS = SCRATCH.root / "wheels"
    WHEELS.mkdir()
    for version in ("1.0", "2.0"):
        harness.make_wheel(WHEELS, "thing", version, {
            "thing/__init__.py": f"v = {version!r}\n", "thing/sub/__init__.py": "",
            "thing/sub/deep.py": f"deep = {version!r}\n"})
    (SCRATCH.root / "bin").mkdir()
    (SCRATCH.root / "bin" / "venvfs").symlink_to(harness.PROGRAM)
    # A VENVFS_HOME in which the tools are made and thing 1.0 is stored, to be copied.
    used = harness.Sandbox("doctor")
    unittest.addModuleCleanup(used.close)
    used.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_NO_DAEMON="1")
    (used.root / "e.txt").write_text(lock("thing-1.0"))
    used.create("e", "--without-pip", "-r", used.root / "e.txt")
    used.venvfs("remove", "e")
    USED = used.venvfs_home


def lock(*wheels):
    return harness.lock_text(*(WHEELS / f"{wheel}-py3-none-any.whl" for wheel in wheels))


class Doctor(unittest.TestCase):
    """A sandbox for each test; no daemon, unless a subclass wants one."""
    daemon = False

    def setUp(self):
        self.box = self.sandbox()

    def sandbox(self, **variables):
        box = harness.Sandbox("doctor")
        self.addCleanup(box.close)
        box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), **variables,
                       PATH=f"{SCRATCH.root / 'bin'}:{box.env['PATH']}")
        if not self.daemon:
            box.env["VENVFS_NO_DAEMON"] = "1"
        return box

    def use(self):
        """What every sandbox gets in its first seconds."""
        if not self.box.venvfs_home.exists():
            shutil.copytree(USED, self.box.venvfs_home, symlinks=True)

    def env(self, name="e", *wheels, **options):
        """An environment with a lock; its folder in VENVFS_HOME."""
        self.use()
        file = self.box.root / f"{name}.txt"
        file.write_text(lock(*(wheels or ["thing-1.0"])))
        self.box.create(name, "--without-pip", "-r", file, **options)
        return self.box.venvfs_home / "envs" / name

    def look(self, **options):
        """All that doctor says, as JSON. The exit code must fit it."""
        done = self.box.venvfs("doctor", "--json", status=None, **options)
        self.assertEqual(done.stderr, "")
        said = json.loads(done.stdout)
        problems = [f for f in said["findings"] if f["level"] == "problem"]
        self.assertEqual(done.returncode, 1 if problems else 0, said)
        self.assertEqual((said["ok"], said["problems"]), (not problems, len(problems)))
        return said

    def findings(self, area=None):
        """What is wrong, besides FUSE where the machine has none."""
        return [f for f in self.look()["findings"]
                if (f["area"] == area if area else f["area"] != "fuse")]

    def quiet(self):
        self.assertEqual(self.findings(), [])

    def only(self, code, level="problem"):
        """The one finding, of this code and level; people are told the same."""
        found = self.findings()
        self.assertEqual([(f["code"], f["level"]) for f in found], [(code, level)], found)
        text = self.box.venvfs("doctor", status=None).stdout
        self.assertIn(f"  {level}: {found[0]['message']}\n", text)
        if found[0]["remedy"]:
            self.assertIn(f"    -> {found[0]['remedy']}\n", text)
        return found[0]

    def mend(self, finding, status=0):
        """Runs the command that a finding names."""
        return harness.run(["sh", "-c", finding["remedy"]], env=self.box.env, cwd=self.box.home,
                           status=status)


class Healthy(Doctor):
    def test_nothing_at_all(self):
        said = self.look()
        self.assertEqual([area["name"] for area in said["areas"]], AREAS)
        self.assertEqual({area["state"] for area in said["areas"][1:]}, {"ok"})
        self.quiet()
        self.assertFalse(self.box.venvfs_home.exists(), "doctor made something")
        self.assertEqual(self.box.processes(), {})

    def test_one_line_for_each_area(self):
        self.env("one")
        self.env("two")
        done = self.box.venvfs("doctor", status=None)
        lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
        self.assertEqual([line.split()[1] for line in lines], [f"{area}:" for area in AREAS])
        self.assertRegex(lines[3], r"^ok +store: +1 image in 1 pack$")
        self.assertRegex(lines[4], r"^ok +environments: +2$")
        if not harness.fuse_problem():
            self.assertEqual(len(done.stdout.splitlines()), len(AREAS))
            self.assertEqual(done.stderr, "nothing is wrong\n")

    def test_json_keeps_its_names(self):
        (self.env() / "1.json").write_text("{")
        said = self.look()
        self.assertEqual(list(said), ["ok", "problems", "warnings", "areas", "findings"])
        self.assertEqual(list(said["areas"][0]), ["name", "state", "summary"])
        found = [f for f in said["findings"] if f["area"] == "environments"]
        self.assertEqual(list(found[0]), ["level", "area", "code", "environment", "path", "message",
                                          "remedy"])
        self.assertEqual(found[0]["environment"], "e")
        page = (harness.SOURCE / "docs" / "man" / "venvfs.1").read_text()
        sources = (harness.SOURCE / "cli").glob("doctor*.c")
        codes = {word for source in sources for word in source.read_text().split('"')[1::2]
                 if word.replace("-", "").isalpha() and "-" in word and word.islower()}
        self.assertGreater(len(codes), 30)
        for code in codes:
            self.assertIn(code, page, "venvfs(1) does not explain this code")

    def test_wrong_usage(self):
        self.box.venvfs("doctor", "word", status=2)

    @unittest.skipUnless(os.getuid() == 0 and shutil.which("setpriv"), "needs root")
    def test_as_another_user(self):
        home = self.box.root / "theirs"
        home.mkdir()
        os.chmod(self.box.root, 0o755)
        os.chown(home, 65534, 65534)
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if harness.run([*as_user, "test", "-x", harness.PROGRAM], status=None).returncode:
            self.skipTest("that user cannot reach the program")
        env = {**self.box.env, "HOME": str(home), "VENVFS_HOME": str(home / "data"),
               "VENVFS_HUB": str(home / "hub"), "VENVFS_RUNTIME_DIR": str(home / "run")}
        done = harness.run([*as_user, harness.PROGRAM, "doctor", "--json"], env=env, cwd=home,
                           status=None)
        self.assertEqual({f["area"] for f in json.loads(done.stdout)["findings"]} - {"fuse"}, set())
        # sudo with the caller's variables: root meets what is another user's.
        harness.run([*as_user, harness.PROGRAM, "create", "x", "-p", harness.default_python(),
                     "--without-pip"], env=env, cwd=home, status=None)
        done = harness.run([harness.PROGRAM, "doctor", "--json"], env=env, cwd=home, status=1)
        owner = [f for f in json.loads(done.stdout)["findings"] if f["code"] == "folder-owner"]
        self.assertTrue(owner[0]["remedy"].startswith("sudo -u "), owner)


class Fuse(Doctor):
    HIDE = "mount -t tmpfs tmpfs /dev && mknod -m666 /dev/null c 1 3 && "

    def in_namespace(self, script, *words):
        if not shutil.which("unshare") or subprocess.run(
                ["unshare", "-m", "sh", "-c", script + "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mount namespace of our own here")
        done = harness.run(["unshare", "-m", "sh", "-c", script + 'exec "$@"', "sh", harness.PROGRAM,
                            *words], env=self.box.env, cwd=self.box.home, status=None)
        return done.returncode, json.loads(done.stdout) if "--json" in words else done.stdout

    def test_no_fuse(self):
        self.env("e")
        code, said = self.in_namespace(self.HIDE, "doctor", "--json")
        found = [f for f in said["findings"] if f["area"] == "fuse"]
        self.assertEqual([(code, f["code"], f["level"]) for f in found],
                         [(1, "fuse-unusable", "problem")])
        self.assertIn("/dev/fuse", found[0]["message"])
        self.assertIn("materialize", found[0]["remedy"])

    def test_plain_files_do_without(self):
        self.use()
        del self.box.env["VENVFS_NO_DAEMON"]
        (self.box.root / "l.txt").write_text(lock("thing-1.0"))
        self.in_namespace(self.HIDE, "create", "e", "-p", harness.default_python(), "--without-pip",
                          "-r", self.box.root / "l.txt", "--fallback")
        code, said = self.in_namespace(self.HIDE, "doctor", "--json")
        self.assertEqual([(code, f["code"], f["level"]) for f in said["findings"]],
                         [(0, "fuse-unusable", "warning")])
        record = self.box.venvfs_home / "envs" / "e" / "fallback.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "generation": 7}))
        code, said = self.in_namespace(self.HIDE, "doctor", "--json")
        stale = [f for f in said["findings"] if f["code"] == "plain-files-stale"]
        self.assertEqual((code, stale[0]["level"], stale[0]["environment"]), (1, "problem", "e"))
        self.in_namespace(self.HIDE, *stale[0]["remedy"].split()[1:])
        self.assertEqual(self.in_namespace(self.HIDE, "doctor", "--json")[0], 0)

    def test_little_space(self):
        small = self.box.root / "small"
        small.mkdir()
        self.box.env["VENVFS_HOME"] = str(small / "data")
        code, said = self.in_namespace(f"mount -t tmpfs -o size=8m tmpfs '{small}' && ", "doctor",
                                       "--json")
        self.assertIn(("low-space", "warning"),
                      [(f["code"], f["level"]) for f in said["findings"]])


class Folders(Doctor):
    def test_others_may_write(self):
        self.env()
        os.chmod(self.box.venvfs_home / "envs", 0o777)
        found = self.only("folder-writable")
        self.assertEqual(found["path"], str(self.box.venvfs_home / "envs"))
        self.mend(found)
        self.quiet()

    def test_others_may_read(self):
        self.env()
        os.chmod(self.box.venvfs_home, 0o755)
        self.mend(self.only("folder-readable", "warning"))
        self.quiet()

    def test_not_ours_to_write(self):
        self.env()
        os.chmod(self.box.venvfs_home / "interpreters", 0o500)
        self.mend(self.only("folder-mode"))
        self.quiet()

    def test_a_file_where_the_hub_should_be(self):
        self.box.hub.write_text("")
        self.mend(self.only("folder-kind"))
        self.quiet()

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_another_users(self):
        self.env()
        os.chown(self.box.venvfs_home / "envs", 65534, -1)
        self.assertIn("belongs to the user ", self.only("folder-owner")["message"])


class Store(Doctor):
    def test_a_pack_is_gone_or_cut(self):
        self.env()
        pack = next((self.box.venvfs_home / "store" / "packs").iterdir())
        pack.rename(self.box.root / "kept")
        found = self.only("store-damaged")
        self.assertIn("pack 1 is missing", self.mend(found, status=1).stdout)
        data = (self.box.root / "kept").read_bytes()
        pack.write_bytes(data[:-9])
        self.only("store-damaged")
        pack.write_bytes(data + b"more")
        self.only("store-damaged")
        pack.write_bytes(data)
        self.quiet()

    def test_an_image_is_gone_or_damaged(self):
        for name in "abcde":
            self.env(name)
        image = next((self.box.venvfs_home / "store" / "images").glob("*.image"))
        data = image.read_bytes()
        image.unlink()
        found = self.only("image-unusable")
        self.assertRegex(found["message"], r"^thing 1\.0 \(image 1\), which a, b, c and 2 more need: ")
        self.assertIn(image.name, self.mend(found, status=1).stdout)
        image.write_bytes(data[:100] + b"#" + data[101:])
        self.only("image-unusable")
        image.write_bytes(data)
        self.quiet()

    def test_the_catalog_is_damaged(self):
        self.env()
        catalog = self.box.venvfs_home / "store" / "catalog.sqlite"
        data = catalog.read_bytes()
        catalog.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
        found = {f["code"] for f in self.findings()}
        self.assertEqual(found, {"store-damaged"})
        catalog.write_bytes(data)
        self.quiet()

    def test_the_format_is_newer_or_the_store_is_gone(self):
        self.env()
        store = self.box.venvfs_home / "store"
        text = (store / "format").read_text()
        (store / "format").write_text("venvfs store\nreader 99\nwriter 99\n")
        self.assertIn("newer venvfs", self.only("store-unusable")["message"])
        (store / "format").write_text(text)
        store.rename(self.box.root / "kept")
        self.only("store-missing")
        (self.box.root / "kept").rename(store)
        self.quiet()


class Environments(Doctor):
    def test_a_manifest_is_damaged(self):
        (self.env() / "1.json").write_text("{")
        self.env("whole")
        self.mend(self.only("environment-damaged").copy() | {"remedy": "venvfs remove -n e"})
        self.quiet()
        (self.env("f") / "current").unlink()
        (self.box.venvfs_home / "envs" / "f" / "current").symlink_to("nowhere")
        found = self.only("environment-damaged")
        self.assertEqual(found["remedy"], "venvfs remove -n f, and make it again")

    def test_many_of_a_kind_are_cut_off_for_people(self):
        for name in "abcdefgh":
            (self.env(name) / "1.json").write_text("{")
        self.assertEqual(len(self.findings()), 8)
        text = self.box.venvfs("doctor", status=1).stdout
        self.assertIn("... and 3 more like this one", text)
        self.assertEqual(text.count("  problem: "), 5 + (1 if harness.fuse_problem() else 0))

    def test_names_cannot_command_the_terminal(self):
        elsewhere = str(self.box.root / "\x1b[31mred")
        text = self.box.venvfs("doctor", status=None, env={"VENVFS_HOME": elsewhere}).stdout
        self.assertIn("\\x1b[31mred", text)
        self.assertNotIn("\x1b", text)

    def test_what_killed_commands_left(self):
        envs = self.env().parent
        (envs / "half").mkdir()
        self.mend(self.only("environment-unfinished", "warning"))
        self.quiet()
        (envs / ".removed-gone-3-4194305" / "upper").mkdir(parents=True)
        self.mend(self.only("removed-halfway", "warning"))
        self.quiet()
        shutil.copy(envs / "e" / "1.json", envs / "e" / "2.json")
        (envs / "e" / "3.json.tmp").touch()
        self.assertIn("2 manifests", self.only("unfinished-generation", "note")["message"])

    def test_what_is_being_made_is_nothing_left(self):
        folder = self.env().parent / "half"
        folder.mkdir()
        with (folder / "lock").open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            self.quiet()
        self.only("environment-unfinished", "warning")

    def test_the_address_leads_elsewhere(self):
        self.use()
        folder = self.box.project("proj", lock("thing-1.0"))
        self.box.venvfs("mount", folder, "--no-project")
        (folder / ".venv").unlink()
        self.mend(self.only("address-broken"))
        self.quiet()
        (folder / ".venv").unlink()
        (folder / ".venv").mkdir()
        found = self.only("address-broken")
        self.assertTrue(found["remedy"].startswith("move it away; then venvfs mount "), found)

    def test_a_project_that_moved_or_went(self):
        self.use()
        folder = self.box.project("proj", lock("thing-1.0"))
        self.box.venvfs("mount", folder)
        moved = folder.rename(self.box.root / "moved")
        found = self.only("project-gone", "warning")
        self.assertIn("venvfs mount DIR", found["remedy"])
        self.box.venvfs("mount", moved)
        self.quiet()
        shutil.rmtree(moved)
        found = self.only("project-gone", "warning")
        self.mend({"remedy": found["remedy"].rpartition("gone for good, ")[2]})
        self.quiet()

    def test_the_upper_layer_is_damaged(self):
        upper = self.env() / "upper"
        (upper / "sub").mkdir(parents=True)
        (upper / "sub" / ".wh..wh..redirect").write_text("nonsense\n")
        found = self.only("upper-damaged")
        self.assertEqual(found["path"], str(upper / "sub"))
        self.mend(found)
        self.quiet()
        if os.getuid():
            os.chmod(upper / "sub", 0o000)
            self.mend(self.only("upper-unreadable"))
            self.quiet()

    def test_edits_are_counted(self):
        upper = self.env() / "upper"
        upper.mkdir()
        for i in range(3):
            (upper / f"file{i}").touch()
        self.quiet()
        summary = {area["name"]: area["summary"] for area in self.look()["areas"]}
        self.assertEqual(summary["environments"], "1; 3 edits in 1 of them")

    def test_left_by_a_killed_daemon(self):
        folder = self.env()
        for place in ("upper/.wh..wh..orphans", "upper/.wh..wh..work", "trash"):
            (folder / place).mkdir(parents=True)
            (folder / place / "x").touch()
        found = self.findings()
        self.assertEqual([(f["code"], f["level"]) for f in found], [("left-by-daemon", "note")] * 3)

    def test_someone_holds_the_upper_layer(self):
        folder = self.env()
        program = ("import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX);"
                   "print(flush=True); sys.stdin.read()")
        with subprocess.Popen([sys.executable, "-c", program, folder / "upper.lock"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdout.readline()
            found = self.only("upper-locked")
            self.assertIn(f"process {holder.pid} (", found["message"])
            self.mend(found)
            holder.wait()
        self.quiet()

    def test_a_thousand(self):
        folder = self.env()
        for i in range(999):
            shutil.copytree(folder, folder.parent / f"e{i}", symlinks=True)
        for manifest in folder.parent.glob("*/1.json"):
            text = manifest.read_text()
            manifest.unlink()  # a copy of its own, which names its own address
            manifest.write_text(text.replace(f"{self.box.hub}/e\"",
                                             f"{self.box.hub}/{manifest.parent.name}\""))
        start = time.monotonic()
        self.quiet()
        seconds = time.monotonic() - start
        print(f"a thousand environments: {seconds:.2f} s")
        self.assertLess(seconds, 4, "more than twice what it should take")


class Pythons(Doctor):
    """With an interpreter of its own: a folder of links to the real one."""

    def setUp(self):
        super().setUp()
        self.real = pathlib.Path(harness.default_python())
        self.minor = "%d.%d" % sys.version_info[:2] if self.real == pathlib.Path(sys.executable) else \
            harness.run([self.real, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
                        ).stdout.strip()
        self.prefix = self.box.root / "py"
        (self.prefix / "bin").mkdir(parents=True)
        (self.prefix / "lib").symlink_to(self.real.parent.parent / "lib")
        self.python = self.prefix / "bin" / "python3"
        self.python.symlink_to(self.real)

    def test_removed(self):
        self.env("e", python=self.python)
        self.quiet()
        shutil.rmtree(self.prefix)
        found = self.only("python-unusable")
        self.assertIn(f"{self.python}, is gone", found["message"])
        self.assertEqual(found["remedy"], f"venvfs sync -n e -p {self.minor}")
        self.mend(found)
        self.quiet()

    def test_removed_without_another(self):
        folder = self.env("e", python=self.python)
        shutil.rmtree(self.prefix)
        text = (folder / "1.json").read_text()
        version = json.loads(text)["version"]
        (folder / "1.json").write_text(text.replace(f'"{version}"', '"3.99.1"'))
        self.assertEqual(self.only("python-unusable")["remedy"],
                         "install Python 3.99, then venvfs sync -n e -p 3.99")

    def test_removed_and_there_is_no_lock(self):
        self.use()
        self.box.create("e", "--without-pip", python=self.python)
        self.box.venvfs("install", "-n", "e", "thing==1.0")
        shutil.rmtree(self.prefix)
        found = self.only("python-unusable")
        self.assertIn("venvfs export -n e", found["remedy"])
        self.mend(found)
        self.quiet()
        self.assertEqual(self.box.json("show", "e")["packages"][0]["name"], "thing")

    def test_does_not_run(self):
        self.env("e", python=self.python)
        self.python.unlink()
        self.python.write_text("#!/bin/sh\necho no libpython >&2; exit 127\n")
        self.python.chmod(0o755)
        found = self.only("python-unusable")
        self.assertIn("(exit code 127): no libpython", found["message"])

    def test_upgraded(self):
        folder = self.env("e", python=self.python)
        text = (folder / "1.json").read_text()
        version = json.loads(text)["version"]
        (folder / "1.json").write_text(text.replace(f'"{version}"', f'"{self.minor}.0"'))
        found = self.only("python-upgraded", "warning")
        self.assertIn(f"is Python {version} now", found["message"])
        self.mend(found)
        self.quiet()

    def test_another_minor_version(self):
        other = next((path for minor, path in harness.interpreters().items()
                      if minor != self.minor and minor >= "3.8"), None)
        if not other:
            self.skipTest("there is one interpreter only")
        self.env("e", python=self.python)
        self.python.unlink()
        self.python.symlink_to(os.path.realpath(other))
        lib = self.prefix / "lib"
        lib.unlink()
        lib.symlink_to(pathlib.Path(os.path.realpath(other)).parent.parent / "lib")
        found = self.only("python-other")
        self.mend(found)
        self.quiet()


    @needs_mount
    def test_of_an_environment_that_a_tool_made_from_inside(self):
        self.use()
        del self.box.env["VENVFS_NO_DAEMON"]
        self.box.venvfs("up")
        harness.run([self.python, "-m", "venv", "--without-pip", self.box.hub / "made"],
                    env=self.box.env)
        self.quiet()
        shutil.rmtree(self.prefix)
        found = self.only("python-unusable")
        self.mend(found)
        self.box.venvfs("remove", "made")
        self.quiet()
        self.assertEqual(self.box.json("show", "made-again")["python"].rpartition(".")[0], self.minor)


@needs_mount
class Live(Doctor):
    daemon = True

    def test_healthy(self):
        self.env("e")
        self.quiet()
        summary = {area["name"]: area["summary"] for area in self.look()["areas"]}
        self.assertRegex(summary["daemon"], rf"process {self.box.daemon_pid()}, 1 environment in view")

    def test_killed_in_the_middle_of_writes(self):
        self.env("e")
        site = next((self.box.hub / "e" / "lib").glob("python*")) / "site-packages"
        program = ("import os, sys, time\n"
                   "for i in range(10**6):\n"
                   "    with open(f'{sys.argv[1]}/f{i}', 'w') as f:\n"
                   "        f.write(str(i)); f.flush(); os.fsync(f.fileno())\n"
                   "    print(i, flush=True)\n")
        with subprocess.Popen([sys.executable, "-c", program, site], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as writer:
            for _ in range(20):
                last = int(writer.stdout.readline())
            pid = self.box.daemon_pid()
            os.kill(pid, signal.SIGKILL)
            last = max([last, *map(int, writer.stdout.read().split())])
        found = {f["code"]: f for f in self.findings()}
        self.assertEqual(set(found) - {"left-by-daemon"}, {"daemon-killed", "mount-healed"})
        self.assertEqual({f["level"] for f in found.values()}, {"note"})
        self.assertIn(f"process {pid}, was killed", found["daemon-killed"]["message"])
        self.assertEqual(found["mount-healed"]["path"], str(self.box.hub))
        self.assertEqual(self.box.mounts(), [])
        self.box.venvfs("mount", "-n", "e")
        self.quiet()
        for i in range(last + 1):
            self.assertEqual((site / f"f{i}").read_text(), str(i))

    def test_a_dead_mount_that_is_not_healed(self):
        """Without daemon.json no command looks by itself."""
        self.env("e")
        os.kill(self.box.daemon_pid(), signal.SIGKILL)
        (self.box.venvfs_home / "daemon.json").unlink()
        harness.wait_until(lambda: not self.box.processes(), 10)
        found = self.only("mount-stale")
        self.mend(found)
        self.quiet()

    def test_unmounted_by_hand(self):
        self.env("e")
        place = self.box.root / "place"
        self.box.venvfs("mount", "e", place)
        self.quiet()
        if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mount namespace of our own here")
        done = harness.run(["unshare", "-m", "sh", "-c", f"umount '{self.box.hub}' && "
                            f"'{harness.PROGRAM}' doctor --json"], env=self.box.env, status=1)
        codes = [f["code"] for f in json.loads(done.stdout)["findings"]]
        self.assertIn("mount-invisible", codes)

    @unittest.skipUnless(os.getuid() == 0 and shutil.which("setpriv"), "needs root")
    def test_another_user_cannot_enter(self):
        self.env("e")
        home = self.box.root / "theirs"
        home.mkdir()
        os.chmod(self.box.root, 0o755)
        os.chown(home, 65534, 65534)
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if harness.run([*as_user, "test", "-x", harness.PROGRAM], status=None).returncode:
            self.skipTest("that user cannot reach the program")
        env = {**self.box.env, "HOME": str(home), "VENVFS_HOME": str(home / "data"),
               "VENVFS_RUNTIME_DIR": str(home / "run")}
        done = harness.run([*as_user, harness.PROGRAM, "doctor", "--json"], env=env, cwd=home, status=1)
        found = [f for f in json.loads(done.stdout)["findings"] if f["area"] == "daemon"]
        self.assertEqual([f["code"] for f in found], ["mount-forbidden"], found)
        self.assertEqual(found[0]["path"], str(self.box.hub))

    def test_the_hub_is_another_homes(self):
        self.env("e")
        elsewhere = {"VENVFS_HOME": str(self.box.root / "other"),
                     "VENVFS_RUNTIME_DIR": str(self.box.root / "otherrun")}
        said = self.look(env=elsewhere)
        self.assertEqual([f["code"] for f in said["findings"]], ["mount-foreign"])

    def test_a_daemon_that_hangs(self):
        self.env("e")
        pid = self.box.daemon_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            found = self.findings()
            self.assertLess(time.monotonic() - start, 60)
            self.assertEqual([f["code"] for f in found], ["daemon-hangs"], found)
            self.mend(found[0])
            self.quiet()
        finally:
            os.kill(pid, signal.SIGCONT)

    def test_the_log(self):
        self.env("e")
        log = self.box.venvfs_home / "daemon.log"
        with log.open("a") as file:
            file.write("2026-01-01T00:00:00.000Z [1] one\n2026-01-01T00:00:00.000Z [1] two\n")
        found = self.findings()
        self.assertEqual([(f["code"], f["level"], f["message"]) for f in found],
                         [("log", "warning", "one"), ("log", "warning", "two")])
        self.assertEqual(self.mend(found[1]).stdout.count("\n"), 2)
        self.box.venvfs("umount", "--all")
        self.box.venvfs("up")
        self.quiet()

    def test_a_daemon_that_could_not_start(self):
        self.box.hub.mkdir()
        (self.box.hub / "mine").touch()
        self.box.venvfs("up", status=1)
        found = self.only("log", "warning")
        self.assertIn("was never a hub", found["message"])
        self.assertIn("was never a hub", self.mend(found).stdout)
        (self.box.hub / "mine").unlink()
        self.box.venvfs("up")
        self.quiet()

    def test_removed_from_inside(self):
        self.env("e")
        shutil.rmtree(self.box.hub / "e")
        self.mend(self.only("environment-emptied", "note"))
        self.quiet()
        self.assertTrue((self.box.hub / "e" / "bin" / "python").exists())

    def test_a_later_upper_layer_is_looked_at(self):
        self.test_removed_from_inside()
        (self.box.hub / "e" / "file").touch()
        summary = {area["name"]: area["summary"] for area in self.look()["areas"]}
        self.assertEqual(summary["environments"], "1; 1 edit in 1 of them")
        self.quiet()

    def test_edits_set_aside_come_back(self):
        folder = self.env("e")
        site = next((self.box.hub / "e" / "lib").glob("python*")).name
        aside = folder / "edits" / "1" / "lib" / site / "site-packages" / "thing"
        aside.mkdir(parents=True)
        (aside / "__init__.py").write_text("v = 'mine'\n")
        found = self.only("edits-aside", "warning")
        self.mend(found)
        self.quiet()
        self.assertEqual((self.box.hub / "e" / "lib" / site / "site-packages" / "thing" /
                          "__init__.py").read_text(), "v = 'mine'\n")

    def test_left_by_a_killed_daemon_goes_at_the_next_start(self):
        folder = self.env("e")
        (self.box.hub / "e" / "file").touch()
        os.kill(self.box.daemon_pid(), signal.SIGKILL)
        self.box.venvfs("status")
        (folder / "upper" / ".wh..wh..orphans").mkdir(exist_ok=True)
        (folder / "upper" / ".wh..wh..orphans" / "7").touch()
        self.assertIn("left-by-daemon", [f["code"] for f in self.findings()])
        self.box.venvfs("mount", "-n", "e")
        os.listdir(self.box.hub / "e")
        self.box.venvfs("umount", "--all")
        self.quiet()

    def test_a_renamed_folder_whose_mark_is_damaged(self):
        folder = self.env("e")
        site = next((self.box.hub / "e" / "lib").glob("python*")) / "site-packages"
        (site / "thing" / "sub").rename(site / "thing" / "moved")
        self.quiet()
        self.box.venvfs("umount", "--all")
        mark = next(folder.glob("upper/**/moved/.wh..wh..redirect"))
        mark.write_text("sha256:0000")
        self.mend(self.only("upper-damaged"))
        self.quiet()

    def test_plain_files_that_are_stale_give_way(self):
        """A generation that came into being without them."""
        folder = self.env("e")
        self.box.venvfs("umount", "--all")
        harness.make_removable(self.box.hub)
        shutil.rmtree(self.box.hub / "e")
        (self.box.hub / "e").mkdir()
        facts = (self.box.hub / "e").stat()
        (folder / "fallback.json").write_text(json.dumps({
            "path": str(self.box.hub / "e"), "dev": facts.st_dev, "ino": facts.st_ino,
            "generation": 9}))
        self.mend(self.only("plain-files-stale"))
        self.quiet()
        self.assertTrue((self.box.hub / "e" / "bin" / "python").exists())

    def test_a_daemon_of_another_version(self):
        self.box.venvfs("list")
        path = str(self.box.root / "s")
        (self.box.root / "run").mkdir(exist_ok=True, mode=0o700)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        answers = {"hello": {"ok": True, "protocol": 1, "version": "0.0.1"},
                   "status": {"ok": True, "pid": os.getpid(), "version": "0.0.1", "mounts": [],
                              "hub": str(self.box.hub), "in_view": []}}

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    peer = server.accept()[0]
                    with peer, contextlib.suppress(struct.error):
                        while True:
                            size, = struct.unpack("<I", peer.recv(4))
                            text = json.dumps(answers[json.loads(peer.recv(size))["do"]]).encode()
                            peer.sendall(struct.pack("<I", len(text)) + text)
        threading.Thread(target=serve, daemon=True).start()
        (self.box.venvfs_home / "daemon.json").write_text(json.dumps(
            {"pid": os.getpid(), "socket": path, "version": "0.0.1", "hub": str(self.box.hub)}))
        found = {f["code"]: f for f in self.findings()}
        self.assertEqual(set(found), {"daemon-version", "mount-invisible"})
        self.assertEqual(found["daemon-version"]["remedy"], "venvfs umount --all")
        self.assertIn("venvfs 0.0.1", found["daemon-version"]["message"])
        answers["hello"]["protocol"] = 99
        self.assertIn("protocol 99", self.only("daemon-unreachable")["message"])
        server.shutdown(socket.SHUT_RDWR)
        server.close()


if __name__ == "__main__":
    harness.main(needs_fuse=False)
