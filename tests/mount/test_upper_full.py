#!/usr/bin/env python3
"""A full disk below an upper layer: whoever changes something gets ENOSPC and what was there stays as it
was, nothing else breaks, and freeing space is enough to go on."""
import contextlib
import errno
import mmap
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MODULES = 200
AFTER = {"and back": "rename of a packaged folder",  # what goes on from where another change led
         "removal of that folder": "removal of the last file in a packaged folder",
         "and a new one in its place": "removal of that folder"}


def setUpModule():
    global BOX, LOCK
    if os.getuid() != 0:
        raise unittest.SkipTest("a small tmpfs takes root")
    BOX = harness.Sandbox("full")
    unittest.addModuleCleanup(BOX.close)
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    files = {f"pkg/m{i:03}.py": f"n = {i}\n" * 100 for i in range(MODULES)}
    files.update({"pkg/__init__.py": "", "pkg/big.bin": os.urandom(300_000), "pkg/sub/one.py": "one = 1\n",
                  "pkg/sub/two.py": "two = 2\n", "names/a.txt": "a"})
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(harness.make_wheel(wheels, "pkg", "1.0", files)))
    BOX.create("beside", "-r", LOCK)


class Full:
    """Each change fails while the disk is full, is then tried again and compared with a plain copy."""
    OPTIONS = ""

    def setUp(self):
        self.name = self.id().rpartition(".")[2][5:25].replace("_", "-") + type(self).__name__.lower()
        self.env = BOX.create(self.name, "-r", LOCK)
        self.upper = BOX.venvfs_home / "envs" / self.name / "upper"
        BOX.venvfs("umount", "--all")
        self.upper.mkdir(exist_ok=True)
        harness.run(["mount", "-t", "tmpfs", "-o", self.OPTIONS, "none", self.upper])
        self.addCleanup(self.end)
        BOX.venvfs("mount", "-n", self.name)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.plain = BOX.root / f"plain-{self.name}"
        for folder in ("pkg", "names"):
            shutil.copytree(self.site / folder, self.plain / folder)
        (self.site / "pkg" / "mine").mkdir()  # so that there is something of our own as well
        (self.site / "pkg" / "mine" / "file").write_text("mine\n")
        shutil.copytree(self.site / "pkg" / "mine", self.plain / "pkg" / "mine")

    def end(self):
        BOX.venvfs("umount", "--all")
        harness.run(["umount", self.upper])

    def same(self, when):
        for folder in ("pkg", "names"):
            ours, plain = (harness.tree_digest(root / folder) for root in (self.site, self.plain))
            self.assertEqual({path: (ours.get(path), plain.get(path)) for path in {*ours, *plain}
                              if ours.get(path) != plain.get(path)}, {}, when)
            for root, names in ((r, d + f) for r, d, f in os.walk(self.plain / folder)):
                for name in names:
                    path = os.path.join(root, name)
                    theirs = os.path.join(self.site, os.path.relpath(path, self.plain))
                    self.assertEqual(oct(os.lstat(theirs).st_mode), oct(os.lstat(path).st_mode), (when, theirs))

    def python(self, program):
        return harness.run([self.env / "bin" / "python", "-B", "-c", program], env=BOX.env).stdout.strip()

    def others_work(self):
        """What changes nothing, here and in another environment, which can even be written to."""
        self.assertEqual(self.python("import pkg.m007 as m, pkg.sub.two as t; print(m.n, t.two)"), "7 2")
        beside = next((BOX.hub / "beside").glob("lib/python3*/site-packages"))
        (beside / "written").write_text("x")
        os.unlink(beside / "written")
        self.assertEqual(BOX.json("status")["running"], True)

    def try_all(self, changes):
        self.fill()
        failed = []
        for name, change in changes.items():
            with self.subTest(change=name):
                if AFTER.get(name) in failed:
                    failed.append(name)
                    continue
                try:
                    change(self.site)
                except OSError as error:
                    self.assertEqual(errno.errorcode[error.errno], "ENOSPC", error)
                    failed.append(name)
                else:
                    change(self.plain)  # what fits is done, whole
                self.same(f"{name} on a full disk")
        self.others_work()
        self.free()
        for name in failed:
            with self.subTest(change=name, when="there is space again"):
                changes[name](self.site)
                changes[name](self.plain)
                self.same(f"{name} when there is space again")
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        self.same("after a restart")
        self.others_work()
        return failed

    def test_a_store_through_a_shared_mapping(self):
        """msync tells; until then nobody can know. What was stored stays in that file's cache, as on
        any file system that cannot write it back."""
        self.fill()
        path = self.site / "pkg" / "m011.py"
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[0:4] = b"map!"
            with self.assertRaises(OSError) as caught:
                memory.flush()
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
            self.others_work()
            self.free()
            with contextlib.suppress(OSError):
                memory.flush()  # the kernel may have tried by itself, and failed, since the last one
            memory[0:4] = b"MAP!"
            memory.flush()
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        plain = self.plain / "pkg" / "m011.py"
        plain.write_bytes(b"MAP!" + plain.read_bytes()[4:])
        self.same("after a restart")

    def changes(self):
        def write(name, data, mode="wb"):
            def change(root):
                with open(root / name, mode) as file:
                    file.write(data)
            return change

        # What fits of these is there, as everywhere: programs take it back.
        def new_file(root):
            try:
                write("pkg/new.bin", bytes(300_000), "xb")(root)
            except OSError:
                (root / "pkg" / "new.bin").unlink(missing_ok=True)
                raise

        def grow(root):
            try:
                write("pkg/mine/file", bytes(300_000), "ab")(root)
            except OSError:
                os.truncate(root / "pkg" / "mine" / "file", len("mine\n"))
                raise

        return {
            "edit of a packaged file": write("pkg/big.bin", b"edited", "r+b"),
            "append to a packaged file": write("pkg/m010.py", b"# more\n" * 900, "ab"),
            "truncation of a packaged file": lambda root: os.truncate(root / "pkg" / "big.bin", 100_000),
            "a new file": new_file,
            "growing a file of our own": grow,
            "a long symlink": lambda root: os.symlink("x" * 3000, root / "pkg" / "link"),
            "mkdir": lambda root: os.mkdir(root / "pkg" / "folder"),
            "removal of a packaged file": lambda root: os.unlink(root / "pkg" / "m012.py"),
            "chmod of a packaged file": lambda root: os.chmod(root / "pkg" / "m013.py", 0o600),
            "time of a packaged file": lambda root: os.utime(root / "pkg" / "m014.py", (5, 5)),
            "rename of a packaged file": lambda root: os.rename(root / "pkg" / "m015.py", root / "pkg" / "r015.py"),
            "rename over a packaged file": lambda root: os.rename(root / "pkg" / "m016.py", root / "pkg" / "m017.py"),
            "hard link of a packaged file": lambda root: os.link(root / "pkg" / "m018.py", root / "pkg" / "h018.py"),
            "rename of a packaged folder": lambda root: os.rename(root / "pkg" / "sub", root / "moved"),
            "and back": lambda root: os.rename(root / "moved", root / "pkg" / "sub"),
            "removal of the last file in a packaged folder": lambda root: os.unlink(root / "names" / "a.txt"),
            "removal of that folder": lambda root: os.rmdir(root / "names"),
            "and a new one in its place": lambda root: os.mkdir(root / "names"),
        }


