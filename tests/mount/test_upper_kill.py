#!/usr/bin/env python3
"""kill -9 of the daemon while several programs write: all that was synced is there with its bytes, a
rename has happened or has not, and the tree can be walked; again and again in one environment.

    VENVFS_TEST_KILLS   how many (default 12)
    VENVFS_TEST_SEED    a number
"""
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ROUNDS = int(os.environ.get("VENVFS_TEST_KILLS", "12"))
SEED = int(os.environ.get("VENVFS_TEST_SEED", "1"))
PACKAGES, MODULES = 6, 30

# Each writer works in its own part of the tree until the mount is gone, and says each thing that is
# durable on standard output, which is a plain file: {"path": digest}, or {"path": null} when removed.
COMMON = """if True:
    import ctypes, hashlib, itertools, json, os, random, sys
    site, chance = sys.argv[1], random.Random(sys.argv[2])
    def durable(path, data):
        os.write(1, (json.dumps({path: None if data is None else hashlib.sha256(data).hexdigest()}) + "\\n").encode())
    def at(path):
        return os.path.join(site, path)
    def sync_folder(path):
        fd = os.open(at(path), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    def folder_at(path):
        try:
            os.mkdir(at(path))
        except FileExistsError:  # not os.makedirs(exist_ok=True): its isdir() takes a cut connection for "no folder"
            pass
    def write(path, data, mode="wb"):
        with open(at(path), mode) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
"""
WRITERS = {
    # New files and folders.
    "create": """if True:
    for i in itertools.count():
        folder = f"created/{sys.argv[2]}-{i % 5}"
        folder_at("created")
        folder_at(folder)
        data = chance.randbytes(chance.choice((10, 5000, 200_000)))
        write(f"{folder}/f{i}", data)
        sync_folder(folder)
        durable(f"{folder}/f{i}", data)
    """,
    # Files from below, edited in place: each is written once, so that a later try cannot spoil it.
    "edit": """if True:
    names = sorted(n for n in os.listdir(at("p0")) if n.startswith("m") and open(at("p0/" + n), "rb").read(6) != b"edited")
    for name in chance.sample(names, len(names)):
        data = b"edited" + chance.randbytes(3000)
        write(f"p0/{name}", data, "r+b")
        durable(f"p0/{name}", open(at(f"p0/{name}"), "rb").read())
    """,
    # Save by rename, over files from below and over its own.
    "replace": """if True:
    for i in itertools.count():
        name = f"p1/m{chance.randrange(30)}.py"
        data = f"version {sys.argv[2]} {i:09}\\n".encode() * 400
        write(name + ".new", data)
        os.rename(at(name + ".new"), at(name))
        sync_folder("p1")
        durable(name, data)
    """,
    # Whole packages there and back, and two files exchanged.
    "move": """if True:
    libc = ctypes.CDLL(None)
    for i in itertools.count():
        here, there = ("p2", "moved") if os.path.exists(at("p2")) else ("moved", "p2")
        os.rename(at(here), at(there))
        here, there = ("p3/sub", "p4/sub") if os.path.exists(at("p3/sub")) else ("p4/sub", "p3/sub")
        libc.renameat2(-100, at("p3/m1.py").encode(), -100, at(here + "/m2.py").encode(), 2)
        os.rename(at(here), at(there))
    """,
    # What is removed and synced stays away.
    "remove": """if True:
    names = sorted(n for n in os.listdir(at("p5")) if n.startswith("m"))
    for name in chance.sample(names, len(names)):
        os.unlink(at("p5/" + name))
        sync_folder("p5")
        durable("p5/" + name, None)
    """,
}


