#!/usr/bin/env python3
"""What people and programs do in an environment that they can write to."""
import errno
import fcntl
import mmap
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MANY = 3000
HUGE = 30_000


def setUpModule():
    global BOX, LOCK
    BOX = harness.Sandbox("tools")
    unittest.addModuleCleanup(BOX.close)
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    files = {"big/__init__.py": "x = 1\n", "lone.py": "y = 1\n"}
    files.update({f"big/part{i % 7}/m{i}.py": f"n = {i}\n" for i in range(MANY)})
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(harness.make_wheel(wheels, "big", "1.0", files)))
    BOX.create("warm", "-r", LOCK)  # the wheel is in the store from here on


class Case(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rpartition(".")[2][:60]
        self.env = BOX.create(self.name, "-r", LOCK)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.upper = BOX.venvfs_home / "envs" / self.name / "upper"

    def python(self, program, *words):
        return harness.run([self.env / "bin" / "python", "-c", program, *map(str, words)],
                           env=BOX.env).stdout.strip()

    def kept(self):
        """What the upper layer holds on disk, without its own folders."""
        return {path for path in harness.tree_digest(self.upper)
                if not path.startswith((".wh..wh..work", ".wh..wh..orphans"))}


class Trees(Case):
    def test_scandir_and_unlink_leave_nothing(self):
        folder = self.site / "big" / "new"
        folder.mkdir()
        for i in range(MANY):
            (folder / f"f{i}").write_text(str(i))
        with os.scandir(folder) as entries:
            for entry in entries:
                os.unlink(entry.path)
        self.assertEqual(os.listdir(folder), [])

    def test_rm_of_a_package_leaves_one_whiteout(self):
        harness.run(["rm", "-rf", self.site / "big"])
        self.assertFalse((self.site / "big").exists())
        below = [path for path in self.kept() if "big" in path and ".dist-info" not in path]
        self.assertEqual([os.path.basename(path) for path in below], [".wh.big"])
        self.assertEqual(self.python("import importlib.util as u; print(u.find_spec('big'))"), "None")

    def test_find_delete(self):
        harness.run(["find", self.site / "big", "-name", "m1*.py", "-delete"])
        self.assertEqual(list((self.site / "big").glob("**/m1*.py")), [])
        self.assertTrue(list((self.site / "big").glob("**/m2*.py")))

    def test_mv_of_a_package_copies_nothing_and_comes_back(self):
        before = harness.tree_digest(self.site / "big")
        os.rename(self.site / "big", self.site / "large")
        self.assertEqual(harness.tree_digest(self.site / "large"), before)
        self.assertLess(harness.disk_bytes(self.upper), 200_000)
        self.assertEqual(self.python("import large; print(large.x)"), "1")
        os.rename(self.site / "large", self.site / "big")
        self.assertEqual(harness.tree_digest(self.site / "big"), before)
        self.assertEqual(self.python("import big.part1.m1 as m; print(m.n)"), "1")

    def test_tar_out_and_in(self):
        before = harness.tree_digest(self.site)
        archive = BOX.root / "all.tar"
        harness.run(["tar", "-C", self.site, "-cf", archive, "big"])
        shutil.rmtree(self.site / "big")
        harness.run(["tar", "-C", self.site, "-xf", archive])
        self.assertEqual(harness.tree_digest(self.site), before)

    def test_git_clone_and_its_read_only_objects(self):
        if not shutil.which("git"):
            self.skipTest("git is not installed")
        source = BOX.root / f"repository-{os.getpid()}"
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
        harness.run([*git, "init", "-q", source])
        (source / "file").write_text("text\n")
        harness.run([*git, "add", "."], cwd=source)
        harness.run([*git, "commit", "-q", "-m", "one"], cwd=source)
        clone = self.env / "src"
        harness.run(["git", "clone", "-q", "--no-hardlinks", f"file://{source}", clone])
        harness.run(["git", "fsck", "--strict"], cwd=clone)
        self.assertEqual(harness.run(["git", "status", "--porcelain"], cwd=clone).stdout, "")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in clone.glob(".git/objects/*/*")
                 if path.is_file()}
        self.assertEqual({mode & 0o222 for mode in modes}, {0}, modes)
        shutil.rmtree(clone)

    def test_chmod_R_that_changes_nothing_stores_nothing(self):
        harness.run(["chmod", "-R", "u+rwX", self.site])
        self.assertFalse(self.upper.exists() and self.kept())

    def test_chmod_R_copies_no_bytes(self):
        harness.run(["chmod", "-R", "go-rwx", self.site / "big"])
        self.assertEqual({stat.S_IMODE(p.stat().st_mode) for p in (self.site / "big").glob("**/m*.py")},
                         {0o600})
        self.assertEqual([path for path in self.kept() if path.endswith(".py")], [])
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        self.assertEqual({stat.S_IMODE(p.stat().st_mode) for p in (self.site / "big").glob("**/m*.py")},
                         {0o600})


