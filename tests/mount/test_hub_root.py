#!/usr/bin/env python3
"""Environments that tools make, remove and make anew from inside the hub."""
import errno
import fcntl
import functools
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def setUpModule():
    global BOX, LOCK, WHEEL
    BOX = harness.Sandbox("root")
    unittest.addModuleCleanup(BOX.close)
    BOX.env["VENVFS_SETTLE"] = "off"
    BOX.env["UV_PYTHON_DOWNLOADS"] = "never"
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    WHEEL = harness.make_wheel(wheels, "thing", "1.0", {
        "thing/__init__.py": "version = '1.0'\n", "thing/part/m.py": "n = 1\n"},
        entry_points="[console_scripts]\nthing = thing:main\n")
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(WHEEL))
    BOX.create("warm", "-r", LOCK)  # the daemon runs, and the wheel is in the store


@functools.lru_cache(None)
def tools():
    """A folder with virtualenv and uv, or None where pip cannot get them."""
    venv = BOX.root / "tools"
    harness.run([harness.default_python(), "-m", "venv", venv])
    done = harness.run([venv / "bin" / "python", "-m", "pip", "install", "-q", "virtualenv", "uv"],
                       env=BOX.env, status=None)
    return venv / "bin" if done.returncode == 0 else None


@functools.lru_cache(None)
def version_of(python):
    return harness.run([python, "-c", "import platform; print(platform.python_version())"]).stdout.strip()


def two_pythons():
    """Two of different minor versions that uv and venv take, the newer last."""
    found = [python for minor, python in harness.interpreters().items() if int(minor[2:]) >= 8]
    if len(found) < 2:
        raise unittest.SkipTest("there is only one Python")
    return found[-2], found[-1]


def kill_daemon():
    pid = BOX.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    if not harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}/fd/0"), 10):
        raise AssertionError("the daemon did not end")


def restart():
    BOX.venvfs("umount", "--all")
    BOX.venvfs("mount", "-n", "warm")


