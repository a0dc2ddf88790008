#!/usr/bin/env python3
"""The daemon from start to end: on demand, never in the way, healed when it was killed."""
import errno
import fcntl
import json
import os
import pathlib
import re
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
    global BOX, OLD, NEW
    BOX = harness.Sandbox("life")
    unittest.addModuleCleanup(BOX.close)
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    OLD, NEW = (harness.lock_text(harness.make_wheel(wheels, "thing", version, {
        "thing/__init__.py": f"version = {version!r}\n",
        f"thing/only_{version[0]}.py": ""})) for version in ("1.0", "2.0"))


class Case(unittest.TestCase):
    def project(self, lock=None):
        """A fresh project folder named after the test, brought up; returns (folder, environment)."""
        folder = BOX.project(self.id().rpartition(".")[2], lock or OLD)
        return folder, self.mount(folder)

    def mount(self, folder, *arguments):
        done = BOX.venvfs("mount", "-p", harness.default_python(), folder, *arguments)
        return pathlib.Path(harness.one_line(done.stdout))

    def version(self, env):
        return harness.run([env / "bin" / "python", "-c", "import thing; print(thing.version)"],
                           env=BOX.env, timeout=30).stdout.strip()


class Mounting(Case):
    def test_command_substitution_returns(self):
        folder = BOX.project("substitution", OLD)
        script = f'x=$("{harness.PROGRAM}" mount "{folder}"); echo "$x"; "$x/bin/python" -V'
        done = harness.run(["sh", "-c", script], env=BOX.env, timeout=60)
        self.assertEqual(len(done.stdout.splitlines()), 2)

    def test_pipe_returns(self):
        BOX.venvfs("umount", "--all")
        folder = BOX.project("pipe", OLD)
        harness.run(["sh", "-c", f'"{harness.PROGRAM}" mount "{folder}" 2>&1 | cat'], env=BOX.env,
                    timeout=60)

    def test_daemon_started_by_mount_holds_nothing_of_the_caller(self):
        self.project()
        pid = BOX.daemon_pid()
        self.assertIsNotNone(pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertNotEqual(os.getsid(pid), os.getsid(0))
        self.assertNotIn(f"pipe:", "".join(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)))

    def test_the_address_is_the_projects_venv(self):
        folder, env = self.project()
        self.assertEqual(env, folder / ".venv")
        out = harness.run([env / "bin" / "python", "-c", "import sys; print(sys.prefix)"]).stdout
        self.assertEqual(out.strip(), str(folder / ".venv"))

    def test_two_projects_two_versions_at_once(self):
        old, new = BOX.project("projectA", OLD), BOX.project("projectB", NEW)
        env_old, env_new = self.mount(old), self.mount(new)
        self.assertEqual((self.version(env_old), self.version(env_new)), ("1.0", "2.0"))

    def test_two_folders_of_one_name_do_not_clash(self):
        first, second = BOX.project("x/same", OLD), BOX.project("y/same", NEW)
        envs = self.mount(first), self.mount(second)
        self.assertEqual([self.version(env) for env in envs], ["1.0", "2.0"])

    def test_second_mount_changes_nothing(self):
        folder, env = self.project()
        before = harness.tree_digest(env)
        self.assertEqual(self.mount(folder), env)
        self.assertEqual(harness.tree_digest(env), before)

    def test_status_names_the_daemon_and_what_is_in_view(self):
        folder, _ = self.project()
        status = BOX.json("status")
        self.assertEqual(status["pid"], BOX.daemon_pid())
        text = str(status)
        self.assertIn(str(BOX.hub), text)
        self.assertIn(folder.name, text)
        self.assertIn("LOOKUP", {name.upper() for name in status["messages"]})

    def test_status_is_for_people(self):
        self.project()
        text = BOX.venvfs("status").stdout
        values = dict(re.findall(r"(?m)^ *(\w+) +(\S.*)$", text))
        self.assertRegex(values["started"], r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d, \d+ (s|min) ago$")
        for name in ("rss_anon", "rss_shmem", "frame_bytes", "frame_limit"):
            self.assertRegex(values[name], r"^\d+ B$|^\d+\.\d [KMG]iB$")
        lines = text.splitlines()
        for heading, below in zip(lines, lines[1:] + [""]):
            if re.fullmatch(r" *\w+", heading):
                self.assertRegex(below, "^  ", f"nothing below {heading}")

    def test_explicit_mount_on_a_folder(self):
        folder, env = self.project()
        target = BOX.root / "explicit dir"
        target.mkdir()
        name = os.path.basename(os.readlink(folder / ".venv"))
        BOX.venvfs("mount", "-n", name, target)
        out = harness.run([target / "bin" / "python", "-c", "import sys, thing; print(sys.prefix)"])
        self.assertEqual(out.stdout.strip(), str(target))
        BOX.venvfs("umount", target)
        self.assertEqual(os.listdir(target), [])
        self.assertEqual(self.version(env), "1.0")

    def test_a_real_venv_folder_is_left_alone(self):
        folder = BOX.project("foreign", OLD)
        (folder / ".venv").mkdir()
        (folder / ".venv" / "mine").write_text("x")
        done = BOX.venvfs("mount", folder, status=1)
        self.assertIn(".venv", done.stderr)
        self.assertEqual((folder / ".venv" / "mine").read_text(), "x")


class ReadOnly(Case):
    def test_attempts_to_write_into_an_explicit_mount_get_erofs(self):
        folder, env = self.project()
        target = BOX.root / "read only"
        BOX.venvfs("mount", "-n", os.path.basename(os.readlink(folder / ".venv")), target)
        self.addCleanup(BOX.venvfs, "umount", target)
        site = next(target.glob("lib/python3*/site-packages"))
        init = site / "thing" / "__init__.py"
        attempts = {
            "create": lambda: open(site / "new.py", "x"),
            "write": lambda: open(init, "r+"),
            "append": lambda: open(init, "a"),
            "truncate": lambda: os.truncate(init, 0),
            "unlink": lambda: os.unlink(init),
            "rename": lambda: os.rename(init, site / "thing" / "other.py"),
            "mkdir": lambda: os.mkdir(site / "folder"),
            "rmdir": lambda: os.rmdir(site / "thing"),
            "symlink": lambda: os.symlink("x", site / "link"),
            "link": lambda: os.link(init, site / "hard.py"),
            "chmod": lambda: os.chmod(init, 0o600),
            "utime": lambda: os.utime(init, (1, 1)),
        }
        wrong = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                wrong[name] = "succeeded"
            except OSError as error:
                if error.errno != errno.EROFS:
                    wrong[name] = errno.errorcode[error.errno]
        self.assertEqual(wrong, {})
        self.assertEqual(self.version(env), "1.0")

    def test_pip_uninstalls_in_the_environment_alone(self):
        _, env = self.project()
        other = self.mount(BOX.project("beside", OLD))
        before = harness.tree_digest(other)
        harness.run([env / "bin" / "python", "-m", "pip", "uninstall", "-y", "thing"], env=BOX.env)
        harness.run([env / "bin" / "python", "-c", "import thing"], env=BOX.env, status=1)
        self.assertEqual(harness.tree_digest(other), before)

    def test_directories_list_the_same_from_any_offset(self):
        _, env = self.project()
        for folder, names in ((folder, folders + files) for folder, folders, files in os.walk(env)):
            self.assertEqual(len(names), len(set(names)), folder)
            self.assertEqual(sorted(names), sorted(os.listdir(folder)))
            for name in names:
                os.lstat(os.path.join(folder, name))

    def test_modes_and_owner(self):
        _, env = self.project()
        for path, wanted in (("", 0o755), ("bin/activate", 0o644), ("bin/pip", 0o755)):
            facts = os.lstat(env.resolve() / path)
            self.assertEqual(stat.S_IMODE(facts.st_mode), wanted, path)
            self.assertEqual(facts.st_uid, os.getuid())


class LifeAndDeath(Case):
    def test_umount_ends_the_view_and_mount_brings_it_back(self):
        folder, env = self.project()
        BOX.venvfs("umount", folder)
        self.mount(folder)
        self.assertEqual(self.version(env), "1.0")

    def test_umount_all_leaves_no_mount(self):
        folder, env = self.project()
        BOX.venvfs("umount", "--all")
        self.assertEqual(BOX.mounts(), [])
        self.mount(folder)
        self.assertEqual(self.version(env), "1.0")

    def test_kill_is_healed_by_the_next_command(self):
        folder, env = self.project()
        for _ in range(3):
            os.kill(BOX.daemon_pid(), signal.SIGKILL)
            self.mount(folder)
            self.assertEqual(self.version(env), "1.0")
        self.assertEqual(len(BOX.mounts()), len(set(BOX.mounts())))

    def test_every_command_heals_what_a_killed_daemon_left(self):
        folder, env = self.project()
        place = BOX.root / "killed place"
        name = os.path.basename(os.readlink(env))
        for command in (["status"], ["list"], ["show", name]):
            BOX.venvfs("mount", "-n", name)
            BOX.venvfs("mount", "-n", name, place)
            os.kill(BOX.daemon_pid(), signal.SIGKILL)
            self.assertTrue(harness.wait_until(lambda: not BOX.processes(), 5))
            with self.assertRaises(OSError):
                os.statvfs(BOX.hub)
            BOX.venvfs(*command)
            self.assertEqual(BOX.mounts(), [])
            self.assertIn("bin", os.listdir(BOX.hub / name))  # the stubs
        self.assertFalse(BOX.json("status")["running"])
        self.mount(folder)
        self.assertEqual(self.version(env), "1.0")

    def test_edits_are_there_when_the_last_daemon_is_slow_to_let_go(self):
        """The kernel frees a dead daemon's locks one by one, its own before those of upper layers."""
        _, env = self.project()
        name = os.path.basename(os.readlink(env))
        (env / "mine").write_text("edit")
        BOX.venvfs("umount", "--all")
        with open(BOX.venvfs_home / "envs" / name / "upper.lock", "r+") as held:
            fcntl.lockf(held, fcntl.LOCK_EX)  # conflicts with the daemon's kind as its own would
            letting_go = threading.Timer(0.3, fcntl.lockf, (held, fcntl.LOCK_UN))
            letting_go.start()
            BOX.venvfs("mount", "-n", name)
            letting_go.join()
        self.assertEqual((env / "mine").read_text(), "edit")
        (env / "mine").write_text("another")

    def test_terminated_daemon_unmounts(self):
        folder, env = self.project()
        pid = BOX.daemon_pid()
        os.kill(pid, signal.SIGTERM)
        self.assertTrue(harness.wait_until(lambda: not BOX.mounts(), 5), BOX.mounts())
        self.mount(folder)
        self.assertEqual(self.version(env), "1.0")

    def test_stub_starts_the_daemon(self):
        """After a reboot there is no mount: .venv/bin/python starts the daemon and goes on."""
        folder, env = self.project()
        BOX.venvfs("umount", "--all")
        path = f"{harness.PROGRAM.parent}:{BOX.env['PATH']}"
        done = harness.run([env / "bin" / "python", "-c", "import thing; print(thing.version)"],
                           env={**BOX.env, "PATH": path}, timeout=60)
        self.assertEqual(done.stdout.strip(), "1.0")

    def test_sourcing_the_stubs_activate_works(self):
        folder, env = self.project()
        BOX.venvfs("umount", "--all")
        path = f"{harness.PROGRAM.parent}:{BOX.env['PATH']}"
        script = f". {env}/bin/activate; python -c 'import thing; print(thing.version)'"
        done = harness.run(["sh", "-c", script], env={**BOX.env, "PATH": path}, timeout=60)
        self.assertEqual(done.stdout.strip(), "1.0")

    def test_stubs_of_a_removed_environment_go(self):
        """Removed in view, after umount, and while no daemon runs; one that stays keeps its own."""
        for name in ("kept", "seen", "hidden", "later"):
            BOX.create(name, "--without-pip")
        BOX.venvfs("remove", "seen")
        BOX.venvfs("umount", "hidden")
        BOX.venvfs("remove", "hidden")
        BOX.venvfs("umount", "--all")
        self.assertFalse((BOX.hub / "seen").exists() or (BOX.hub / "hidden").exists())
        self.assertTrue((BOX.hub / "later" / "bin" / "python").exists())
        BOX.venvfs("remove", "later")
        (BOX.hub / ".foreign" / "bin").mkdir(parents=True)  # never a stub's
        BOX.venvfs("mount", "-n", "kept")
        BOX.venvfs("umount", "--all")
        self.assertFalse((BOX.hub / "later").exists())
        self.assertEqual(sorted(os.listdir(BOX.hub / "kept")), ["bin"])
        self.assertTrue(list((BOX.venvfs_home / "edits").glob("beneath-*/.foreign/bin")))

    def test_eight_commands_start_one_daemon(self):
        folder, env = self.project()
        BOX.venvfs("umount", "--all")
        pid = BOX.daemon_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            harness.wait_until(lambda: not BOX.processes(), 5)
        running = [subprocess.Popen([str(harness.PROGRAM), "mount", str(folder)], env=BOX.env,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True) for _ in range(8)]
        for process in running:
            out, said = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out.strip()), (0, str(env)), said)
        self.assertEqual(len(BOX.processes()), 1, BOX.processes())