def with_attributes(root):
    """{path: (digest, mode, mtime)}; folders' times are left out."""
    found = {}
    for path, digest in harness.tree_digest(root).items():
        facts = os.lstat(os.path.join(root, path))
        found[path] = digest, facts.st_mode, facts.st_mtime_ns if digest != "folder" else None
    return found


class Copies(Case):
    """Out of the environment and in again, with the tools that people use."""

    def differences(self, one, other):
        return {path: (one.get(path), other.get(path)) for path in {*one, *other} if one.get(path) != other.get(path)}

    def test_tar_keeps_modes_and_times(self):
        (self.site / "lone.py").write_text("y = 3\n")
        (self.site / "big" / "link").symlink_to("part1/m1.py")
        os.chmod(self.site / "big" / "part2" / "m2.py", 0o750)
        shutil.rmtree(self.site / "big" / "part3")
        before = with_attributes(self.site)
        archive, out = BOX.root / f"{self.name}.tar", BOX.root / f"{self.name}-out"
        out.mkdir()
        harness.run(["tar", "-C", self.site, "--format=posix", "-cf", archive, "."])
        harness.run(["tar", "-C", out, "-xpf", archive])
        self.assertEqual(self.differences(with_attributes(out), before), {})
        for path in self.site.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.assertEqual(os.listdir(self.site), [])
        harness.run(["tar", "-C", self.site, "-xpf", archive])
        self.assertEqual(self.differences(with_attributes(self.site), before), {})
        self.assertEqual(self.python("import big.part1.m1 as m, lone; print(m.n, lone.y)"), "1 3")

    def test_rsync(self):
        if not shutil.which("rsync"):
            self.skipTest("rsync is not installed")
        before = with_attributes(self.site)
        out = BOX.root / f"{self.name}-out"
        harness.run(["rsync", "-a", f"{self.site}/", f"{out}/"])
        self.assertEqual(self.differences(with_attributes(out), before), {})
        harness.run(["rsync", "-a", "--delete", f"{out}/", f"{self.site}/"])
        self.assertFalse([path for path in self.kept() if path.endswith(".py")], "what is the same is not written")
        (out / "lone.py").write_text("y = 'through rsync'\n")
        (out / "big" / "more.py").write_text("z = 1\n")
        os.chmod(out / "big" / "part1" / "m1.py", 0o755)
        shutil.rmtree(out / "big" / "part3")
        for options in ("-a --delete", "-ac --delete --inplace"):
            harness.run(["rsync", *options.split(), f"{out}/", f"{self.site}/"])
            self.assertEqual(self.differences(with_attributes(self.site), with_attributes(out)), {})
        self.assertEqual(self.python("import lone, big.more; print(lone.y)"), "through rsync")