class Blocks(Full, unittest.TestCase):
    OPTIONS = "size=2m"

    def fill(self):
        """To the last byte of the last block."""
        with self.assertRaises(OSError) as caught:
            with open(self.env / "filler", "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(os.statvfs(self.env / "filler").f_bavail, os.statvfs(self.upper).f_bavail)

    def free(self):
        os.unlink(self.env / "filler")

    def test_each_change(self):
        failed = self.try_all(self.changes())
        for name in ("edit of a packaged file", "append to a packaged file", "a new file",
                     "growing a file of our own", "hard link of a packaged file"):
            self.assertIn(name, failed)

    def test_a_copy_that_does_not_fit_leaves_nothing_of_itself(self):
        self.fill()
        big, filler = self.site / "pkg" / "big.bin", self.env / "filler"
        for kib in (4, 16, 64, 128):
            os.truncate(filler, os.stat(filler).st_size - kib * 1024)
            with self.subTest(kib=kib):
                free = os.statvfs(self.upper).f_bavail
                with self.assertRaises(OSError) as caught:
                    self.changes()["edit of a packaged file"](self.site)
                self.assertEqual(caught.exception.errno, errno.ENOSPC)
                self.same(f"{kib} KiB are free")
                self.assertEqual(os.statvfs(self.upper).f_bavail, free)
        os.truncate(filler, 0)
        for root in (self.site, self.plain):
            self.changes()["edit of a packaged file"](root)
        self.same("all is free")
        self.assertEqual(big.read_bytes()[:6], b"edited")


class Inodes(Full, unittest.TestCase):
    OPTIONS = "size=16m,nr_inodes=60"

    def fill(self):
        (self.env / "fillers").mkdir()
        with self.assertRaises(OSError) as caught:
            for i in range(1000):
                (self.env / "fillers" / str(i)).touch()
        self.assertEqual(caught.exception.errno, errno.ENOSPC)

    def free(self):
        shutil.rmtree(self.env / "fillers")

    def test_each_change(self):
        failed = self.try_all(self.changes())
        for name in ("edit of a packaged file", "removal of a packaged file", "mkdir",
                     "rename of a packaged file", "a new file"):
            self.assertIn(name, failed)


if __name__ == "__main__":
    harness.main()
