#!/usr/bin/env python3
"""The store stays as it is, byte for byte, whatever is done in an environment, by root as by anybody:
and another environment of the same packages, in which the same files are imported and mapped, keeps
its bytes and goes on working."""
import mmap
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

NATIVE = "_json"  # a module of the standard library that is a shared object in every build

# Imports, maps, and answers each line with what it has and what it reads anew.
BESIDE = """if True:
    import hashlib, mmap, os, sys
    import stored.native._json as native, stored.module as module
    paths = sys.argv[1:]
    def mapped(path):
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    maps = {path: mapped(path) for path in paths}
    def read(path):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # from the file system, not the cache
        with open(fd, "rb") as file:
            return file.read()
    def digest(data):
        return hashlib.sha256(data).hexdigest()
    while True:
        facts = [(digest(maps[path][:]), digest(read(path)), oct(os.stat(path).st_mode),
                  os.stat(path).st_uid, os.stat(path).st_mtime_ns) for path in paths]
        print(module.value(), native.encode_basestring_ascii("x"), facts, flush=True)
        if not sys.stdin.readline():
            break
"""


def native_module():
    """The interpreter's own shared object: a real one that strip and patchelf can work on."""
    path = harness.run([harness.default_python(), "-c", f"import {NATIVE}; print({NATIVE}.__file__)"])
    return pathlib.Path(path.stdout.strip())


def setUpModule():
    global BOX, LOCK, STORE
    BOX = harness.Sandbox("stored")
    unittest.addModuleCleanup(BOX.close)
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    native = native_module()
    files = {"stored/__init__.py": "", "stored/native/__init__.py": "",
             f"stored/native/{native.name}": native.read_bytes(),
             "stored/module.py": "def value():\n    return 'as packaged'\n",
             "stored/data.bin": bytes(range(256)) * 3000}
    files.update({f"stored/many/m{i}.py": f"n = {i}\n" for i in range(100)})
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(harness.make_wheel(wheels, "stored", "1.0", files)))
    BOX.create("first", "-r", LOCK)
    STORE = pathlib.Path(harness.one_line(BOX.venvfs("store", "path").stdout))


def store_state():
    """Bytes, modes, owners, sizes and times of all files; the catalog's are SQLite's affair but for
    the bytes."""
    state = {}
    for path, digest in harness.tree_digest(STORE).items():
        facts = os.lstat(STORE / path)
        times = facts.st_mtime_ns if path.startswith(("packs", "images")) and digest != "folder" else None
        state[path] = digest, oct(facts.st_mode), facts.st_uid, facts.st_gid, times
    return state