class Huge(Case):
    """A package of 30,000 files: what is done to it as a whole costs nothing for each."""

    @classmethod
    def setUpClass(cls):
        files = {f"huge/d{i % 100}/f{i}.txt": f"text {i}\n" for i in range(HUGE)}
        cls.lock = BOX.root / "huge.txt"
        cls.lock.write_text(harness.lock_text(harness.make_wheel(BOX.root / "wheels", "huge", "1.0",
                                                                 {"huge/__init__.py": "h = 1\n", **files})))

    def setUp(self):
        self.name = self.id().rpartition(".")[2][5:60].replace("_", "-")
        self.env = BOX.create(self.name, "-r", self.lock)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.upper = BOX.venvfs_home / "envs" / self.name / "upper"

    def messages(self):
        return BOX.json("status")["messages"]

    def test_mv_is_one_rename(self):
        before = harness.tree_digest(self.site / "huge")
        self.assertEqual(sum(digest != "folder" for digest in before.values()), HUGE + 2)  # a pyc
        counted = self.messages()
        harness.run(["mv", self.site / "huge", self.site / "moved"])
        os.rename(self.site / "moved", self.env / "elsewhere")
        sent = {kind: count - counted.get(kind, 0) for kind, count in self.messages().items()}
        self.assertEqual(sum(sent.get(kind, 0) for kind in ("RENAME", "RENAME2")), 2)
        self.assertEqual([sent.get(kind, 0) for kind in ("READ", "WRITE", "MKNOD", "UNLINK")], [0, 0, 0, 0])
        self.assertLess(sum(sent.values()), 60, sent)
        self.assertLess(harness.disk_bytes(self.upper), 100_000)
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        self.assertEqual(harness.tree_digest(self.env / "elsewhere"), before)
        self.assertFalse((self.site / "huge").exists())
        harness.run(["mv", self.env / "elsewhere", self.site / "huge"])
        self.assertEqual(harness.tree_digest(self.site / "huge"), before)
        self.assertLess(harness.disk_bytes(self.upper), 100_000)
        self.assertEqual(self.python("import huge; print(huge.h)"), "1")

    def test_rm_and_find_delete(self):
        harness.run(["find", self.site / "huge" / "d1", "-name", "*.txt", "-delete"])
        self.assertEqual(os.listdir(self.site / "huge" / "d1"), [])
        harness.run(["rm", "-rf", self.site / "huge"])
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        self.assertFalse((self.site / "huge").exists())
        self.assertLess(harness.disk_bytes(self.upper), 100_000)


