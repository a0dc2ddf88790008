"""kill -9 of the daemon with VENVFS_TAKEOVER=on: a successor goes on with the same mount. What is open
stays open, a request under way is done once and answered right, and nobody sees an error.

    VENVFS_TEST_KILLS   how many in the test of changes (default 6)
    VENVFS_TEST_SEED    of when they come
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness

SEED = int(os.environ.get("VENVFS_TEST_SEED", "1"))
KILLS = int(os.environ.get("VENVFS_TEST_KILLS", "6"))

# Does each kind of change over and over, checks every answer and what is there afterwards, and ends
# when its standard input does. Any error, or a change that was done twice or not at all, is its end.
CHANGES = """if True:
    import ctypes, itertools, os, select, sys
    top, libc = sys.argv[1], ctypes.CDLL(None, use_errno=True)
    at = lambda name: os.path.join(top, name)
    def exchange(a, b):
        if libc.renameat2(-100, at(a).encode(), -100, at(b).encode(), 2):
            raise OSError(ctypes.get_errno(), "exchange")
    def read(name):
        with open(at(name), "rb") as file:
            return file.read()
    def expect(what, wanted):
        if what != wanted:
            raise AssertionError((what, wanted, rounds))
    os.mkdir(top)
    for rounds in itertools.count():
        data = b"%d\\n" % rounds * 500
        with open(at("file"), "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.ftruncate(file.fileno(), len(data) - 5)
            file.seek(0, 2)
            file.write(data[-5:])
        expect(read("file"), data)
        os.mkdir(at("folder"))
        os.symlink("file", at("link"))
        os.link(at("file"), at("second"))
        expect(os.stat(at("file")).st_nlink, 2)
        os.unlink(at("second"))
        os.rename(at("file"), at("folder/moved"))
        with open(at("other"), "xb") as file:
            file.write(b"other")
        exchange("other", "folder/moved")
        expect((read("other"), read("folder/moved")), (data, b"other"))
        with open(at("folder/moved"), "rb") as kept:
            os.rename(at("other"), at("folder/moved"))
            expect(kept.read(), b"other")
        expect(read("folder/moved"), data)
        with open(at("folder/moved"), "r+b") as kept:
            os.unlink(at("folder/moved"))
            kept.seek(3)
            kept.write(b"xyz")
            kept.flush()
            kept.seek(0)
            expect(kept.read(), data[:3] + b"xyz" + data[6:])
        os.unlink(at("link"))
        os.rmdir(at("folder"))
        expect(os.listdir(top), [])
        if select.select([0], [], [], 0)[0]:
            break
    print(rounds)
"""
IMPORTS = """if True:
    import subprocess, select, sys
    n = 0
    while not select.select([0], [], [], 0)[0]:
        done = subprocess.run([sys.argv[1], "-c", "import pkg, pkg.m1, pkg.m29; print(pkg.value, pkg.m29.n)"],
                              capture_output=True, text=True)
        if done.stdout != "42 29\\n" or done.returncode:
            sys.exit(f"{n}: {done.stdout!r} {done.stderr!r}")
        n += 1
    print(n)
"""


class Takeover(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.box = harness.Sandbox("takeover")
        self.addCleanup(self.box.close)
        self.box.env["VENVFS_TAKEOVER"] = "on"
        wheels = self.box.root / "wheels"
        wheels.mkdir()
        files = {"pkg/__init__.py": "value = 42\n"}
        files.update({f"pkg/m{i}.py": f"n = {i}\n" + "# text\n" * 2000 for i in range(30)})
        lock = self.box.root / "lock.txt"
        lock.write_text(harness.lock_text(harness.make_wheel(wheels, "pkg", "1.0", files)))
        self.lock = lock
        self.wheels = wheels
        self.env = self.box.create("one", "-r", lock, "--without-pip")
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.chance = random.Random(SEED)

    def kill(self):
        """Kills the daemon and waits for its successor."""
        before = self.box.daemon_pid()
        os.kill(before, signal.SIGKILL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                after = self.box.daemon_pid()
                if after and after != before:  # None while the dead one is still named
                    return after
            except (OSError, ValueError, KeyError, harness.Failed):
                pass
            time.sleep(0.005)
        self.fail("nobody went on: " + (self.box.venvfs_home / "daemon.log").read_text()[-2000:])

    def test_what_is_open_stays_open(self):
        (self.site / "new.py").write_text("new = 1\n")
        (self.site / "pkg" / "m1.py").write_text("n = 'edited'\n")
        os.rename(self.site / "pkg" / "m2.py", self.site / "moved.py")
        os.rename(self.site / "pkg-1.0.dist-info", self.site / "renamed")
        folder = os.open(self.site / "pkg", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        inodes = {path: path.stat().st_ino for path in
                  (self.site / "new.py", self.site / "pkg" / "m1.py", self.site / "moved.py", self.site / "renamed",
                   self.site / "pkg" / "m3.py", self.site, self.env / "pyvenv.cfg")}
        with open(self.site / "new.py", "r+") as removed, open(self.site / "pkg" / "m1.py") as edited, \
                open(self.site / "moved.py") as moved, open(self.site / "pkg" / "m5.py") as below:
            os.unlink(self.site / "new.py")
            os.unlink(self.site / "pkg" / "m5.py")
            for _ in range(3):
                self.kill()
                os.posix_fadvise(removed.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                os.posix_fadvise(moved.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                for file, text in ((removed, "new = 1\n"), (edited, "n = 'edited'\n"), (moved, "n = 2\n"),
                                   (below, "n = 5\n")):
                    file.seek(0)
                    self.assertEqual(file.read()[:len(text)], text)
            removed.seek(0)
            removed.write("more")
            removed.flush()
        self.assertIn("m7.py", os.listdir(folder))
        for path, inode in inodes.items():
            if path.name != "new.py":
                self.assertEqual(path.stat().st_ino, inode, path)
        self.assertFalse((self.site / "new.py").exists())
        self.assertFalse((self.site / "pkg" / "m2.py").exists())
        self.assertEqual((self.site / "renamed" / "METADATA").read_text()[:8], "Metadata")

    def test_changes_are_done_once_and_answered(self):
        changes = [subprocess.Popen([sys.executable, "-c", CHANGES, str(folder)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for folder in (self.site / "work", self.site / "pkg" / "work")]
        imports = subprocess.Popen([sys.executable, "-c", IMPORTS, str(self.env / "bin" / "python")],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(KILLS):
                # Eight in ten seconds, and the guardian takes it for a daemon that cannot live.
                time.sleep(1 + self.chance.random())
                self.kill()
        finally:
            said = [process.communicate("end", timeout=60) for process in (*changes, imports)]
        rounds = []
        for process, (out, err) in zip((*changes, imports), said):
            self.assertEqual((process.returncode, err), (0, ""))
            rounds.append(int(out))
        print(f"{KILLS} kills, seed {SEED}: {rounds[:-1]} rounds of changes, {rounds[-1]} imports, no error")
        self.assertGreater(min(rounds), 0)

    def test_environments_are_made_and_removed_across_a_kill(self):
        program = ("import os, sys, select\n"
                   "n = 0\n"
                   "while not select.select([0], [], [], 0)[0]:\n"
                   "    os.mkdir(sys.argv[1])\n"
                   "    open(sys.argv[1] + '/f', 'x').close()\n"
                   "    os.unlink(sys.argv[1] + '/f')\n"
                   "    os.rmdir(sys.argv[1])\n"
                   "    n += 1\n"
                   "print(n)\n")
        process = subprocess.Popen([sys.executable, "-c", program, str(self.box.hub / "made")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3):
            time.sleep(0.3 + self.chance.random())
            self.kill()
        out, err = process.communicate("end", timeout=60)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertGreater(int(out), 0)

    def test_a_switch_is_seen_afterwards(self):
        self.kill()
        files = {"pkg/__init__.py": "value = 43\n", "pkg/more.py": "n = 'more'\n"}
        self.lock.write_text(harness.lock_text(harness.make_wheel(self.wheels, "pkg", "2.0", files)))
        self.assertEqual((self.site / "pkg" / "__init__.py").read_text(), "value = 42\n")
        self.box.venvfs("sync", "-n", "one", "-r", self.lock)
        self.assertEqual((self.site / "pkg" / "__init__.py").read_text(), "value = 43\n")
        self.kill()
        self.assertEqual((self.site / "pkg" / "more.py").read_text(), "n = 'more'\n")
        self.assertEqual(sorted(p.name for p in (self.site / "pkg").glob("*.py")), ["__init__.py", "more.py"])
        self.box.venvfs("rollback", "-n", "one")
        self.assertEqual((self.site / "pkg" / "__init__.py").read_text(), "value = 42\n")

    def test_who_ends_in_order_leaves_nobody(self):
        guardian = self.box.json("status")["guardian"]
        self.assertEqual(pathlib.Path(f"/proc/{guardian}/comm").read_text().strip(), "venvfs-guardian")
        self.box.venvfs("umount", "--all")  # answered when the mounts are gone, before the daemon is
        until = time.monotonic() + 10
        while pathlib.Path(f"/proc/{guardian}").exists() and time.monotonic() < until:
            time.sleep(0.01)
        self.assertFalse(pathlib.Path(f"/proc/{guardian}").exists())

    def test_doctor_tells_of_the_kill_and_of_nothing_else(self):
        (self.site / "new.py").write_text("new = 1\n")
        self.box.venvfs("doctor")
        pid = self.kill()
        guardian = self.box.json("status")["guardian"]
        said = self.box.venvfs("doctor").stdout
        self.assertIn("the daemon before was killed", said)
        self.assertIn(f"process {pid}", said)
        self.assertNotIn(str(guardian), said)
        (self.site / "new.py").write_text("new = 2\n")

    def test_a_guardian_that_dies_first(self):
        os.kill(self.box.json("status")["guardian"], signal.SIGKILL)
        pid = self.box.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        self.box.venvfs("mount", "-n", "one")
        self.assertEqual((self.site / "pkg" / "__init__.py").read_text(), "value = 42\n")


if __name__ == "__main__":
    harness.main()
