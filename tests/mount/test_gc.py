#!/usr/bin/env python3
"""`store gc`: it removes what no environment has and frees what its dry run said; nobody who imports,
syncs or has a file open notices; kill -9 and a full disk lose nothing."""
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

KILLS = int(os.environ.get("VENVFS_TEST_KILLS", "20"))
MODULES = 60
IMPORT = ("import importlib, sys\n"
          "import one.m0\n"
          f"assert all(importlib.import_module(f'one.m{{i}}').V == one.m0.V for i in range({MODULES}))\n"
          "print(one.m0.V)")


def source(version, i):
    chance = random.Random(f"{version} {i}")
    body = "".join(f"def f{chance.randrange(10 ** 9)}(a): return a * {chance.random()}\n"
                   for _ in range(40))
    return f"V = {version}\n{body}"


def make(folder, version, name="one"):
    files = {f"{name}/m{i}.py": source(version, i) for i in range(MODULES)}
    files[f"{name}/__init__.py"] = ""
    files[f"{name}/data.bin"] = random.Random(f"{name} {version}").randbytes(700_000).hex()
    return harness.make_wheel(folder, name, f"{version}.0", files)


class Waiting:
    """A command that waits for the store's lock, which somebody who collects holds."""

    def __init__(self, test, words, cwd):
        self.test, self.words, self.cwd = test, words, cwd
        self.status = self.output = None

    def __enter__(self):
        self.file = open(self.test.store / "lock", "r+b")
        fcntl.lockf(self.file, fcntl.LOCK_EX)
        self.process = subprocess.Popen([harness.PROGRAM, *self.words], env=self.test.box.env,
                                        cwd=self.cwd, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.until_it_waits()
        return self

    def until_it_waits(self):
        inode = f":{os.fstat(self.file.fileno()).st_ino} "
        for _ in range(200):
            with open("/proc/locks", encoding="ascii") as locks:
                if any("->" in line and inode in line for line in locks):
                    return
            time.sleep(0.05)
        self.process.kill()
        self.test.fail(f"{self.words} does not wait: {self.process.communicate()[0]}")

    def __exit__(self, *_):
        self.file.close()
        self.output = self.process.communicate(timeout=60)[0]
        self.status = self.process.returncode


class Gc(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("gc")
        self.addCleanup(self.box.close)
        self.wheels = self.box.root / "wheels"
        self.wheels.mkdir()
        self.store = self.box.venvfs_home / "store"

    def lock(self, version, *more):
        lock = self.box.root / f"lock{version}{len(more)}.txt"
        if not lock.exists():
            lock.write_text(harness.lock_text(make(self.wheels, version), *more))
        return lock

    def create(self, name, version):
        return self.box.create(name, "-r", self.lock(version), "--without-pip")

    def sync(self, name, version):
        self.box.venvfs("sync", "-n", name, "-r", self.lock(version))

    def imported(self, name, python=None):
        python = python or self.box.hub / name / "bin" / "python"
        return int(harness.run([python, "-c", IMPORT], env=self.box.env).stdout)

    def assert_clean(self):
        self.assertEqual(self.box.json("store", "verify"), {"problems": 0, "lines": []})

    def versions(self):
        return sorted(image["version"] for image in self.box.json("store", "ls")["images"])

    def generations(self, name):
        folder = self.box.venvfs_home / "envs" / name
        return sorted(int(path.stem) for path in folder.glob("*.json"))

    def disk(self):
        """All files of the store but SQLite's, and all manifests."""
        files = [path for path in self.store.rglob("*") if path.is_file()
                 and not path.name.startswith("catalog.sqlite")]
        files += (self.box.venvfs_home / "envs").glob("*/*.json")
        return sum(path.stat().st_size for path in files)

    def gc(self, *arguments):
        """Dry run and run, which must agree with each other and with the disk."""
        before = self.disk()
        would = self.box.json("store", "gc", "--dry-run", *arguments)
        self.assertEqual(self.disk(), before)
        done = self.box.json("store", "gc", *arguments)
        self.assertEqual(would["freed_bytes"], done["freed_bytes"])
        for key in ("after", "removed", "generations", "packs_rewritten"):
            self.assertEqual(would[key], done[key])
        self.assertEqual(before - self.disk(), done["freed_bytes"])
        return done

    def released(self, images, *arguments):
        """Waits until so many images may go: the kernel forgets a closed file a little later."""
        for _ in range(100):
            would = self.box.json("store", "gc", "--dry-run", *arguments)
            if len(would["removed"]) == images:
                return
            time.sleep(0.1)
        self.fail(f"{len(would['removed'])} images would go, not {images}")

    # ---- what goes and what stays ----

    def test_what_no_environment_has_goes_and_no_more(self):
        self.create("a", 1)
        self.create("b", 2)
        self.assertEqual(self.gc()["freed_bytes"], 0)
        self.box.venvfs("remove", "a")
        done = self.gc()
        self.assertEqual([image["version"] for image in done["removed"]], ["1.0"])
        self.assertGreater(done["freed_bytes"], 600_000)
        self.assertEqual(self.versions(), ["2.0"])
        self.assert_clean()
        self.assertEqual(self.imported("b"), 2)
        self.create("a", 1)
        self.assertEqual(self.imported("a"), 1)
        self.assert_clean()

    def test_generations(self):
        self.create("a", 1)
        for version in (2, 3, 4):
            self.sync("a", version)
        self.assertEqual(self.gc()["freed_bytes"], 0)  # all are kept: any may be rolled back to
        done = self.gc("--keep-generations", "2")
        self.assertEqual(done["generations"], [{"environment": "a", "generation": 1},
                                               {"environment": "a", "generation": 2}])
        self.assertEqual(self.generations("a"), [3, 4])
        self.assertEqual(self.versions(), ["3.0", "4.0"])
        self.box.venvfs("rollback", "-n", "a")
        self.assertEqual(self.imported("a"), 3)
        self.assertIn("no generation 1", self.box.venvfs("rollback", "-n", "a", "1", status=1).stderr)
        self.gc("--keep-generations", "1")
        self.assertEqual(self.generations("a"), [5])
        self.assertEqual(self.versions(), ["3.0"])
        self.assert_clean()
        said = self.box.venvfs("store", "gc", "--keep-generations", "0", status=2).stderr
        self.assertIn("1 at least", said)

    def test_a_generation_that_a_mounted_view_shows_stays(self):
        self.create("a", 1)
        folder = self.box.root / "view"
        self.box.venvfs("mount", "-n", "a", folder)
        self.sync("a", 2)
        self.sync("a", 3)
        done = self.gc("--keep-generations", "1")
        self.assertEqual([old["generation"] for old in done["generations"]], [2])
        self.assertEqual(self.generations("a"), [1, 3])
        self.assertEqual(self.imported("a", folder / "bin" / "python"), 1)
        self.box.venvfs("umount", folder)
        self.gc("--keep-generations", "1")
        self.assertEqual(self.generations("a"), [3])
        self.assertEqual(self.versions(), ["3.0"])
        self.assertEqual(self.imported("a"), 3)
        self.assert_clean()

    def test_an_open_file_keeps_its_image(self):
        env = self.create("a", 1)
        data = next(pathlib.Path(env).glob("lib/python3*/site-packages/one/data.bin"))
        whole = random.Random("one 1").randbytes(700_000).hex().encode()
        with open(data, "rb", buffering=0) as file:
            self.assertEqual(file.read(10), whole[:10])
            self.sync("a", 2)
            self.gc("--keep-generations", "1")
            self.assertIn("1.0", self.versions())
            # The kernel may have read ahead: what it drops it asks for again.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(file.read(2_000_000), whole[10:])
        # The kernel remembers a closed file until it needs the memory, or the mount ends.
        self.box.venvfs("umount", "--all")
        self.released(1, "--keep-generations", "1")
        self.gc("--keep-generations", "1")
        self.assertEqual(self.versions(), ["2.0"])
        self.assert_clean()

    def test_a_pin_keeps_what_nothing_has(self):
        self.create("a", 1)
        self.create("b", 2)
        self.box.venvfs("store", "pin", "one==1.0")
        self.box.venvfs("remove", "a", "b")
        self.gc()
        self.assertEqual(self.versions(), ["1.0"])
        self.box.venvfs("store", "unpin", "One==1.0")
        self.gc()
        self.assertEqual(self.versions(), [])
        self.assertIn("no image", self.box.venvfs("store", "pin", "one", status=1).stderr)

    def test_limits(self):
        for version in (1, 2, 3):
            self.create(f"e{version}", version)
        for version in (1, 2, 3):
            self.box.venvfs("remove", f"e{version}")
            image = next(image for image in self.box.json("store", "ls")["images"]
                         if image["version"] == f"{version}.0")
            file = next((self.store / "images").glob(f"*-{image['image']}.image"))
            past = time.time() - (4 - version) * 86400
            self.assertLess(time.time() - file.stat().st_mtime, 60)  # `remove` says when it was used
            os.utime(file, (past, past))
        self.gc("--max-age", "80h")
        self.assertEqual(self.versions(), ["1.0", "2.0", "3.0"])
        self.gc("--max-age", "60h")
        self.assertEqual(self.versions(), ["2.0", "3.0"])
        size = self.disk()
        self.gc("--max-size", f"{size * 7 // 10 // 1024}K")
        self.assertEqual(self.versions(), ["3.0"])
        self.assertLess(self.disk(), size * 7 // 10 + 1024)
        self.box.venvfs("store", "gc", "--max-age", "3x", status=2)
        self.box.venvfs("store", "gc", "--max-size", "many", status=2)
        self.assert_clean()

    def test_profiles_go_with_their_images(self):
        import sqlite3
        self.box.env["VENVFS_WARM"] = "on"
        self.box.venvfs("umount", "--all")
        self.create("a", 1)
        self.imported("a")
        profiles = self.box.venvfs_home / "profiles.sqlite"

        def count():
            with sqlite3.connect(profiles) as db:
                return db.execute("SELECT count(*) FROM touched").fetchone()[0]
        for _ in range(100):
            if profiles.exists() and count():
                break
            time.sleep(0.1)
        self.assertGreater(count(), 0)
        self.box.venvfs("remove", "a")
        self.released(1)
        self.gc()
        self.assertEqual((count(), self.versions()), (0, []))

    # ---- roots that cannot be read ----

    def test_an_unreadable_manifest_ends_it(self):
        self.create("a", 1)
        self.create("b", 2)
        self.sync("b", 3)
        self.box.venvfs("remove", "a")
        manifest = self.box.venvfs_home / "envs" / "b" / "1.json"
        text = manifest.read_bytes()
        manifest.write_bytes(text[:100])
        before = self.disk()
        said = self.box.venvfs("store", "gc", status=1).stderr
        self.assertIn("1.json", said)
        self.assertIn("nothing was removed", said)
        self.assertEqual(self.disk(), before)
        # One that is to go need not be read.
        self.box.venvfs("store", "gc", "--keep-generations", "1")
        self.assertEqual(self.versions(), ["3.0"])
        self.assertEqual(self.imported("b"), 3)

    def test_a_manifest_of_an_image_that_the_catalog_lacks_ends_it(self):
        import sqlite3
        self.create("a", 1)
        with sqlite3.connect(self.store / "catalog.sqlite") as db:
            db.execute("DELETE FROM images")
        said = self.box.venvfs("store", "gc", status=1).stderr
        self.assertIn("environment a, generation 1", said)
        self.assertIn("nothing was removed", said)
        self.assertEqual(self.imported("a"), 1)

    def test_a_lost_current_generation_counts_all(self):
        self.create("a", 1)
        self.sync("a", 2)
        self.box.venvfs("umount", "--all")
        folder = self.box.venvfs_home / "envs" / "a"
        current = os.readlink(folder / "current")
        (folder / "current").unlink()
        for arguments in ([], ["--keep-generations", "1"]):
            self.assertEqual(self.gc(*arguments)["removed"], [])
        self.assertEqual(self.versions(), ["1.0", "2.0"])
        (folder / "current").symlink_to("7.json")
        self.assertIn("nothing was removed", self.box.venvfs("store", "gc", status=1).stderr)
        (folder / "current").unlink()
        text = (folder / "1.json").read_bytes()
        (folder / "1.json").write_bytes(b"")
        self.assertIn("nothing was removed", self.box.venvfs("store", "gc", status=1).stderr)
        (folder / "1.json").write_bytes(text)
        (folder / "current").symlink_to(current)
        self.assertEqual(self.versions(), ["1.0", "2.0"])
        self.box.venvfs("mount", "-n", "a")
        self.assertEqual(self.imported("a"), 2)

    def waiting(self, *words, cwd=None):
        """Context: the store is being collected while a command begins, until the block ends."""
        return Waiting(self, words, cwd)

    def test_a_pin_of_what_was_just_collected_is_none(self):
        import sqlite3
        self.create("a", 1)
        self.box.venvfs("remove", "a")
        with self.waiting("store", "pin", "one") as command:
            with sqlite3.connect(self.store / "catalog.sqlite") as db:
                db.execute("DELETE FROM images")
        self.assertEqual(command.status, 1)
        self.assertFalse((self.store / "pins").exists())
        self.box.venvfs("store", "gc")

    def test_a_copied_project_gets_what_its_environment_has_after_the_collection(self):
        """What it had before the lock was held may be collected by then."""
        folder = self.box.project("app")
        self.box.venvfs("mount", folder)
        for version in (1, 2):
            self.box.venvfs("install", "--no-deps", make(self.wheels, version), cwd=folder)
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy, symlinks=True)
        envs = self.box.venvfs_home / "envs" / os.path.basename(os.readlink(folder / ".venv"))
        with self.waiting("mount", copy) as command:
            (envs / "current").unlink()
            (envs / "current").symlink_to("2.json")
        self.assertEqual(command.status, 0, command.output)
        name = os.path.basename(os.readlink(copy / ".venv"))
        manifest = json.loads((self.box.venvfs_home / "envs" / name / "1.json").read_text())
        self.assertEqual([package["version"] for package in manifest["packages"]
                          if package["name"] == "one"], ["1.0"])

    # ---- at the same time ----

    def test_commands_that_overlap_do_not_keep_it_waiting(self):
        self.create("a", 1)
        with open(self.store / "lock", "r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_SH)  # a command that goes on
            collecting = subprocess.Popen([harness.PROGRAM, "store", "gc"], env=self.box.env,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                          text=True)
            self.assertIn("waiting for commands", collecting.stderr.readline())
            later = subprocess.Popen([harness.PROGRAM, "store", "pin", "one"], env=self.box.env,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with self.assertRaises(subprocess.TimeoutExpired):
                later.wait(3)
            self.assertIsNone(collecting.poll())
        collecting.communicate(timeout=60)
        self.assertEqual((collecting.returncode, later.wait(60)), (0, 0))

    def test_who_imports_and_syncs_does_not_notice(self):
        for name in ("a", "b", "c"):
            self.create(name, 1)
        wrong, rounds, over = [], [], threading.Event()
        versions = {name: 1 for name in "abc"}

        def guarded(function):
            def loop():
                while not over.is_set():
                    try:
                        function()
                    except Exception as error:  # noqa: BLE001
                        wrong.append(f"{function.__name__}: {error}")
                        return
            return threading.Thread(target=loop)

        def importer():
            rounds.append(self.imported("c"))

        def view():
            # The kernel keeps what was read: only a mount that is new asks the daemon.
            folder = self.box.root / f"view{len(rounds)}"
            self.box.venvfs("mount", "-n", "b", folder)
            rounds.append(self.imported("b", folder / "bin" / "python"))
            self.box.venvfs("umount", folder)

        def syncer():
            versions["a"] += 1
            self.sync("a", versions["a"])
            got = self.imported("a")
            assert got == versions["a"], f"{got}, not {versions['a']}"

        def switcher():
            versions["b"] += 1
            self.sync("b", 100 + versions["b"])

        def brancher():
            """A clone, an install into it, a step back, another name, and away."""
            self.box.venvfs("clone", "a", "d")
            before = self.imported("d")
            self.box.venvfs("install", "-n", "d", "--no-deps", two)
            self.assertEqual(self.imported("d"), before)
            harness.run([self.box.hub / "d" / "bin" / "python", "-c", "import two.m0"],
                        env=self.box.env)
            self.box.venvfs("rename", "d", "e")
            self.box.venvfs("install", "-n", "e", "--no-deps", three)
            self.assertEqual(self.imported("e"), before)
            branches.append(before)
            self.box.venvfs("remove", "e")

        two, three = make(self.wheels, 900, "two"), make(self.wheels, 901, "three")
        branches = []
        pid = self.box.daemon_pid()
        threads = [guarded(function)
                   for function in (importer, view, syncer, switcher, brancher)]
        for thread in threads:
            thread.start()
        collected = freed = 0
        try:
            end = time.monotonic() + float(os.environ.get("VENVFS_TEST_SECONDS", "20"))
            # A busy machine may be slow to have something to collect.
            while not wrong and time.monotonic() < end + (120 if collected < 3 else 0):
                done = self.box.json("store", "gc", "--keep-generations", "1")
                collected += len(done["removed"])
                freed += done["freed_bytes"]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(rounds), 5)
        self.assertGreater(len(branches), 0)
        self.assertGreater(collected, 2)
        self.assertGreater(freed, 0)
        self.assertEqual(self.box.daemon_pid(), pid)
        self.assert_clean()
        for name in "abc":
            self.imported(name)
        print(f"  {len(rounds)} imports, {versions['a'] + versions['b']} syncs, {collected} images "
              f"collected", file=sys.stderr)

    def test_a_view_can_be_made_while_it_collects(self):
        """Between the reading of a manifest and the leases of its images both may be replaced."""
        self.create("a", 1)
        wrong, over = [], threading.Event()

        def look():
            while not over.is_set():
                self.box.venvfs("umount", "a", status=None)
                try:
                    self.imported("a")
                except FileNotFoundError:
                    pass  # unmounting hides the name until it is mounted again
                except Exception as error:  # noqa: BLE001
                    if "No such file" not in str(error):
                        wrong.append(str(error))
                self.box.venvfs("mount", "-n", "a")

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for version in range(2, 8):
                self.sync("a", version)
                self.box.venvfs("store", "gc", "--keep-generations", "1")
        finally:
            over.set()
            thread.join()
        self.assertEqual(wrong, [])
        self.box.venvfs("mount", "-n", "a")
        self.assertEqual(self.imported("a"), 7)
        self.assert_clean()

    def test_kill_at_random_moments(self):
        chance = random.Random(int(os.environ.get("VENVFS_TEST_SEED", "1")))
        words = [harness.PROGRAM, "store", "gc", "--keep-generations", "1"]
        version = 1
        self.create("a", version)
        start = time.monotonic()
        harness.run(words, env=self.box.env)
        seconds = time.monotonic() - start
        killed = attempts = 0
        while killed < KILLS:
            attempts += 1
            self.assertLess(attempts, 8 * KILLS, "too few runs were still going when killed")
            version += 1
            self.sync("a", version)
            running = subprocess.Popen(words, env=self.box.env, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, 1.5 * seconds))
            running.send_signal(signal.SIGKILL)
            killed += running.wait() == -signal.SIGKILL
            self.assert_clean()
            self.assertEqual(self.imported("a"), version)
        self.box.venvfs("umount", "--all")
        self.gc("--keep-generations", "1")
        self.assertEqual(self.versions(), [f"{version}.0"])
        self.assertEqual(os.listdir(self.store / "tmp"), [])
        stats = self.box.json("store", "stats")
        self.assertEqual(len(list((self.store / "packs").iterdir())), stats["packs"])
        self.assertEqual(len(list((self.store / "images").glob("*.image"))), 1)
        self.assert_clean()

    @unittest.skipIf(os.getuid() != 0, "needs a small file system of its own")
    def test_a_full_disk_gets_room(self):
        home = self.box.root / "small"
        home.mkdir()
        harness.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "none", home])
        self.addCleanup(harness.run, ["umount", "-l", home])
        env = {"VENVFS_HOME": str(home), "VENVFS_NO_DAEMON": "1"}
        python = harness.default_python()
        for version in (1, 2):
            self.box.venvfs("store", "add", "-p", python, make(self.wheels, version), env=env)
        # One pack of two, of which one is to stay; all share a WHEEL, which is in the first.
        self.box.venvfs("store", "add", "-p", python, make(self.wheels, 3),
                        make(self.wheels, 4, "two"), env=env)
        self.box.venvfs("store", "pin", "two", env=env)
        room = os.statvfs(home)
        (home / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - 600_000))
        done = json.loads(self.box.venvfs("store", "gc", "--json", env=env).stdout)
        self.assertTrue(done["no_room"])
        self.assertGreater(done["freed_bytes"], 800_000)
        self.box.venvfs("store", "verify", env=env)
        again = json.loads(self.box.venvfs("store", "gc", "--json", env=env).stdout)
        self.assertFalse(again["no_room"])
        self.assertEqual(again["packs_rewritten"], 2)
        self.assertGreater(again["freed_bytes"], 0)
        self.assertEqual(os.listdir(home / "store" / "tmp"), [])
        self.box.venvfs("store", "verify", env=env)


if __name__ == "__main__":
    harness.main(needs_fuse=True)