class Kill(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.box = harness.Sandbox("uppkill")
        self.addCleanup(self.box.close)
        wheels = self.box.root / "wheels"
        wheels.mkdir()
        files = {}
        for i in range(PACKAGES):
            files.update({f"p{i}/m{j}.py": f"n = {i * 1000 + j}\n" * 50 for j in range(MODULES)})
            if i != 4:
                files[f"p{i}/sub/m2.py"] = f"s = {i}\n"
        lock = self.box.root / "lock.txt"
        lock.write_text(harness.lock_text(harness.make_wheel(wheels, "many", "1.0", files)))
        self.env = self.box.create("killed", "-r", lock, "--without-pip")
        self.beside = self.box.create("beside", "-r", lock, "--without-pip")
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.original = harness.tree_digest(self.site)
        self.known = {}  # path: digest, or None when it was removed
        self.chance = random.Random(SEED)
        self.store = harness.store_content(self.box.venvfs_home / "store")

    def start(self, number):
        running = {}
        for name, program in WRITERS.items():
            log = open(self.box.root / f"{name}-{number}.log", "w+b")
            running[name] = (subprocess.Popen(
                [sys.executable, "-c", COMMON + program.replace("if True:\n", "", 1), str(self.site),
                 f"{SEED}.{number}"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE), log)
        return running

    def collect(self, running):
        """What the writers knew to be durable, and how many of them were still at it."""
        cut = 0
        for name, (process, log) in running.items():
            _, said = process.communicate(timeout=60)
            if process.returncode:  # with an error of the file system, and no other
                self.assertRegex(said.decode(), r"OSError: \[Errno (103|107|5)\]|ConnectionAbortedError", name)
                cut += 1
            log.seek(0)
            for line in log:
                self.known.update(json.loads(line))
            log.close()
        return cut

    def check(self, when):
        found = harness.tree_digest(self.site)  # all can be walked and read
        lost = {path: (found.get(path), digest) for path, digest in self.known.items()
                if found.get(path) != digest and not self.was_replaced(path)}
        self.assertEqual(lost, {}, when)
        package = self.below(self.original, "p2")
        self.assertEqual(sum(name in found for name in ("p2", "moved")), 1, when)
        self.assertEqual(self.below(found, "p2" if "p2" in found else "moved"), package, when)
        self.assertEqual(sum(name in found for name in ("p3/sub", "p4/sub")), 1, when)
        sub = "p3/sub" if "p3/sub" in found else "p4/sub"
        exchanged = {found["p3/m1.py"], found[f"{sub}/m2.py"]}
        self.assertEqual(exchanged, {self.original["p3/m1.py"], self.original["p3/sub/m2.py"]}, when)
        for name in sorted(found):
            if name.startswith("p1/m") and name.endswith(".py"):
                self.assertTrue(self.is_whole(self.site / name), (when, name))
        self.assertEqual(harness.store_changes(self.store, self.box.venvfs_home / "store"), {}, when)

    @staticmethod
    def below(tree, folder):
        return {path[len(folder):]: digest for path, digest in tree.items() if path.startswith(folder + "/")}

    def was_replaced(self, path):
        """By a version that was on its way in when the daemon was killed: a whole one, checked below."""
        return path.startswith("p1/") and (self.site / path).exists()

    def is_whole(self, path):
        text = path.read_text()
        first = text[:text.index("\n") + 1]
        return text == first * text.count("\n") and text.count("\n") in (50, 400)

    def versions_go_on(self):
        """No replaced file is older than the last one that was synced."""
        for path, digest in self.known.items():
            if path.startswith("p1/"):
                data = (self.site / path).read_bytes()
                if hashlib.sha256(data).hexdigest() != digest:
                    yield path, data[:data.index(b"\n")].decode()

    def test_what_was_synced_is_there_and_renames_are_whole(self):
        cut = 0
        for number in range(ROUNDS):
            running = self.start(number)
            time.sleep(0.15 + self.chance.random() * 0.6)
            os.kill(self.box.daemon_pid(), signal.SIGKILL)
            cut += self.collect(running)
            self.box.venvfs("mount", "-n", "killed")
            when = f"kill {number} of seed {SEED}"
            self.check(when)
            # At most the one that was under way is newer than what was said, and none is older.
            newer = list(self.versions_go_on())
            self.assertLessEqual(len(newer), 1, when)
            self.assertEqual([text for _, text in newer if not text.startswith(f"version {SEED}.{number} ")], [], when)
            self.known.update({path: hashlib.sha256((self.site / path).read_bytes()).hexdigest()
                               for path, _ in newer})
        print(f"{ROUNDS} kills, seed {SEED}: {len(self.known)} things were synced, {cut} writers cut off")
        self.assertGreater(cut, 2 * ROUNDS, "too few writers were at work when the daemon was killed")
        upper = self.box.venvfs_home / "envs" / "killed" / "upper"
        self.box.venvfs("umount", "--all")
        self.box.venvfs("mount", "-n", "killed")
        self.check("after an orderly restart")
        self.assertEqual([os.listdir(upper / own) for own in (".wh..wh..work", ".wh..wh..orphans")], [[], []])
        beside = next((self.box.hub / "beside").glob("lib/python3*/site-packages"))
        self.box.venvfs("mount", "-n", "beside")
        self.assertEqual(harness.tree_digest(beside), self.original)


if __name__ == "__main__":
    harness.main()
