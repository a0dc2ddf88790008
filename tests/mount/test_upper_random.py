#!/usr/bin/env python3
"""An environment behaves like an ordinary directory: seeded random operations on two environments of
the same packages, in turns, and on a plain copy of each give the same results, errnos included, and
the same trees, also across restarts and kills of the daemon. Neither sees anything of the other, nor
does a third that nobody changes.

    VENVFS_TEST_OPERATIONS   how many (default 20,000; the full run is 200,000)
    VENVFS_TEST_SEED         a number

Differences that are allowed, because a view has no use for them: the number of links and the size of
directories, times of directories, the one link that a packaged file still has when it was removed while
it is open and nobody has written to it, and names that begin with ".wh.", which nobody may make.
"""
import ctypes
import errno
import mmap
import os
import pathlib
import random
import shutil
import signal
import stat
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

OPERATIONS = int(os.environ.get("VENVFS_TEST_OPERATIONS", "20000"))
SEED = int(os.environ.get("VENVFS_TEST_SEED", "1"))
CHECK_EVERY = int(os.environ.get("VENVFS_TEST_CHECK", "2000"))
RESTART_EVERY = 2500
BEGIN_EVERY = 10000
NAMES = [f"n{i}" for i in range(8)] + ["__init__.py", "data.bin", "ns", "pkg0", "pkg1", "sub"]
HELD = 4  # files that stay open from one operation to the next
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)
libc.getdents64.restype = ctypes.c_ssize_t


def renameat2(source, target, flags):
    if libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def some_names(fd):
    """The next few names of an open folder; [] at its end. A listing by os.scandir would have read a
    small folder whole before anybody could change it."""
    buffer = ctypes.create_string_buffer(160)
    size = libc.getdents64(fd, buffer, len(buffer))
    if size < 0:
        raise OSError(ctypes.get_errno(), "getdents64")
    names, at = [], 0
    while at < size:
        length = struct.unpack_from("=H", buffer.raw, at + 16)[0]
        names.append(os.fsdecode(buffer.raw[at + 19:at + length].split(b"\0")[0]))
        at += length
    return names


