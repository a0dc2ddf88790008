#!/usr/bin/env python3
"""An environment behaves like an ordinary directory: seeded random operations on it and on a plain
copy of it give the same results, errnos included, and the same trees, also across restarts of the
daemon and beside a second environment of the same packages, which sees nothing of it.

    VENVFS_TEST_OPERATIONS   how many (default 20,000; the full run is 200,000)
    VENVFS_TEST_SEED         a number

Differences that are allowed, because a view has no use for them: the number of links and the size of
directories, times of directories, and names that begin with ".wh.", which nobody may make.
"""
import ctypes
import errno
import mmap
import os
import pathlib
import random
import shutil
import stat
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

OPERATIONS = int(os.environ.get("VENVFS_TEST_OPERATIONS", "20000"))
SEED = int(os.environ.get("VENVFS_TEST_SEED", "1"))
CHECK_EVERY = int(os.environ.get("VENVFS_TEST_CHECK", "2000"))
RESTART_EVERY = 5000
NAMES = [f"n{i}" for i in range(8)] + ["__init__.py", "data.bin", "ns", "pkg0", "pkg1", "sub"]
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


def renameat2(source, target, flags):
    if libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


class Side:
    """One of the two trees: the operations, by relative path. Each returns what is to be compared.
    None follows a link: links may lead out of the tree."""

    def __init__(self, root):
        self.root = str(root)

    def at(self, path):
        return os.path.join(self.root, path)

    def create(self, path, data, flags):
        fd = os.open(self.at(path), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | flags, 0o644)
        try:
            os.write(fd, data)
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def write(self, path, offset, data):
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            os.pwrite(fd, data, offset)
            return os.fstat(fd).st_size, os.pread(fd, 64, max(0, offset - 8))
        finally:
            os.close(fd)

    def append(self, path, data):
        fd = os.open(self.at(path), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        try:
            return os.write(fd, data), os.fstat(fd).st_size
        finally:
            os.close(fd)

    def truncate(self, path, size):
        fd = os.open(self.at(path), os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.ftruncate(fd, size)
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def map(self, path, data):
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
            if not size:
                return 0
            with mmap.mmap(fd, size) as memory:
                n = min(size, len(data))
                memory[size - n:size] = data[:n]
                memory.flush()
            return size
        finally:
            os.close(fd)

    def unlink(self, path):
        os.unlink(self.at(path))

    def rmdir(self, path):
        os.rmdir(self.at(path))

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def rename(self, source, target, flags):
        renameat2(self.at(source), self.at(target), flags)

    def link(self, source, target):
        os.link(self.at(source), self.at(target), follow_symlinks=False)

    def symlink(self, text, path):
        os.symlink(text, self.at(path))

    def chmod(self, path, mode):
        kind = stat.S_IFMT(os.lstat(self.at(path)).st_mode)
        if kind != stat.S_IFLNK:  # chmod would follow it
            os.chmod(self.at(path), mode | 0o700 if kind == stat.S_IFDIR else mode)

    def utime(self, path, seconds):
        os.utime(self.at(path), ns=(seconds, seconds), follow_symlinks=False)
        return os.lstat(self.at(path)).st_mtime_ns

    def open_and_remove(self, path, data):
        """The file lives on until it is closed, under no name."""
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            os.unlink(self.at(path))
            os.pwrite(fd, data, 3)
            return os.pread(fd, 100000, 0), os.fstat(fd).st_size
        finally:
            os.close(fd)

    def replace_open(self, path, data):
        """An editor's save by rename, while somebody reads the old file."""
        fd = os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            new = os.open(self.at(path) + ".tmp",
                          os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
            with open(new, "wb") as file:
                file.write(data)
            os.rename(self.at(path) + ".tmp", self.at(path))
            with open(self.at(path), "rb") as file:
                return os.read(fd, 100000), file.read()
        finally:
            os.close(fd)

    def remove_while_listing(self, path):
        removed = 0
        with os.scandir(self.at(path)) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    removed += 1
        return removed, [e.name for e in os.scandir(self.at(path))
                         if not e.is_dir(follow_symlinks=False)]

    def remove_tree(self, path):
        if self.at(path) != self.root:
            shutil.rmtree(self.at(path))

    def list(self, path):
        return sorted((e.name, e.is_dir(follow_symlinks=False)) for e in os.scandir(self.at(path)))

    def read(self, path):
        fd = os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW)
        with open(fd, "rb") as file:
            return file.read()

    def tree(self):
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = os.path.join(folder, name)
                facts = os.lstat(path)
                key = os.path.relpath(path, self.root)
                if stat.S_ISLNK(facts.st_mode):
                    found[key] = ("link", os.readlink(path))
                elif stat.S_ISDIR(facts.st_mode):
                    found[key] = ("folder", stat.S_IMODE(facts.st_mode))
                else:
                    with open(path, "rb") as file:
                        data = file.read()
                    found[key] = ("file", stat.S_IMODE(facts.st_mode), facts.st_nlink,
                                  facts.st_size, harness.hashlib.sha256(data).hexdigest())
        return found


class Chooser:
    """Random operations; mostly on what is there, sometimes on what is not."""

    def __init__(self, seed, model):
        self.random = random.Random(seed)
        self.model = model
        self.known = []

    def refresh(self):
        self.known = sorted(self.model.tree())

    def path(self):
        if self.known and self.random.random() < 0.8:
            return self.random.choice(self.known)
        return self.new_path()

    def folder(self):
        for _ in range(20):
            path = self.random.choice(self.known) if self.known else "."
            if os.path.isdir(self.model.at(path)) and not os.path.islink(self.model.at(path)):
                return path
        return "."

    def new_path(self):
        return os.path.normpath(os.path.join(self.folder() if self.known else ".",
                                             self.random.choice(NAMES)))

    def data(self):
        return self.random.randbytes(self.random.choice((0, 1, 10, 100, 5000, 70000)))

    def next(self):
        r = self.random
        kind = r.choices(*zip(*self.WEIGHTS))[0]
        return kind, {
            "create": lambda: (self.new_path(), self.data(),
                               r.choice((0, os.O_EXCL, os.O_TRUNC, os.O_APPEND))),
            "write": lambda: (self.path(), r.choice((0, 1, 4096, 100000)), self.data()),
            "append": lambda: (self.path(), self.data()),
            "truncate": lambda: (self.path(), r.choice((0, 1, 4097, 200000))),
            "map": lambda: (self.path(), self.data()),
            "unlink": lambda: (self.path(),),
            "rmdir": lambda: (self.path(),),
            "mkdir": lambda: (self.new_path(), r.choice((0o755, 0o700))),
            "rename": lambda: (self.path(), r.choice((self.new_path, self.path))(),
                               r.choice((0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE))),
            "link": lambda: (self.path(), self.new_path()),
            "symlink": lambda: (r.choice(("target", "sub/x", "n1")), self.new_path()),
            "chmod": lambda: (self.path(), r.choice((0o644, 0o444, 0o755, 0o600))),
            "utime": lambda: (self.path(), r.randrange(10**18, 17 * 10**17)),
            "open_and_remove": lambda: (self.path(), self.data()),
            "replace_open": lambda: (self.path(), self.data()),
            "remove_while_listing": lambda: (self.folder(),),
            "remove_tree": lambda: (self.folder(),),
            "list": lambda: (self.path(),),
            "read": lambda: (self.path(),),
        }[kind]()

    WEIGHTS = [("create", 12), ("write", 10), ("append", 5), ("truncate", 5), ("map", 3),
               ("unlink", 5), ("rmdir", 4), ("mkdir", 8), ("rename", 14), ("link", 3),
               ("symlink", 2), ("chmod", 4), ("utime", 3), ("open_and_remove", 2),
               ("replace_open", 4), ("remove_while_listing", 0.3), ("remove_tree", 0.1),
               ("list", 6), ("read", 6)]


def outcome(side, kind, arguments):
    try:
        return getattr(side, kind)(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    except shutil.Error as error:
        return str(error)


class RandomOperations(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.box = harness.Sandbox("random")
        self.addCleanup(self.box.close)
        wheels = self.box.root / "wheels"
        wheels.mkdir()
        made = []
        for i in range(4):
            files = {f"pkg{i}/__init__.py": f"x = {i}\n", f"pkg{i}/data.bin": os.urandom(3000),
                     f"pkg{i}/sub/deep/mod.py": "y = 1\n" * 50, f"pkg{i}/sub/__init__.py": "",
                     f"ns/part{i}/__init__.py": f"p = {i}\n", f"ns/single{i}.py": "s = 1\n",
                     f"top{i}.py": "t = 1\n"}
            for j in range(12):
                files[f"pkg{i}/many/f{j}.txt"] = f"{i} {j}\n" * 40
            made.append(harness.make_wheel(wheels, f"dist{i}", "1.0", files,
                                           entry_points=f"[console_scripts]\nrun{i} = pkg{i}:x\n"))
        lock = self.box.root / "lock.txt"
        lock.write_text(harness.lock_text(*made))
        self.env = self.box.create("one", "-r", lock, "--without-pip")
        self.other = self.box.create("other", "-r", lock, "--without-pip")
        self.untouched = harness.tree_digest(self.other)
        self.store = self.box.venvfs_home / "store"
        self.model = Side(self.box.root / "model")
        shutil.copytree(self.env, self.model.root, symlinks=True)
        for root in (self.env, pathlib.Path(self.model.root)):
            for link in (root / "bin").glob("python*"):
                link.unlink()  # they lead to the machine's own interpreter
        for folder, folders, files in os.walk(self.model.root):
            for name in folders + files:
                path = os.path.join(folder, name)
                source = os.path.join(self.env, os.path.relpath(path, self.model.root))
                os.utime(path, ns=(os.lstat(source).st_mtime_ns,) * 2, follow_symlinks=False)
        self.view = Side(self.env)

    def compare_trees(self, when):
        ours, theirs = self.view.tree(), self.model.tree()
        wrong = {path: (ours.get(path), theirs.get(path)) for path in {*ours, *theirs}
                 if ours.get(path) != theirs.get(path)}
        self.assertEqual(dict(sorted(wrong.items())[:8]), {}, when)

    def restart(self):
        self.box.venvfs("umount", "--all")
        self.box.venvfs("mount", "-n", "one", status=None)  # its pyvenv.cfg may have been removed

    def test_operations_on_an_environment_and_on_a_plain_copy(self):
        packs = harness.tree_digest(self.store)
        chooser = Chooser(SEED, self.model)
        self.compare_trees("before")
        last = []
        for i in range(OPERATIONS):
            if i % 50 == 0:
                chooser.refresh()
            kind, arguments = chooser.next()
            last = [*last[-12:], (i, kind, [a if not isinstance(a, bytes) else len(a)
                                            for a in arguments])]
            expected = outcome(self.model, kind, arguments)
            self.assertEqual(outcome(self.view, kind, arguments), expected, last)
            if i % CHECK_EVERY == CHECK_EVERY - 1:
                self.compare_trees(last)
            if i % RESTART_EVERY == RESTART_EVERY - 1:
                self.restart()
                self.compare_trees(f"after a restart, at {i}")
        self.compare_trees("at the end")
        self.assertEqual(harness.tree_digest(self.other), self.untouched, "the other environment")
        self.assertEqual(harness.tree_digest(self.store), packs, "the store")


if __name__ == "__main__":
    harness.main()