class Case(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rpartition(".")[2][:60]
        self.path = BOX.hub / self.name
        self.record = BOX.venvfs_home / "envs" / self.name

    def tool(self, name):
        if not tools():
            self.skipTest(f"pip cannot get {name} here")
        return tools() / name

    def run_it(self, *command, **options):
        return harness.run(command, env=BOX.env, cwd=BOX.home, **options)

    def create(self):
        env = BOX.create(self.name, "-r", LOCK)
        return harness.tree_digest(env)

    def listed(self, name=None):
        """The line of `venvfs list --json`, or None."""
        lines = BOX.json("list")["environments"]
        return next((line for line in lines if line["name"] == (name or self.name)), None)

    def in_hub(self):
        return self.name in os.listdir(BOX.hub)

    def generations(self):
        return BOX.json("history", "-n", self.name)["generations"]

    def marks(self):
        """Whiteouts and other marks of all writable layers of the environment."""
        return [path for path in harness.tree_digest(self.record) if os.path.basename(path).startswith(".wh.")
                and not path.endswith((".work", ".orphans"))]

    def assert_errno(self, number, function, *arguments, **options):
        with self.assertRaises(OSError) as caught:
            function(*arguments, **options)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    def check_works(self, python):
        """The environment is one like any other: its Python, pip, activation and commands."""
        ours = self.path / "bin" / "python"
        said = self.run_it(ours, "-c", "import sys; print(sys.prefix, sys.version.split()[0])").stdout.split()
        self.assertEqual(said, [str(self.path), version_of(python)])
        line = self.listed()
        self.assertEqual((line["python"], line["address"], line["emptied"]),
                         (version_of(python), str(self.path), False))
        shown = BOX.venvfs("show", self.name).stdout
        self.assertIn(version_of(python), shown)
        self.assertIn(os.path.dirname(os.path.realpath(line["executable"])),
                      os.path.dirname(os.path.realpath(python)))
        ran = BOX.venvfs("run", "-n", self.name, "python", "-c", "import sys; print(sys.prefix)").stdout
        self.assertEqual(ran.strip(), str(self.path))
        script = f'. "{self.path}/bin/activate" && python -c "import sys; print(sys.prefix)"'
        self.assertEqual(self.run_it("sh", "-c", script).stdout.strip(), str(self.path))

    def check_pip(self):
        pip = [self.path / "bin" / "python", "-m", "pip"]
        self.run_it(*pip, "install", "-q", "--no-index", WHEEL)
        self.run_it(self.path / "bin" / "python", "-c", "import thing.part.m")
        self.assertIn("thing", BOX.venvfs("diff", self.name).stdout)
        self.run_it(*pip, "uninstall", "-q", "-y", "thing")
        self.assertFalse(list(self.path.glob("lib/python*/site-packages/thing*")))


class Made(Case):
    def test_a_folder_that_is_made_is_an_empty_environment(self):
        before = os.stat(BOX.hub).st_mtime_ns
        os.mkdir(self.path)
        self.assertEqual(os.listdir(self.path), [])
        self.assertTrue(self.in_hub())
        self.assertGreater(os.stat(BOX.hub).st_mtime_ns, before)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o777 & ~umask())
        self.assertEqual(os.stat(self.path).st_uid, os.getuid())
        line = self.listed()
        self.assertEqual((line["python"], line["packages"], line["generation"]), (None, 0, 1))
        self.assertIn("none yet", BOX.venvfs("show", self.name).stdout)
        self.assertIn("no Python yet", BOX.venvfs("install", "-n", self.name, WHEEL, status=1).stderr)

    def test_one_that_is_removed_again_leaves_nothing(self):
        os.mkdir(self.path)
        os.rmdir(self.path)
        self.assertFalse(self.in_hub())
        self.assertIsNone(self.listed())
        self.assertFalse(self.record.exists())
        os.mkdir(self.path)
        (self.path / "file").write_text("text")
        shutil.rmtree(self.path)
        self.assertIsNone(self.listed())

    def test_the_mode_is_that_of_mkdir(self):
        os.mkdir(self.path, 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)
        restart()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)

    def test_venv_of_every_python(self):
        for minor, python in harness.interpreters().items():
            with self.subTest(minor):
                self.name = f"venv-{minor}"
                self.path, self.record = BOX.hub / self.name, BOX.venvfs_home / "envs" / self.name
                self.run_it(python, "-m", "venv", self.path, timeout=300)
                self.check_works(python)
                self.check_pip()

    def test_it_is_the_same_after_a_restart_and_after_kill_9(self):
        self.run_it(harness.default_python(), "-m", "venv", self.path)
        before = harness.tree_digest(self.path)
        restart()
        self.assertEqual(harness.tree_digest(self.path), before)
        kill_daemon()
        BOX.venvfs("mount", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)
        self.check_works(harness.default_python())

    def test_a_restart_between_mkdir_and_the_tool(self):
        os.mkdir(self.path)
        restart()
        self.assertEqual(os.listdir(self.path), [])
        kill_daemon()
        BOX.venvfs("mount", "-n", "warm")
        self.assertEqual(os.listdir(self.path), [])
        self.run_it(harness.default_python(), "-m", "venv", "--without-pip", self.path)
        self.check_works(harness.default_python())

    def test_virtualenv(self):
        self.run_it(self.tool("virtualenv"), "-q", self.path)
        self.check_works(harness.default_python())
        self.check_pip()

    def test_virtualenv_of_another_python_and_clear(self):
        older, newer = two_pythons()
        for python in (older, newer):
            self.run_it(self.tool("virtualenv"), "-q", "--clear", "-p", python, self.path)
            self.check_works(python)

    def test_uv_venv_and_clear(self):
        older, newer = two_pythons()
        self.run_it(self.tool("uv"), "venv", "-q", "-p", older, self.path)
        self.check_works(older)
        self.run_it(tools() / "uv", "pip", "install", "-q", "--no-index", "-p", self.path, WHEEL)
        self.run_it(self.path / "bin" / "python", "-c", "import thing.part.m")
        self.run_it(tools() / "uv", "venv", "-q", "--clear", "-p", newer, self.path)
        self.check_works(newer)
        self.assertFalse(list(self.path.glob("lib/python*/site-packages/thing*")))

    def test_packages_of_the_store_lie_below_what_the_tool_wrote(self):
        self.run_it(harness.default_python(), "-m", "venv", "--without-pip", self.path)
        before = harness.tree_digest(self.path)
        BOX.venvfs("sync", "-n", self.name, "-r", LOCK)
        self.run_it(self.path / "bin" / "python", "-c", "import thing.part.m")
        after = harness.tree_digest(self.path)
        self.assertEqual({path: after.get(path) for path in before}, before)
        self.assertIn("bin/thing", after)
        self.assertEqual(self.listed()["packages"], 1)
        restart()
        self.assertEqual(harness.tree_digest(self.path), after)
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_what_pip_installed_becomes_packages(self):
        self.run_it(harness.default_python(), "-m", "venv", self.path)
        self.run_it(self.path / "bin" / "pip", "install", "-q", "--no-index", WHEEL)
        BOX.venvfs("commit", self.name)
        names = {package["name"] for package in BOX.json("show", self.name)["packages"]}
        self.assertLessEqual({"pip", "thing"}, names)
        self.run_it(self.path / "bin" / "pip", "list")  # its first line is another now
        self.check_works(harness.default_python())
        shutil.rmtree(self.path)
        BOX.venvfs("rollback", "-n", self.name)
        self.check_works(harness.default_python())
        self.run_it(self.path / "bin" / "pip", "list")

    def test_sync_makes_a_whole_one_of_an_empty_folder(self):
        os.mkdir(self.path)
        BOX.venvfs("sync", "-n", self.name, "-r", LOCK, "-p", harness.default_python())
        self.check_works(harness.default_python())
        self.run_it(self.path / "bin" / "python", "-c", "import thing.part.m")

    def test_the_python_is_read_again_when_a_tool_replaces_it(self):
        older, newer = two_pythons()
        self.run_it(older, "-m", "venv", "--without-pip", self.path)
        self.assertEqual(self.listed()["python"], version_of(older))
        self.run_it(newer, "-m", "venv", "--without-pip", "--clear", self.path)
        self.check_works(newer)

    def test_a_folder_from_elsewhere_is_copied_in(self):
        source = BOX.root / "elsewhere"
        self.run_it(harness.default_python(), "-m", "venv", "--without-pip", source)
        before = harness.tree_digest(source)
        self.run_it("mv", source, self.path)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_a_stub_starts_the_daemon_for_it(self):
        self.run_it(harness.default_python(), "-m", "venv", "--without-pip", self.path)
        BOX.venvfs("umount", "--all")
        done = self.run_it(self.path / "bin" / "python", "-c", "import sys; print(sys.prefix)")
        self.assertEqual(done.stdout.strip(), str(self.path))