class Switch(Case):
    def test_a_running_interpreter_sees_the_new_version(self):
        folder, env = self.project()
        program = """if True:
            import importlib, sys
            import thing, thing.only_1
            print(thing.version, flush=True)
            sys.stdin.readline()
            for name in [n for n in sys.modules if n.startswith("thing")]:
                del sys.modules[name]
            importlib.invalidate_caches()
            import thing
            print(thing.version, flush=True)
            import thing.only_2
            try:
                import thing.only_1
            except ImportError:
                print("only_1 is gone", flush=True)"""
        process = subprocess.Popen([str(env / "bin" / "python"), "-c", program], env=BOX.env,
                                   text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), "1.0\n")
        (folder / "requirements.txt").write_text(NEW)
        self.mount(folder)
        out, _ = process.communicate("\n", timeout=30)
        self.assertEqual(out, "2.0\nonly_1 is gone\n")

    def test_locked_refuses_a_changed_lock(self):
        folder, env = self.project()
        (folder / "requirements.txt").write_text(NEW)
        BOX.venvfs("mount", "--locked", folder, status=1)
        self.assertEqual(self.version(env), "1.0")

    def test_working_directory_survives_a_switch(self):
        folder, env = self.project()
        site = next(env.glob("lib/python3*/site-packages"))
        process = subprocess.Popen(["sh", "-c", "read x; pwd -P; ls >/dev/null"], cwd=site, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        (folder / "requirements.txt").write_text(NEW)
        self.mount(folder)
        out, said = process.communicate("\n", timeout=30)
        self.assertEqual((process.returncode, out.strip()), (0, str(site.resolve())), said)

    def test_open_file_keeps_its_bytes(self):
        folder, env = self.project()
        site = next(env.glob("lib/python3*/site-packages"))
        with open(site / "thing" / "only_1.py"), open(site / "thing" / "__init__.py") as file:
            (folder / "requirements.txt").write_text(NEW)
            self.mount(folder)
            self.assertEqual(file.read(), "version = '1.0'\n")
        self.assertEqual((site / "thing" / "__init__.py").read_text(), "version = '2.0'\n")


class Damage(unittest.TestCase):
    def test_a_damaged_package_is_an_error_of_its_reads_and_one_line_in_the_log(self):
        with harness.Sandbox("damage") as box:
            wheels = [harness.make_wheel(box.root, name, "1.0", {
                f"{name}/{n}.bin": os.urandom(300 << 10) for n in range(8)}) for name in ("hurt", "too")]
            lock = box.root / "lock.txt"
            lock.write_text(harness.lock_text(*wheels))
            env = box.create("one", "--without-pip", "-r", lock)
            for pack in (box.venvfs_home / "store" / "packs").glob("*.pack"):
                pack.chmod(0o600)
                with open(pack, "r+b") as file:  # all frames, neither head nor index
                    file.seek(4096)
                    file.write(os.urandom(pack.stat().st_size - (64 << 10) - 4096))
            failed = 0
            for path in [*env.glob("lib/python3*/site-packages/*/*.bin")] * 2:
                with self.assertRaises(OSError) as caught:
                    path.read_bytes()
                self.assertEqual(caught.exception.errno, errno.EIO)
                failed += 1
            self.assertEqual(failed, 32)
            log = (box.venvfs_home / "daemon.log").read_text()
            for name in ("hurt", "too"):
                self.assertEqual(len(re.findall(f"reading a file of {name} failed: ", log)), 1, log)
            self.assertTrue((env / "bin" / "activate").read_text())


class UserNamespace(unittest.TestCase):
    """`run` as a user who can gain no privilege to mount, which is what an unprivileged container, a
    service or a sandbox is: the environment is mounted for the command alone."""

    USER = 65534

    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("private")
        cls.addClassCleanup(cls.box.close)
        cls.box.env["PATH"] = "/usr/local/bin:/usr/bin:/bin"  # root's own folders are not for everybody
        cls.prefix = ["setpriv", "--no-new-privs"]
        if os.getuid() == 0:
            cls.prefix += [f"--reuid={cls.USER}", f"--regid={cls.USER}", "--clear-groups"]
        cls.python = next(filter(cls.can_run, [harness.default_python(), "/usr/bin/python3"]), None)
        cls.make_environments()
        if os.getuid() == 0:
            for folder, folders, files in os.walk(cls.box.root):
                for path in [folder] + [os.path.join(folder, name) for name in folders + files]:
                    os.chown(path, cls.USER, cls.USER, follow_symlinks=False)

    @classmethod
    def make_environments(cls):
        wheel = harness.make_wheel(cls.box.root, "thing", "1.0", {
            "thing/__init__.py": "version = '1.0'\n", "thing/data.bin": os.urandom(3 << 20)})
        lock = cls.box.root / "lock.txt"
        lock.write_text(harness.lock_text(wheel))
        for name in ("one", "two"):
            cls.box.create(name, "-r", lock, python=cls.python, env={"VENVFS_NO_DAEMON": "1"})

    @classmethod
    def can_run(cls, *words):
        # By a shell: setpriv itself still has root's eyes when it looks for a program.
        command = [*cls.prefix, "sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh", *map(str, words)]
        return subprocess.run([*command, "-V"] if len(words) == 1 else command).returncode == 0

    def setUp(self):
        if not self.python or not self.can_run(harness.PROGRAM, "--version"):
            self.skipTest("an ordinary user cannot read the program or an interpreter")
        if not self.can_run("unshare", "-Um", "true"):
            self.skipTest("user namespaces are not allowed here")

    def tearDown(self):
        """What served the command ended with it, and nothing is mounted for others."""
        self.assertTrue(harness.wait_until(lambda: not self.box.processes(), 5), self.box.processes())
        self.assertEqual(self.box.mounts(), [])
        self.assertEqual(os.listdir(self.box.hub), [])

    def command(self, *words, name="one"):
        return [*self.prefix, str(harness.PROGRAM), "run", "-n", name, *map(str, words)]

    def run_in(self, *words, status=0, **options):
        return harness.run(self.command(*words, **options), env=self.box.env, cwd=self.box.root,
                           status=status, timeout=60)

    def test_what_it_shows_is_not_collected(self):
        """No manifest names it any more, and no daemon knows of it."""
        env = {**self.box.env, "VENVFS_NO_DAEMON": "1"}
        locks = []
        for version in ("1.0", "2.0"):
            wheel = harness.make_wheel(self.box.root, "later", version, {
                "later/__init__.py": f"version = '{version}'\n", "later/data.bin": os.urandom(3 << 20)})
            locks.append(self.box.root / f"later{version}.txt")
            locks[-1].write_text(harness.lock_text(wheel))

        def venvfs(*words):
            return harness.run([*self.prefix, harness.PROGRAM, *words], env=env, cwd=self.box.root,
                               timeout=60).stdout

        def collect():
            done = json.loads(venvfs("store", "gc", "--keep-generations", "1", "--json"))
            return [(image["name"], image["version"]) for image in done["removed"]]
        venvfs("create", "three", "-p", self.python, "-r", locks[0])
        program = ("print('ready', flush=True); input(); import later; "
                   "print(later.version, len(open(later.__path__[0] + '/data.bin', 'rb').read()))")
        command = subprocess.Popen(self.command("python", "-c", program, name="three"),
                                   env=self.box.env, cwd=self.box.root, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.assertEqual(command.stdout.readline(), "ready\n")
            venvfs("sync", "-n", "three", "-r", locks[1])
            self.assertEqual(collect(), [])
        finally:
            out = command.communicate("\n", timeout=60)[0]
        self.assertEqual(out, f"1.0 {3 << 20}\n")
        self.assertTrue(harness.wait_until(lambda: not self.box.processes(), 5))
        self.assertEqual(collect(), [("later", "1.0")])
        venvfs("remove", "three")

    def test_the_command_sees_the_environment_at_its_address(self):
        program = "import sys, thing, thing as t; print(sys.prefix, thing.version, t.__file__)"
        words = self.run_in("python", "-c", program).stdout.split()
        self.assertEqual(words[:2], [str(self.box.hub / "one"), "1.0"])
        self.assertTrue(words[2].startswith(words[0]))
        out = self.run_in("python", "-c", "import thing, hashlib, pathlib; print(hashlib.sha256(pathlib.Path("
                          "thing.__file__).with_name('data.bin').read_bytes()).hexdigest())").stdout
        self.assertRegex(out, "^[0-9a-f]{64}$")
        self.assertIn(str(self.box.hub / "one"), self.run_in("pip", "--version").stdout)

    def test_the_address_of_a_link_stays(self):
        link = self.box.root / "project-venv"
        manifest = self.box.venvfs_home / "envs" / "two" / "1.json"
        text = manifest.read_text()
        try:
            manifest.write_text(text.replace(str(self.box.hub / "two"), str(link)))
            os.symlink(self.box.hub / "two", link)
            out = self.run_in("python", "-c", "import sys; print(sys.prefix)", name="two").stdout
            self.assertEqual(out.strip(), str(link))
            os.unlink(link)  # without the link, its place in the hub
            out = self.run_in("python", "-c", "import sys; print(sys.prefix)", name="two").stdout
            self.assertEqual(out.strip(), str(self.box.hub / "two"))
        finally:
            manifest.write_text(text)

    def test_exit_code_and_signals_are_the_commands_own(self):
        self.run_in("sh", "-c", "exit 7", status=7)
        self.run_in("sh", "-c", "kill -TERM $$", status=-signal.SIGTERM)
        self.run_in("no-such-command", status=127)
        process = subprocess.Popen(self.command("python", "-c", "import os, time; print(os.getpid(), flush=True);"
                                                "time.sleep(60)"), env=self.box.env, cwd=self.box.root,
                                   stdout=subprocess.PIPE, text=True,
                                   # a job in the background, as of CI, ignores it
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.assertEqual(int(process.stdout.readline()), process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_the_command_has_no_child_and_no_privilege_of_ours(self):
        out = self.run_in("sh", "-c", "exec 2>&1; python -c 'import os; os.wait()'; id -u; id -g;"
                          "grep CapEff /proc/self/status", status=0).stdout
        user = self.USER if os.getuid() == 0 else os.getuid()
        self.assertIn("ChildProcessError", out)
        self.assertEqual(out.splitlines()[-3], str(user))
        self.assertRegex(out, r"CapEff:\s+0+$")

    def test_children_keep_the_environment_after_the_command(self):
        out = self.box.root / "late.txt"
        out.touch()
        out.chmod(0o666)
        program = (f"import time, importlib; time.sleep(0.7); import thing;"
                   f"open({str(out)!r}, 'w').write(thing.version)")
        self.run_in("sh", "-c", f'python -c "{program}" >/dev/null 2>&1 &')
        self.assertTrue(harness.wait_until(lambda: out.read_text() == "1.0", 10))

    def test_several_at_once_and_within_each_other(self):
        running = [subprocess.Popen(self.command("python", "-c", "import thing; print(thing.version)"),
                                    env=self.box.env, cwd=self.box.root, stdout=subprocess.PIPE,
                                    text=True) for _ in range(4)]
        for process in running:
            self.assertEqual((process.communicate(timeout=60)[0], process.returncode), ("1.0\n", 0))
        inner = self.command("python", "-c", "import sys; print(sys.prefix)", name="two")[len(self.prefix):]
        self.assertEqual(self.run_in(*inner).stdout.strip(), str(self.box.hub / "two"))

    def test_where_there_are_no_user_namespaces_it_says_so(self):
        # Root of a namespace may set its limit; without CAP_SYS_ADMIN it may not mount.
        script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin "$@"'
        command = ["unshare", "-Ur", "sh", "-c", script, "sh", str(harness.PROGRAM), "run", "-n", "one", "true"]
        done = harness.run(self.prefix + command, env=self.box.env, cwd=self.box.root, status=1)
        self.assertRegex(done.stderr, "lacks the privilege.*; and a user namespace cannot be used here: ")
        self.assertIn("venvfs mount -n one --fallback", done.stderr)


class Fast(Case):
    def test_a_mount_of_a_known_project_takes_milliseconds(self):
        folder, _ = self.project()
        times = []
        for _ in range(5):
            start = time.monotonic()
            BOX.venvfs("mount", folder)
            times.append(time.monotonic() - start)
        print(f"mount of a known project: {min(times) * 1000:.0f} ms")
        self.assertLess(min(times), 0.5)


if __name__ == "__main__":
    harness.main()
