#!/usr/bin/env python3
"""`store optimize` under mounted environments: nobody who imports notices, other commands go on, and
neither a full disk nor kill -9 loses anything."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

KILLS = int(os.environ.get("VENVFS_TEST_KILLS", "20"))
MODULES = 120
IMPORT = ("import importlib, sys\n"
          "print(sum(importlib.import_module(f'{name}.m{i}').V for name in sys.argv[1:] "
          f"for i in range({MODULES})))")


def source(name, version, i):
    """The versions of a module differ in a line."""
    chance = random.Random(f"{name} {i}")
    body = "".join(f"def f{chance.randrange(10 ** 9)}(a, b={chance.randrange(10 ** 6)}):\n"
                   f"    return a + b * {chance.random()}\n" for _ in range(30))
    return f"V = {version}\n{body}"


def make(folder, name, version):
    files = {f"{name}/m{i}.py": source(name, version, i) for i in range(MODULES)}
    files[f"{name}/__init__.py"] = ""
    files[f"{name}/native.so"] = random.Random(f"{name} {version}").randbytes(700_000).hex()
    return harness.make_wheel(folder, name, f"{version}.0", files)


class Optimize(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("optimize")
        self.addCleanup(self.box.close)
        self.wheels = self.box.root / "wheels"
        self.wheels.mkdir()
        self.count = 0
        for version in (1, 2, 3):
            self.env(f"env{version}", *(make(self.wheels, name, version) for name in ("one", "two")))
        self.store = pathlib.Path(self.box.json("store", "path")["path"])

    def env(self, name, *wheels):
        lock = self.box.root / f"{name}.txt"
        lock.write_text(harness.lock_text(*wheels))
        return self.box.create(name, "-r", lock, "--without-pip")

    def grow(self):
        """Something new, so that the next run has work to do."""
        self.count += 1
        self.box.venvfs("store", "add", "-p", harness.default_python(),
                        make(self.wheels, "more", self.count))

    def imported(self, version, python=None):
        done = harness.run([python or self.box.hub / f"env{version}" / "bin" / "python", "-c", IMPORT,
                            "one", "two"], env=self.box.env)
        return int(done.stdout)

    def assert_whole(self):
        self.assertEqual(self.box.json("store", "verify"), {"problems": 0, "lines": []})
        for version in (1, 2, 3):
            self.assertEqual(self.imported(version), version * 2 * MODULES)

    def packs(self):
        return sorted(path.name for path in (self.store / "packs").iterdir())

    def test_smaller_and_told(self):
        before = harness.disk_bytes(self.store)
        would = self.box.json("store", "optimize", "--dry-run")
        self.assertEqual(harness.disk_bytes(self.store), before)
        done = self.box.json("store", "optimize")
        self.assertLess(harness.disk_bytes(self.store), before)
        self.assertLess(done["after"]["pack_bytes"], done["before"]["pack_bytes"])
        self.assertAlmostEqual(would["after"]["pack_bytes"] / done["after"]["pack_bytes"], 1, delta=0.05)
        self.assertEqual(done["after"]["packs"], len(self.packs()))
        self.assertEqual((done["blobs_damaged"], done["lines"]), (0, []))
        files = [path for path in self.store.rglob("*") if path.is_file()]
        self.assertEqual(done["after"]["files"], len(files))
        self.assert_whole()
        self.assertTrue(self.box.json("store", "optimize")["nothing"])
        self.assertIn("nothing to do", self.box.venvfs("store", "optimize").stderr)
        self.assertIn("--level is 1 to 19", self.box.venvfs("store", "optimize", "--level", "20",
                                                            status=2).stderr)

    def test_who_imports_does_not_notice(self):
        wrong, rounds, over, rewritten = [], [], threading.Event(), 0

        def go_on(version):
            while not over.is_set():
                # The kernel keeps what was read: only a mount that is new asks the daemon.
                folder = self.box.root / f"view{version}-{len(rounds)}"
                try:
                    self.box.venvfs("mount", "-n", f"env{version}", folder)
                    got = self.imported(version, folder / "bin" / "python")
                    self.box.venvfs("umount", folder)
                except harness.Failed as failed:
                    wrong.append(str(failed))
                    return
                rounds.append(version)
                if got != version * 2 * MODULES:
                    wrong.append(f"{got} of version {version}")

        pid = self.box.daemon_pid()
        threads = [threading.Thread(target=go_on, args=(version,)) for version in (1, 2)]
        for thread in threads:
            thread.start()
        try:
            for level in range(3, 13):
                self.grow()
                rewritten += not self.box.json("store", "optimize", "--level", str(level))["nothing"]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(rounds), 3)
        self.assertGreater(rewritten, 3)
        self.assertEqual(self.box.daemon_pid(), pid)
        self.assert_whole()
        self.assertEqual([target for target in self.open_files(pid) if "(deleted)" in target], [])

    def open_files(self, pid):
        folder = pathlib.Path(f"/proc/{pid}/fd")
        return [os.readlink(path) for path in folder.iterdir() if ".pack" in os.readlink(path)]

    def test_environments_can_be_made_meanwhile(self):
        running = subprocess.Popen([harness.PROGRAM, "store", "optimize", "-j", "1", "--level", "19"],
                                   env=self.box.env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        made = 0
        while running.poll() is None:
            made += 1
            self.env(f"new{made}", make(self.wheels, "fresh", made))
        self.assertEqual(running.wait(), 0)
        self.assertGreater(made, 0)
        self.assert_whole()
        self.box.venvfs("store", "optimize")
        self.assert_whole()
        for i in range(1, made + 1):
            harness.run([self.box.hub / f"new{i}" / "bin" / "python", "-c",
                         f"import fresh.m7; assert fresh.m7.V == {i}"], env=self.box.env)

    def test_kill_at_random_moments(self):
        chance = random.Random(int(os.environ.get("VENVFS_TEST_SEED", "1")))
        words = [harness.PROGRAM, "store", "optimize", "--level", "9"]
        start = time.monotonic()
        harness.run(words, env=self.box.env)
        seconds = time.monotonic() - start
        killed = attempts = 0
        while killed < KILLS:
            attempts += 1
            self.assertLess(attempts, 8 * KILLS, "too few runs were still going when killed")
            self.grow()
            running = subprocess.Popen([*words[:-1], str(9 + attempts % 3)], env=self.box.env,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, seconds))
            running.send_signal(signal.SIGKILL)
            killed += running.wait() == -signal.SIGKILL
            self.assertEqual(self.box.json("store", "verify"), {"problems": 0, "lines": []})
        self.assert_whole()
        self.box.venvfs("store", "optimize", "--level", "11")
        self.assertTrue(self.box.json("store", "optimize", "--level", "11")["nothing"])
        self.assertEqual(os.listdir(self.store / "tmp"), [])
        self.assertEqual(len(self.packs()), self.box.json("store", "stats")["packs"])
        self.assert_whole()

    @unittest.skipIf(os.getuid() != 0, "needs a small file system of its own")
    def test_a_full_disk_changes_nothing(self):
        home = self.box.root / "small"
        home.mkdir()
        harness.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "none", home])
        self.addCleanup(harness.run, ["umount", "-l", home])
        env = {"VENVFS_HOME": str(home), "VENVFS_NO_DAEMON": "1"}
        for wheel in self.wheels.iterdir():
            self.box.venvfs("store", "add", "-p", harness.default_python(), wheel, env=env)
        store = home / "store"
        before = harness.tree_digest(store / "packs")
        room = os.statvfs(home)
        (home / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - 1_000_000))
        said = self.box.venvfs("store", "optimize", env=env, status=1).stderr
        self.assertIn("of free disk", said)
        self.assertEqual(harness.tree_digest(store / "packs"), before)
        self.assertEqual(os.listdir(store / "tmp"), [])
        self.box.venvfs("store", "verify", env=env)
        (home / "filler").unlink()
        need = self.box.json("store", "optimize", "--dry-run", env=env)["space_needed"]
        room = os.statvfs(home)
        (home / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - need - 65536))
        self.assertFalse(self.box.json("store", "optimize", env=env)["nothing"])  # no more than it said
        self.box.venvfs("store", "verify", env=env)


if __name__ == "__main__":
    harness.main()