class Refused(Case):
    def test_what_is_no_name_of_an_environment(self):
        for name, number in ((".x", errno.EINVAL), ("-x", errno.EINVAL), ("a\nb", errno.EINVAL),
                             ("a" * 101, errno.ENAMETOOLONG), ("CACHEDIR.TAG", errno.EEXIST)):
            self.assert_errno(number, os.mkdir, BOX.hub / name)
        os.mkdir(self.path)
        self.assert_errno(errno.EEXIST, os.mkdir, self.path)

    def test_what_is_no_folder(self):
        self.assert_errno(errno.EPERM, os.symlink, "/tmp", self.path)
        self.assert_errno(errno.EPERM, os.mkfifo, self.path)
        self.assert_errno(errno.EPERM, os.mknod, self.path)
        self.assert_errno(errno.EPERM, os.link, BOX.hub / "CACHEDIR.TAG", self.path)
        self.assert_errno(errno.EPERM, open, self.path, "w")
        self.assert_errno(errno.EPERM, os.unlink, BOX.hub / "CACHEDIR.TAG")
        self.assert_errno(errno.ENOTDIR, os.rmdir, BOX.hub / "CACHEDIR.TAG")
        self.assert_errno(errno.EPERM, os.chmod, BOX.hub, 0o700)
        self.assert_errno(errno.ENOENT, os.rmdir, self.path)
        self.assertFalse(self.in_hub())

    def test_mv_of_an_environment_names_the_command_and_changes_nothing(self):
        before = self.create()
        self.run_it("mv", self.path, BOX.hub / "another", status=1)
        self.assertEqual(harness.tree_digest(self.path), before)
        self.assertFalse((BOX.hub / "another").exists())
        self.assertIn("venvfs rename", (BOX.venvfs_home / "daemon.log").read_text())
        self.assert_errno(errno.EXDEV, os.rename, self.path, self.path.parent / "warm" / "in")
        self.assert_errno(errno.EXDEV, os.rename, self.path / "bin", BOX.hub / "another")

    def test_rmdir_of_one_that_is_not_empty(self):
        before = self.create()
        self.assert_errno(errno.ENOTEMPTY, os.rmdir, self.path)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_while_a_command_changes_it(self):
        self.create()
        with open(self.record / "lock", "r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            for entry in os.scandir(self.path):
                shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)
            self.assert_errno(errno.EBUSY, os.rmdir, self.path)
            self.assertEqual(os.listdir(self.path), [])
        os.rmdir(self.path)
        self.assertTrue(self.listed()["emptied"])