class Side:
    """One of the two trees: the operations, by relative path. Each returns what is to be compared.
    None follows a link: links may lead out of the tree."""

    def __init__(self, root):
        self.root = str(root)
        self.held = [None] * HELD

    def close(self):
        for slot in range(HELD):
            self.drop(slot)

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

    def map_and_move(self, path, target, data):
        """A mapping stays with its file while the file gets another name and somebody writes to it."""
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
            if not size:
                return 0
            n = min(size, len(data))
            with mmap.mmap(fd, size) as memory:
                memory[:n // 2] = data[:n // 2]
                memory.flush()
                os.rename(self.at(path), self.at(target))
                memory[n // 2:n] = data[n // 2:n]
                os.pwrite(fd, data[:1], size - 1)
                memory.flush()
                return size, harness.hashlib.sha256(memory[:]).hexdigest()
        finally:
            os.close(fd)

    def allocate(self, path, offset, length):
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)
        try:
            os.posix_fallocate(fd, offset, length)
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def drop(self, slot):
        if self.held[slot] is not None:
            os.close(self.held[slot])
            self.held[slot] = None

    def hold(self, path, slot):
        self.drop(slot)
        self.held[slot] = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW)

    def use_held(self, slot, offset, data):
        """Whatever has become of its name since."""
        fd = self.held[slot]
        if fd is None:
            return None
        os.pwrite(fd, data, offset)
        facts = os.fstat(fd)
        return (facts.st_size, facts.st_nlink if data else None, stat.S_IMODE(facts.st_mode),
                os.pread(fd, 200, max(0, offset - 8)))

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

    def change_while_listing(self, path, removed, name):
        """What stays is listed once, whatever comes, goes and is renamed between two reads."""
        folder = self.at(path)
        files = sorted(e.name for e in os.scandir(folder) if not e.is_dir(follow_symlinks=False))
        stays = {".", "..", *os.listdir(folder)}
        changes, at = [], [os.path.join(folder, n) for n in files]
        if at:
            first, other = removed % len(at), removed // 7 % len(at)
            changes.append((lambda: os.unlink(at[first]), {files[first]}))
            if first != other:
                changes.append((lambda: os.rename(at[other], os.path.join(folder, name)),
                                {files[other], name}))
        changes.append((lambda: os.close(os.open(os.path.join(folder, name + "~"),
                                                 os.O_CREAT | os.O_NOFOLLOW, 0o600)), {name + "~"}))
        seen = []
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            while changes or seen[-1:] != [None]:
                names = some_names(fd)
                seen += names or [None]
                if changes:
                    change, touched = changes.pop(0)
                    change()
                    stays -= touched
        finally:
            os.close(fd)
        counts = {n: seen.count(n) for n in stays}
        wrong = {n: count for n, count in counts.items() if count != 1}
        if wrong:
            raise AssertionError(f"{folder}: listed so many times: {wrong}")
        return sorted(stays)

    def remove_tree(self, path):
        if self.at(path) != self.root:
            shutil.rmtree(self.at(path))

    def make_again(self, path, names, data):
        """A folder that was removed and made again has nothing of the old one in it."""
        if self.at(path) == self.root:
            return None
        shutil.rmtree(self.at(path))
        os.mkdir(self.at(path), 0o755)
        for name in names:
            with open(os.path.join(self.at(path), name), "xb") as file:
                file.write(data)
        return sorted(os.listdir(self.at(path)))

    def list(self, path):
        return sorted((e.name, e.is_dir(follow_symlinks=False)) for e in os.scandir(self.at(path)))

    def read(self, path):
        fd = os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.read(fd, 1 << 20)
        finally:
            os.close(fd)

    def names(self):
        return sorted(os.path.relpath(os.path.join(folder, name), self.root)
                      for folder, folders, files in os.walk(self.root) for name in folders + files)

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
        self.known = self.model.names()

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
            "map_and_move": lambda: (self.path(), r.choice((self.new_path, self.path))(), self.data()),
            "allocate": lambda: (self.path(), r.choice((0, 5000)), r.choice((1, 70000))),
            "hold": lambda: (self.path(), r.randrange(HELD)),
            "use_held": lambda: (r.randrange(HELD), r.choice((0, 1, 4096, 100000)), self.data()),
            "drop": lambda: (r.randrange(HELD),),
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
            "change_while_listing": lambda: (self.folder(), r.randrange(1000), r.choice(NAMES)),
            "remove_tree": lambda: (self.folder(),),
            "make_again": lambda: (self.folder(), r.sample(NAMES, 3), self.data()),
            "list": lambda: (self.path(),),
            "read": lambda: (self.path(),),
        }[kind]()

    WEIGHTS = [("create", 12), ("write", 10), ("append", 5), ("truncate", 5), ("map", 3),
               ("unlink", 5), ("rmdir", 4), ("mkdir", 8), ("rename", 14), ("link", 3),
               ("symlink", 2), ("chmod", 4), ("utime", 3), ("open_and_remove", 2),
               ("replace_open", 4), ("remove_while_listing", 0.3), ("remove_tree", 0.1),
               ("map_and_move", 1), ("allocate", 1), ("hold", 2), ("use_held", 4), ("drop", 0.5),
               ("change_while_listing", 2), ("make_again", 0.2), ("list", 6), ("read", 6)]