class Case(unittest.TestCase):
    def setUp(self):
        name = self.id().rpartition(".")[2][5:50].replace("_", "-")
        self.env = BOX.create(name, "-r", LOCK)
        self.beside = BOX.create(name + "-beside", "-r", LOCK)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.so = next(self.site.glob(f"stored/native/{NATIVE}*.so"))
        self.py = self.site / "stored" / "module.py"
        self.pyc = next(self.site.glob("stored/__pycache__/module.*.pyc"))
        theirs = [self.beside / path.relative_to(self.env) for path in (self.so, self.py, self.pyc)]
        self.process = subprocess.Popen([str(self.beside / "bin" / "python"), "-c", BESIDE, *map(str, theirs)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=BOX.env)
        self.addCleanup(self.process.stdout.close)
        self.said = self.process.stdout.readline()
        self.assertIn("as packaged", self.said)
        self.tree = harness.tree_digest(self.beside)
        self.store = store_state()

    def tearDown(self):
        """What every test is about."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.assertEqual(self.process.stdout.readline(), self.said, "the process beside")
        self.process.communicate()
        self.assertEqual(self.process.returncode, 0)
        self.assertEqual(self.runs(self.beside), "as packaged")
        self.assertEqual(harness.tree_digest(self.beside), self.tree)
        self.assertEqual(store_state(), self.store)
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", "first")
        self.assertEqual(store_state(), self.store)

    def runs(self, env):
        return harness.run([env / "bin" / "python", "-c", "import stored.native._json as n, stored.module\n"
                            "assert n.encode_basestring_ascii('x') == '\"x\"'\n"
                            "print(stored.module.value())"], env=BOX.env).stdout.strip()

    def files(self):
        return [path for path in self.site.rglob("*") if path.is_file() and not path.is_symlink()]

    def tool(self, name):
        if not shutil.which(name):
            self.skipTest(f"{name} is not installed")
        return name


class StoreStays(Case):
    def test_chmod_R(self):
        for mode in ("a-w", "go-rwx", "a+rwX"):
            harness.run(["chmod", "-R", mode, self.env / "lib"])
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) & 0o666 for path in self.files()}, {0o666})
        self.assertEqual(self.runs(self.env), "as packaged")

    def test_chown_R(self):
        if os.getuid() == 0:
            harness.run(["chown", "-R", "12345:12346", self.env / "lib"])
            self.assertEqual({(path.stat().st_uid, path.stat().st_gid) for path in self.files()},
                             {(12345, 12346)})
            self.assertEqual(self.runs(self.env), "as packaged")
            harness.run(["chown", "-R", "0:0", self.env / "lib"])
        else:
            done = harness.run(["chown", "-R", "0:0", self.env / "lib"], status=1)
            self.assertIn("Operation not permitted", done.stderr)
            harness.run(["chown", "-R", f"{os.getuid()}:{os.getgid()}", self.env / "lib"])
        self.assertEqual({(path.stat().st_uid, path.stat().st_gid) for path in self.files()},
                         {(os.getuid(), os.getgid())})

    def test_touch(self):
        harness.run(["find", self.env / "lib", "-type", "f", "-exec", "touch", "-d", "2001-02-03 UTC", "{}", "+"])
        self.assertEqual({path.stat().st_mtime for path in self.files()}, {981158400.0})
        self.assertEqual(self.runs(self.env), "as packaged")

    def test_strip(self):
        harness.run([self.tool("strip"), "--strip-unneeded", "-R", ".note.gnu.build-id", self.so])
        self.assertTrue(self.so.read_bytes() != native_module().read_bytes())
        self.assertEqual(self.runs(self.env), "as packaged")

    def test_patchelf(self):
        harness.run([self.tool("patchelf"), "--set-rpath", "/nowhere/at/all", self.so])
        self.assertIn(b"/nowhere/at/all", self.so.read_bytes())
        self.assertEqual(self.runs(self.env), "as packaged")

    def test_rsync_into_it(self):
        source = BOX.root / f"{self.env.name}-source"
        (source / "stored" / "native").mkdir(parents=True)
        (source / "stored" / "module.py").write_text("def value():\n    return 'from rsync, which is longer'\n")
        (source / "stored" / "native" / self.so.name).write_bytes(native_module().read_bytes() + bytes(999))
        for options in ("-a", "-a --inplace --no-whole-file"):
            harness.run([self.tool("rsync"), *options.split(), f"{source}/", f"{self.site}/"])
            self.assertEqual(self.runs(self.env), "from rsync, which is longer")
            self.assertEqual(self.so.stat().st_size, native_module().stat().st_size + 999)
            (source / "stored" / "data.bin").write_bytes(bytes(100_000))

    def test_stores_over_a_shared_object_and_bytecode(self):
        """In place: by pwrite and through a shared mapping, each page of them."""
        for path in (self.so, self.pyc, self.py):
            for write in (self.pwrite, self.store_mapped):
                size = path.stat().st_size
                write(path, size)
                self.assertEqual(path.stat().st_size, size)
                self.assertEqual(path.read_bytes(), write.__name__[:1].encode() * size)

    @staticmethod
    def pwrite(path, size):
        fd = os.open(path, os.O_RDWR)
        for at in range(0, size, 5000):
            os.pwrite(fd, b"p" * min(5000, size - at), at)
        os.close(fd)

    @staticmethod
    def store_mapped(path, size):
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            memory[:] = b"s" * size

    def test_truncation_removal_and_what_is_put_in_place(self):
        os.truncate(self.so, 10)
        with open(self.py, "w") as file:
            file.write("def value():\n    return 'mine, and longer'\n")
        replaced = self.site / "stored" / "data.bin"
        replaced.with_suffix(".new").write_bytes(b"new")
        os.replace(replaced.with_suffix(".new"), replaced)
        os.unlink(self.pyc)
        os.link(self.py, self.py.with_name("linked.py"))
        with open(self.py.with_name("linked.py"), "a") as file:
            file.write("# through the other name\n")
        self.assertIn("other name", self.py.read_text())
        harness.run([self.env / "bin" / "python", "-c", "import stored.native._json"], env=BOX.env, status=1)
        shutil.copy(native_module(), self.so)
        self.assertEqual(self.runs(self.env), "mine, and longer")
        shutil.rmtree(self.site)


if __name__ == "__main__":
    harness.main()