class Emptied(Case):
    def check_emptied(self):
        self.assertFalse(self.in_hub())
        self.assert_errno(errno.ENOENT, os.stat, self.path)
        self.assertTrue(self.listed()["emptied"])
        self.assertIn("(emptied from inside)", BOX.venvfs("list").stdout)
        self.assertEqual(self.marks(), [])

    def test_the_record_stays_and_rollback_brings_all_back(self):
        before = self.create()
        shutil.rmtree(self.path)
        self.check_emptied()
        self.assertEqual(len(self.generations()), 1)
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)
        self.assertEqual([g["reason"] for g in self.generations()], ["rollback to 1", "create"])
        self.assertFalse(self.listed()["emptied"])

    def test_after_a_restart_and_after_kill_9(self):
        before = self.create()
        for again in (restart, lambda: (kill_daemon(), BOX.venvfs("mount", "-n", "warm"))):
            self.run_it("rm", "-rf", self.path)
            again()
            self.check_emptied()
            BOX.venvfs("rollback", "-n", self.name)
            self.assertEqual(harness.tree_digest(self.path), before)
            again()
            self.assertEqual(harness.tree_digest(self.path), before)

    def test_edits_go_with_the_folder(self):
        before = self.create()
        (self.path / "notes").write_text("mine")
        next(self.path.glob("lib/python*/site-packages/thing/__init__.py")).write_text("edited")
        shutil.rmtree(self.path)
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_everything_but_the_folder(self):
        before = self.create()
        self.run_it("find", self.path, "-mindepth", "1", "-delete")
        self.assertEqual(os.listdir(self.path), [])
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_commands_say_what_to_do(self):
        before = self.create()
        shutil.rmtree(self.path)
        for command in (["run", "-n", self.name, "python", "-V"], ["mount", "-n", self.name],
                        ["rename", self.name, "other"]):
            said = BOX.venvfs(*command, status=1).stderr
            self.assertIn("emptied from inside", said)
            self.assertIn(f"venvfs rollback -n {self.name}", said)
        self.assertIn("emptied", BOX.venvfs("show", self.name).stdout)
        BOX.venvfs("sync", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_making_the_folder_again_is_a_new_generation(self):
        before = self.create()
        shutil.rmtree(self.path)
        os.mkdir(self.path)
        self.assertEqual(os.listdir(self.path), [])
        self.assertEqual(self.listed()["generation"], 2)
        (self.path / "own").write_text("text")
        restart()
        self.assertEqual(os.listdir(self.path), ["own"])
        said = BOX.venvfs("rollback", "-n", self.name).stderr
        self.assertIn("uppers/2/upper", said)
        self.assertEqual(harness.tree_digest(self.path), before)
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual((self.path / "own").read_text(), "text")
        self.assertEqual(os.listdir(self.path), ["own"])
        BOX.venvfs("rollback", "-n", self.name, "1")
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_venv_clear_keeps_the_folder_and_begins_a_generation(self):
        before = self.create()
        python = harness.default_python()
        handle = os.open(self.path, os.O_RDONLY)
        self.run_it(python, "-m", "venv", "--clear", "--without-pip", self.path)
        self.assertTrue(os.path.samestat(os.fstat(handle), os.stat(self.path)))
        os.close(handle)
        self.check_works(python)
        self.assertEqual(self.listed()["packages"], 0)
        self.assertEqual(self.marks(), [])
        made = harness.tree_digest(self.path)
        kill_daemon()
        BOX.venvfs("mount", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), made)
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), made)

    def test_what_was_installed_in_the_new_one_comes_back_with_it(self):
        before = self.create()
        python = harness.default_python()
        shutil.rmtree(self.path)
        self.run_it(python, "-m", "venv", self.path)
        self.run_it(self.path / "bin" / "pip", "install", "-q", "--no-index", WHEEL)
        said = BOX.venvfs("rollback", "-n", self.name).stderr
        self.assertIn("what was installed inside", said)
        self.assertEqual(harness.tree_digest(self.path), before)
        BOX.venvfs("rollback", "-n", self.name)
        self.check_works(python)
        self.run_it(self.path / "bin" / "python", "-c", "import thing.part.m, pip")
        self.run_it(self.path / "bin" / "pip", "list")

    def test_one_that_a_tool_made_stays_where_its_files_say(self):
        self.create()
        shutil.rmtree(self.path)
        self.run_it(harness.default_python(), "-m", "venv", "--without-pip", self.path)
        for command in (["clone", self.name, self.name + "-2"], ["rename", self.name, self.name + "-2"]):
            self.assertIn("venvfs adopt", BOX.venvfs(*command, status=1).stderr)
        BOX.venvfs("rollback", "-n", self.name)
        BOX.venvfs("rename", self.name, self.name + "-2")
        said = BOX.venvfs("rollback", "-n", self.name + "-2", "2", status=1).stderr
        self.assertIn(str(self.path), said)
        self.assertIn("exists already", BOX.venvfs("create", self.name + "-2", status=1).stderr)

    def test_virtualenv_and_uv_recreate_it(self):
        older, newer = two_pythons()
        before = self.create()
        for command in ([self.tool("virtualenv"), "-q", "--clear", "-p", older],
                        [self.tool("uv"), "venv", "-q", "--clear", "-p", newer]):
            self.run_it(*command, self.path)
            self.check_works(command[-1])
            BOX.venvfs("rollback", "-n", self.name)
            self.assertEqual(harness.tree_digest(self.path), before)

    def test_uv_recreates_the_environment_that_a_project_links_to(self):
        older, newer = two_pythons()
        uv = self.tool("uv")
        folder = BOX.project(self.name, LOCK.read_text())
        (folder / "pyproject.toml").write_text(
            '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.8"\n')
        env = pathlib.Path(harness.one_line(BOX.venvfs("mount", "-p", older, folder).stdout))
        before = harness.tree_digest(env)
        said = harness.run([uv, "run", "--offline", "-p", newer, "python", "-c",
                            "import sys; print(sys.prefix, sys.version.split()[0])"],
                           env=BOX.env, cwd=folder).stdout.split()
        self.assertEqual(said[1], version_of(newer))
        self.assertTrue(os.path.islink(folder / ".venv"))
        self.assertEqual(BOX.json("show", cwd=folder)["python"], version_of(newer))
        BOX.venvfs("rollback", cwd=folder)
        self.assertEqual(harness.tree_digest(env), before)
        harness.run([uv, "sync", "--offline", "-q", "-p", newer], env=BOX.env, cwd=folder)
        self.assertEqual(BOX.json("show", cwd=folder)["python"], version_of(newer))
        restart()
        BOX.venvfs("rollback", cwd=folder)
        self.assertEqual(harness.tree_digest(env), before)

    def test_what_is_open_stays_readable(self):
        self.create()
        module = next(self.path.glob("lib/python*/site-packages/thing/part/m.py"))
        own = self.path / "own"
        own.write_text("x" * 100_000)
        with open(module) as package, open(own) as file:
            shutil.rmtree(self.path)
            os.mkdir(self.path)
            self.assertEqual(package.read(), "n = 1\n")
            self.assertEqual(len(file.read()), 100_000)

    def test_a_process_in_the_folder_does_not_spoil_the_next(self):
        before = self.create()
        program = ("import os, sys\nprint(flush=True)\nsys.stdin.readline()\n"
                   "try:\n open('file', 'w')\nexcept OSError as e:\n print(e.errno, os.listdir('.'))\n")
        with subprocess.Popen([harness.default_python(), "-c", program], cwd=self.path, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            shutil.rmtree(self.path)
            os.mkdir(self.path)
            (self.path / "file").write_text("ours")
            self.assertEqual(process.communicate("\n")[0], f"{errno.ENOENT} []\n")
        self.assertEqual((self.path / "file").read_text(), "ours")
        self.assertEqual(os.listdir(self.path), ["file"])
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.path), before)

    def test_no_descriptor_is_left_for_those_that_are_gone(self):
        def descriptors():
            return len(os.listdir(f"/proc/{BOX.daemon_pid()}/fd"))
        self.create()
        before = descriptors()
        for i in range(30):
            shutil.rmtree(self.path)
            os.mkdir(self.path)
            (self.path / "file").write_text(str(i))
        self.assertTrue(harness.wait_until(lambda: descriptors() <= before + 6, 5), descriptors())
        layers = os.listdir(self.record / "uppers")
        self.assertLessEqual(len(layers), 3, layers)

    def test_removing_it_for_good(self):
        self.create()
        shutil.rmtree(self.path)
        BOX.venvfs("remove", self.name)
        self.assertIsNone(self.listed())
        os.mkdir(self.path)
        self.assertEqual(self.listed()["generation"], 1)