def outcome(side, kind, arguments):
    try:
        return getattr(side, kind)(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    except shutil.Error as error:
        return str(error)


class Pair:
    """An environment and a plain copy of it as it was."""

    def __init__(self, name, env, model, seed):
        self.name = name
        self.view, self.model = Side(env), Side(model)
        shutil.copytree(env, model, symlinks=True)
        for root in (env, model):
            for link in (root / "bin").glob("python*"):
                link.unlink()  # they lead to the machine's own interpreter
        for path in self.model.names():
            os.utime(self.model.at(path), ns=(os.lstat(self.view.at(path)).st_mtime_ns,) * 2,
                     follow_symlinks=False)
        self.chooser = Chooser(seed, self.model)
        self.done, self.last = 0, []

    def step(self):
        """One operation on both; returns both outcomes."""
        if self.done % 50 == 0:
            self.chooser.refresh()
        kind, arguments = self.chooser.next()
        self.last = [*self.last[-12:], (self.done, kind, [a if not isinstance(a, bytes) else len(a)
                                                          for a in arguments])]
        self.done += 1
        expected = outcome(self.model, kind, arguments)
        return outcome(self.view, kind, arguments), expected

    def close(self):
        self.view.close()
        self.model.close()


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
        self.lock = lock
        self.other = self.box.create("other", "-r", lock, "--without-pip")
        self.untouched = harness.tree_digest(self.other)
        self.store = self.box.venvfs_home / "store"
        self.pairs = []
        self.addCleanup(self.remove)

    def begin(self, number):
        """Fresh environments: in the long run all that came from packages is edited or gone."""
        self.remove()
        for i in range(2):
            name = f"env{number}-{i}"
            env = self.box.create(name, "-r", self.lock, "--without-pip")
            self.pairs.append(Pair(name, env, self.box.root / f"model{number}-{i}", f"{SEED} {name}"))
        self.compare_trees("before")

    def remove(self):
        for pair in self.pairs:
            pair.close()
            self.box.venvfs("remove", pair.name)
            shutil.rmtree(pair.model.root)
        self.pairs = []

    def compare_trees(self, when):
        for pair in self.pairs:
            ours, theirs = pair.view.tree(), pair.model.tree()
            wrong = {path: (ours.get(path), theirs.get(path)) for path in {*ours, *theirs}
                     if ours.get(path) != theirs.get(path)}
            self.assertEqual(dict(sorted(wrong.items())[:8]), {}, (when, pair.name, pair.last))

    def restart(self, kill):
        for pair in self.pairs:
            pair.close()
        if kill:
            os.kill(self.box.daemon_pid(), signal.SIGKILL)
            self.assertTrue(harness.wait_until(lambda: not self.box.processes(), 10))
        else:
            self.box.venvfs("umount", "--all")
        for name in ("other", *(pair.name for pair in self.pairs)):
            self.box.venvfs("mount", "-n", name, status=None)  # its pyvenv.cfg may have been removed

    def test_operations_on_two_environments_and_on_a_plain_copy_of_each(self):
        packs = harness.store_content(self.store)
        turns = random.Random(SEED)
        start = time.monotonic()
        for i in range(OPERATIONS):
            if i % BEGIN_EVERY == 0:
                self.begin(i // BEGIN_EVERY)
            pair = turns.choice(self.pairs)
            ours, expected = pair.step()
            self.assertEqual(ours, expected, (pair.name, pair.last))
            if i % CHECK_EVERY == CHECK_EVERY - 1:
                self.compare_trees(f"at {i}")
            if i % RESTART_EVERY == RESTART_EVERY - 1:
                self.restart(kill=i // RESTART_EVERY % 2)
                self.compare_trees(f"after a restart, at {i}")
            if i % BEGIN_EVERY == BEGIN_EVERY - 1 or i == OPERATIONS - 1:
                self.compare_trees("at the end")
        print(f"{OPERATIONS} operations, seed {SEED}, {time.monotonic() - start:.0f} s")
        self.assertEqual(harness.tree_digest(self.other), self.untouched, "the third environment")
        self.assertEqual(harness.store_changes(packs, self.store), {})


if __name__ == "__main__":
    harness.main()