class Files(Case):
    def test_an_edit_is_seen_by_python_at_once_and_by_nobody_else(self):
        other = BOX.create(self.name + "-beside", "-r", LOCK)
        lone = self.site / "lone.py"
        self.assertEqual(self.python("import lone; print(lone.y)"), "1")
        lone.write_text("y = 2  # edited\n")
        self.assertEqual(self.python("import lone; print(lone.y)"), "2")
        theirs = harness.run([other / "bin" / "python", "-c", "import lone; print(lone.y)"]).stdout
        self.assertEqual(theirs.strip(), "1")

    def test_a_shared_mapping_writes_into_this_environment_only(self):
        other = BOX.create(self.name + "-beside", "-r", LOCK)
        name = self.site.relative_to(self.env) / "lone.py"
        with open(other / name, "rb") as theirs, open(self.env / name, "r+b") as ours:
            with mmap.mmap(theirs.fileno(), 0, prot=mmap.PROT_READ) as seen, mmap.mmap(ours.fileno(), 0) as written:
                written[0:1] = b"z"
                written.flush()
                self.assertEqual(seen[:], b"y = 1\n")
        self.assertEqual((self.env / name).read_bytes(), b"z = 1\n")
        self.assertEqual((other / name).read_bytes(), b"y = 1\n")

    def test_files_over_4_GiB_are_sparse(self):
        path = self.env / "sparse"
        with open(path, "wb") as file:
            file.seek((5 << 30) - 1)
            file.write(b"x")
        self.assertEqual(path.stat().st_size, 5 << 30)
        self.assertLess(harness.disk_bytes(self.upper), 1 << 20)
        with open(path, "rb") as file:
            file.seek((5 << 30) - 2)
            self.assertEqual(file.read(), b"\0x")

    def test_locks_between_processes(self):
        path = self.env / "lock"
        path.write_text("")
        holder = subprocess.Popen([sys.executable, "-c", "import fcntl, sys, time\n"
                                   f"f = open({str(path)!r}, 'r+'); fcntl.flock(f, fcntl.LOCK_EX)\n"
                                   "print('held', flush=True); sys.stdin.read()"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(holder.stdout.readline(), "held\n")
        with open(path, "r+") as file:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder.communicate("")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_appends_of_two_processes_do_not_overlap(self):
        path = self.env / "log"
        program = f"f = open({str(path)!r}, 'ab', buffering=0)\nfor i in range(500): f.write(b'0123456789abcdef')"
        running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
        for process in running:
            self.assertEqual(process.wait(60), 0)
        self.assertEqual(path.read_bytes(), b"0123456789abcdef" * 1000)

    def test_a_module_that_appears_is_importable_in_a_running_interpreter(self):
        process = subprocess.Popen([str(self.env / "bin" / "python"), "-c",
                                    "import big, sys\nfor name in ('late1', 'late2'):\n"
                                    "    print('ready', flush=True); sys.stdin.readline()\n"
                                    "    print(__import__('big.' + name, fromlist=['v']).v, flush=True)"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=BOX.env)
        for name in ("late1", "late2"):
            self.assertEqual(process.stdout.readline(), "ready\n")
            (self.site / "big" / f"{name}.py").write_text(f"v = {name!r}\n")
            process.stdin.write("\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), f"{name}\n")
        process.communicate()

    def test_names_that_are_the_layers_own_are_refused(self):
        for attempt in (lambda: open(self.site / ".wh.big", "w"), lambda: os.mkdir(self.site / ".wh..wh..opq"),
                        lambda: os.rename(self.site / "lone.py", self.site / ".wh.lone.py")):
            with self.assertRaises(PermissionError) as caught:
                attempt()
            self.assertEqual(caught.exception.errno, errno.EPERM)
        self.assertTrue((self.site / "big").exists())


class Faults(Case):
    def test_what_was_synced_survives_kill_9(self):
        kept = []
        for i in range(20):
            path = self.site / f"synced{i}.py"
            with open(path, "w") as file:
                file.write(f"i = {i}\n" * 500)
                file.flush()
                os.fsync(file.fileno())
            kept.append((path, path.read_bytes()))
            with open(self.site / "big" / "__init__.py", "a") as file:
                file.write(f"# {i}\n")
                file.flush()
                os.fsync(file.fileno())
        writer = subprocess.Popen([sys.executable, "-c", f"""if True:
            import os, itertools
            for i in itertools.count():
                with open({str(self.site)!r} + "/noise.tmp", "w") as file:
                    file.write("z" * 5000)
                os.rename({str(self.site)!r} + "/noise.tmp", {str(self.site)!r} + f"/noise{{i % 50}}.py")"""],
            stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        os.kill(BOX.daemon_pid(), signal.SIGKILL)
        self.assertNotEqual(writer.wait(30), 0)
        BOX.venvfs("mount", "-n", self.name)
        for path, data in kept:
            self.assertEqual(path.read_bytes(), data)
        self.assertEqual((self.site / "big" / "__init__.py").read_text(),
                         "x = 1\n" + "".join(f"# {i}\n" for i in range(20)))
        harness.tree_digest(self.env)  # everything can be walked and read
        for path in self.site.glob("noise*.py"):
            self.assertEqual(path.stat().st_size, 5000, "a rename shows a whole file")

    def test_a_full_disk_is_the_writers_error_alone(self):
        if os.getuid() != 0:
            self.skipTest("this takes root")
        BOX.venvfs("umount", "--all")
        self.upper.mkdir(exist_ok=True)
        harness.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", self.upper])
        try:
            BOX.venvfs("mount", "-n", self.name)
            with self.assertRaises(OSError) as caught:
                (self.env / "filler").write_bytes(bytes(4 << 20))
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
            with self.assertRaises(OSError) as caught:
                (self.site / "lone.py").write_text("y = 3\n" * 1000)
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
            self.assertEqual(self.python("import big.part1.m1 as m; print(m.n)"), "1")
            os.unlink(self.env / "filler")
            (self.site / "lone.py").write_text("y = 4\n")
            self.assertEqual(self.python("import lone; print(lone.y)"), "4")
        finally:
            BOX.venvfs("umount", "--all")
            harness.run(["umount", self.upper])

    def test_a_switch_below_leaves_edits_on_top(self):
        (self.site / "mine.py").write_text("mine = 1\n")
        wheel = harness.make_wheel(BOX.root / "wheels", "added", "1.0", {"added.py": "a = 1\n"})
        lock = BOX.root / "more.txt"
        lock.write_text(LOCK.read_text() + harness.lock_text(wheel).splitlines()[-1] + "\n")
        with open(self.site / "big" / "__init__.py", "a") as file:
            file.write("y = 2\n")  # of a package that stays
        BOX.venvfs("sync", "-n", self.name, "-r", lock)
        self.assertEqual(self.python("import big; print(big.x + big.y)"), "3")
        self.assertEqual(self.python("import mine, added; print(mine.mine + added.a)"), "2")


if __name__ == "__main__":
    harness.main()