class Together(Case):
    def test_listing_while_names_come_and_go(self):
        for i in range(20):
            os.mkdir(f"{self.path}-stays-{i}")
        stop, seen, wrong = threading.Event(), [0], []

        def look():
            while not stop.is_set():
                names = os.listdir(BOX.hub)
                kept = [name for name in names if name.startswith(f"{self.name}-stays-")]
                seen[0] += 1
                if len(kept) != 20 or len(set(names)) != len(names):
                    wrong.append(sorted(names))

        thread = threading.Thread(target=look)
        thread.start()
        for i in range(60):
            os.mkdir(f"{self.path}-{i}")
            if i >= 20:
                os.rmdir(f"{self.path}-{i - 20}")
        stop.set()
        thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(seen[0], 10)

    def test_commands_and_folders_at_the_same_time(self):
        """Both change the list of names; neither waits for the other for ever, and all is consistent."""
        done = []

        def commands():
            for i in range(6):
                BOX.venvfs("create", f"{self.name}-c{i}", "--without-pip")
                BOX.venvfs("remove", f"{self.name}-c{i}")
            done.append(True)

        thread = threading.Thread(target=commands)
        thread.start()
        rounds = 0
        while thread.is_alive():
            os.mkdir(self.path)
            (self.path / "file").write_text("x")
            shutil.rmtree(self.path)
            rounds += 1
        thread.join()
        self.assertEqual(done, [True])
        self.assertGreater(rounds, 3)
        self.assertFalse([name for name in os.listdir(BOX.hub) if name.startswith(self.name)])

    def test_kill_9_at_any_moment(self):
        """Whatever was cut off: the record can be read, and the environment comes back whole."""
        before = self.create()
        program = ("import os, shutil, sys\n"
                   "while True:\n"
                   " shutil.rmtree(sys.argv[1], ignore_errors=True)\n"
                   " os.mkdir(sys.argv[1])\n"
                   " os.mkdir(sys.argv[1] + '/bin')\n"
                   " open(sys.argv[1] + '/bin/python', 'w').close()\n")
        for i in range(12):
            with subprocess.Popen([harness.default_python(), "-c", program, self.path],
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(0.02 + 0.017 * i)
                kill_daemon()
                process.wait(timeout=30)
            BOX.venvfs("mount", "-n", "warm")
            line = self.listed()
            self.assertIsNotNone(line)
            self.assertEqual(self.in_hub(), not line["emptied"])
            if not line["emptied"] and not line["bare"]:
                shutil.rmtree(self.path)  # half of it is removed, by its user
            BOX.venvfs("rollback", "-n", self.name, "1")
            self.assertEqual(harness.tree_digest(self.path), before)


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


if __name__ == "__main__":
    harness.main(needs_fuse=True)
