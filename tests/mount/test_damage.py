#!/usr/bin/env python3
"""Files of the store that are cut off under a running daemon: EIO where it hurts, nothing else."""
import contextlib
import errno
import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


SLICE = 256 * 1024  # IMAGE_SLICE_SIZE


def setUpModule():
    global BOX, STORE, WHEELS
    BOX = harness.Sandbox("damage")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    BOX.create("other", "-r", lock("other.txt", wheel("safe")))
    STORE = pathlib.Path(harness.one_line(BOX.venvfs("store", "path").stdout))


def wheel(name, files=400):
    """Many files, so that the image has many pages; a big one, so that reading needs the pack."""
    content = {f"{name}/__init__.py": "", f"{name}/big.txt": os.urandom(10 * SLICE // 2).hex()}
    content.update({f"{name}/m{i:03}.txt": f"{name} {i}\n" for i in range(files)})
    return harness.make_wheel(WHEELS, name, "1.0", content)


def lock(filename, *wheels):
    path = BOX.root / filename
    path.write_text(harness.lock_text(*wheels))
    return path


def packs():
    return {path.name for path in (STORE / "packs").iterdir()}


def daemon_log():
    return (BOX.venvfs_home / "daemon.log").read_text()


class Damage(unittest.TestCase):
    def setUp(self):
        """An environment of two packages, in view, of which the kernel knows next to nothing."""
        self.name = self.id().rpartition(".")[2].replace("_", "")[:40].lower()
        self.bad, self.good = f"bad{self.name}", f"good{self.name}"
        known = packs()
        BOX.venvfs("store", "add", "-p", harness.default_python(), wheel(self.good))
        others = packs()
        BOX.venvfs("store", "add", "-p", harness.default_python(), wheel(self.bad))
        self.pack, = packs() - others
        self.assertNotEqual(others, known)
        self.lock = lock(f"{self.name}.txt", *WHEELS.glob(f"{self.bad}-*"),
                         *WHEELS.glob(f"{self.good}-*"))
        env = BOX.create(self.name, "-r", self.lock)
        self.site = next(env.glob("lib/python3*/site-packages"))
        self.other = next((BOX.hub / "other").glob("lib/python3*/site-packages")) / "safe"
        rows = BOX.json("store", "ls")["images"]
        identity = next(row["image"] for row in rows if row["name"] == self.bad)
        self.image, = (STORE / "images").glob(f"*-{identity}.image")
        self.where = self.image.with_suffix(".where")
        self.pid = BOX.daemon_pid()
        self.reads = 0

    def tearDown(self):
        self.assertEqual(BOX.daemon_pid(), self.pid, "the daemon died")
        BOX.venvfs("remove", self.name)

    @contextlib.contextmanager
    def cut(self, path, size):
        """The file is cut off; afterwards it is whole again."""
        whole = path.read_bytes()
        mode = path.stat().st_mode
        path.chmod(0o600)
        os.truncate(path, size)
        try:
            yield
        finally:
            path.write_bytes(whole)
            path.chmod(mode)

    def fails(self, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.errno, errno.EIO, caught.exception)

    def others_answer(self):
        """Files that were not looked at before, in this environment and in another."""
        self.reads += 1
        name = f"m{self.reads:03}.txt"
        self.assertEqual((self.site / self.good / name).read_text(), f"{self.good} {self.reads}\n")
        self.assertTrue((self.other / name).exists())
        self.assertTrue((self.site.parents[2] / "pyvenv.cfg").read_text())
        with self.assertRaises(FileNotFoundError):
            os.stat(self.site / f"nothing{self.reads}")

    def fresh(self, name):
        """Another environment of the same packages, of which the kernel knows nothing."""
        env = BOX.create(name, "-r", self.lock)
        self.addCleanup(BOX.venvfs, "remove", name)
        self.site = next(env.glob("lib/python3*/site-packages"))

    def test_an_image_that_is_cut_off(self):
        size = self.image.stat().st_size
        self.assertGreater(size, 3 * 4096)
        for i, rest in enumerate((size - 1, size - 2000, size // 2 + 5, 100, 0)):
            with self.subTest(rest=rest):
                self.fresh(f"{self.name}{i}")
                package = self.site / self.bad
                with self.cut(self.image, rest):
                    self.fails(os.stat, package / "m001.txt")
                    self.fails(os.listdir, package)
                    self.fails(os.stat, package / "nothing.txt")
                    self.fails(os.listdir, self.site)
                    self.others_answer()
                BOX.venvfs("mount", "-n", f"{self.name}{i}")  # it is whole again
                self.assertEqual((package / "m001.txt").read_text(), f"{self.bad} 1\n")
                self.assertFalse((package / "nothing.txt").exists())
                self.assertGreaterEqual(len(os.listdir(package)), 402)
                self.assertIn(self.bad, os.listdir(self.site))
                self.others_answer()
        lines = re.findall(f".*{self.image.name}: became shorter.*", daemon_log())
        self.assertTrue(1 <= len(lines) <= 5, lines)  # one for each time that it was opened

    def test_a_name_that_was_lost_is_not_missing(self):
        with self.cut(self.image, 0):
            self.fails(os.stat, self.site / self.bad)
            self.others_answer()
        BOX.venvfs("mount", "-n", self.name)
        self.assertTrue((self.site / self.bad).exists())

    def test_an_open_file_of_a_lost_image(self):
        with open(self.site / self.bad / "big.txt", "rb", buffering=0) as file:
            with self.cut(self.image, 4096):
                self.fails(file.read, 1000)
                self.others_answer()
            BOX.venvfs("mount", "-n", self.name)
            self.assertEqual(len(file.read(1000)), 1000)

    def test_composing_with_a_lost_image(self):
        with self.cut(self.image, 4096):
            self.fails(os.stat, self.site / self.bad / "m001.txt")
            done = BOX.venvfs("create", f"{self.name}2", "-r", self.lock, status=1)
            self.assertIn("Input/output error", done.stderr)
            self.assertIn("daemon.log", done.stderr)
            self.assertIn(f"{self.image.name}: damaged image", daemon_log())
            self.others_answer()
        self.fresh(f"{self.name}2")
        self.assertTrue((self.site / self.bad / "m001.txt").exists())

    def test_a_where_file_that_is_cut_off_is_made_again_from_the_catalog(self):
        first = self.site / self.bad / "m001.txt"
        self.assertTrue(first.read_text())  # the daemon has it mapped
        for rest in (self.where.stat().st_size - 9, 100, 0):
            with self.subTest(rest=rest), self.cut(self.where, rest):
                self.reads += 1
                name = f"m{self.reads + 100:03}.txt"
                self.assertEqual((self.site / self.bad / name).read_text(),
                                 f"{self.bad} {self.reads + 100}\n")
                self.others_answer()

    def test_a_pack_that_is_cut_off(self):
        path = STORE / "packs" / self.pack
        size = path.stat().st_size
        with open(self.site / self.bad / "big.txt", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
            self.assertEqual(len(os.pread(file.fileno(), 10, 0)), 10)  # it opens the pack
            for i, rest in enumerate((size - 9, size // 2, 10, 0)):
                # Each time other slices, which are neither cached nor decoded.
                at = (2 * i + 2) * SLICE
                with self.subTest(rest=rest):
                    with self.cut(path, rest):
                        self.fails(os.pread, file.fileno(), 1000, at)
                        self.others_answer()
                    self.assertEqual(len(os.pread(file.fileno(), 1000, at)), 1000)  # whole again


if __name__ == "__main__":
    harness.main()
