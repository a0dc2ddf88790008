#!/usr/bin/env python3
"""What those see of a switch who watch files with inotify, and that telling them changes nothing."""
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

COMMON = {"pkg/__init__.py": "", "pkg/same.py": "same = True\n"}
ONE = {**COMMON, "pkg/mod.py": "v = 1\n", "pkg/old.py": "", "pkg/sub/x.py": "v = 1\n",
       "pkg/gone/y.py": "", "single.py": "v = 1\n", "leaving.py": ""}
TWO = {**COMMON, "pkg/mod.py": "v = 22\n", "pkg/new.py": "", "pkg/sub/x.py": "v = 22\n",
       "pkg/fresh/z.py": "", "single.py": "v = 22\n"}
THREE = {**TWO, "pkg/mod.py": "v = 333\n", "single.py": "v = 333\n"}

MODIFY, ATTRIB, CREATE, DELETE, DELETE_SELF = 0x2, 0x4, 0x100, 0x200, 0x400
MOVED, IGNORED, IS_DIR, OVERFLOW = 0xc0, 0x8000, 0x40000000, 0x4000
LIBC = ctypes.CDLL(None, use_errno=True)


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("watch")
    unittest.addModuleCleanup(BOX.close)
    folder = BOX.root / "wheels"
    folder.mkdir()
    WHEELS = [harness.make_wheel(folder, "pkg", f"{i}.0", files)
              for i, files in enumerate((ONE, TWO, THREE), 1)]
    WHEELS.append(harness.make_wheel(folder, "other", "1.0", {"other/__init__.py": "",
                                                              "other/deep/er/e.py": ""}))
    BOX.create("warm", "--without-pip")
    for wheel in WHEELS:
        BOX.venvfs("install", "-n", "warm", wheel)


def wait_until_told():
    """A command may end before everybody has heard; the environment's lock is held until then."""
    for lock in (BOX.venvfs_home / "envs").glob("*/lock"):
        with contextlib.suppress(FileNotFoundError), open(lock, "r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)


class Inotify:
    def __init__(self, *paths, mask=MODIFY | ATTRIB | MOVED | CREATE | DELETE | DELETE_SELF):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.labels, self.mask = {}, mask
        for path in paths:
            self.add(path)

    def add(self, path):
        watch = LIBC.inotify_add_watch(self.fd, os.fsencode(path), self.mask)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))
        self.labels[watch] = pathlib.Path(path).name

    def read(self):
        """{(label of the watch, mask without IS_DIR, name)}: what has come; none is lost."""
        wait_until_told()
        found = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                data, at = os.read(self.fd, 1 << 20), 0
                while at < len(data):
                    watch, mask, _, length = struct.unpack_from("iIII", data, at)
                    name = data[at + 16:at + 16 + length].rstrip(b"\0").decode()
                    at += 16 + length
                    if mask & OVERFLOW:
                        raise harness.Failed("the queue of events overflowed")
                    found.add((self.labels.get(watch), mask & ~IS_DIR, name))
        return found

    def close(self):
        os.close(self.fd)


class Case(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rpartition(".")[2][:60]
        self.env = BOX.create(self.name, "--without-pip")
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.upper = BOX.venvfs_home / "envs" / self.name / "upper"

    def watch(self, *paths, **options):
        wait_until_told()
        watch = Inotify(*paths, **options)
        self.addCleanup(watch.close)
        return watch

    def install(self, wheel):
        BOX.venvfs("install", "-n", self.name, WHEELS[wheel - 1])

    def uninstall(self):
        BOX.venvfs("uninstall", "-n", self.name, "pkg")

    def rollback(self, *to):
        BOX.venvfs("rollback", "-n", self.name, *to)

    def facts(self):
        """{path: what stat says} of all that the environment shows."""
        found = {}
        for folder, folders, files in os.walk(self.env):
            for name in folders + files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                found[os.path.relpath(path, self.env)] = (st.st_mode, st.st_size, st.st_nlink,
                                                          st.st_mtime_ns)
        return found


class Names(Case):
    """The events themselves."""

    def test_site_packages(self):
        watch = self.watch(self.site)
        self.install(1)
        got = watch.read()
        for name in ("pkg", "pkg-1.0.dist-info", "single.py", "leaving.py"):
            self.assertIn(("site-packages", CREATE, name), got)
        self.assertEqual({mask for _, mask, _ in got}, {CREATE})
        self.install(2)
        self.assertEqual({event[1:] for event in watch.read() if event[2] != "__pycache__"},
                         {(DELETE, "pkg"), (CREATE, "pkg"), (DELETE, "pkg-1.0.dist-info"),
                          (CREATE, "pkg-2.0.dist-info"), (MODIFY, "single.py"), (DELETE, "leaving.py")})
        self.rollback()
        got = watch.read()
        for event in ((DELETE, "pkg-2.0.dist-info"), (CREATE, "pkg-1.0.dist-info"),
                      (MODIFY, "single.py"), (CREATE, "leaving.py"), (CREATE, "pkg")):
            self.assertIn(("site-packages", *event), got)
        self.uninstall()
        got = watch.read()
        for name in ("pkg", "pkg-1.0.dist-info", "single.py", "leaving.py"):
            self.assertIn(("site-packages", DELETE, name), got)
        self.assertEqual({mask for _, mask, _ in got}, {DELETE})

    def test_a_second_change_comes_after_the_first_is_told(self):
        """No command waits until everybody has heard of the one before; its own change does."""
        self.install(1)
        watch = self.watch(self.site)
        self.install(2)
        self.rollback()
        self.install(3)
        self.assertLessEqual({("site-packages", event, f"pkg-{version}.0.dist-info")
                              for event, version in ((DELETE, 1), (CREATE, 2), (DELETE, 2), (CREATE, 1),
                                                     (CREATE, 3))}, watch.read())

    def test_nothing_changed_is_no_event(self):
        self.install(1)
        watch = self.watch(self.site, self.site / "pkg", self.env)
        self.install(1)
        BOX.venvfs("mount", "-n", self.name)
        BOX.venvfs("run", "-n", self.name, "true")
        self.assertEqual(watch.read(), set())

    def test_a_package_s_folder_in_every_version(self):
        """The watch is on the inode of the first version, whatever replaces it."""
        self.install(1)
        watch = self.watch(self.site / "pkg", self.site / "pkg" / "sub")
        for switch, events in (
                (lambda: self.install(2), {("pkg", MODIFY, "mod.py"), ("pkg", DELETE, "old.py"),
                                           ("pkg", CREATE, "new.py"), ("pkg", CREATE, "fresh"),
                                           ("pkg", DELETE, "gone"), ("sub", MODIFY, "x.py")}),
                (lambda: self.install(3), {("pkg", MODIFY, "mod.py")}),
                (lambda: self.rollback("2"), {("pkg", MODIFY, "mod.py"), ("pkg", CREATE, "old.py"),
                                              ("pkg", DELETE, "new.py"), ("pkg", DELETE, "fresh"),
                                              ("pkg", CREATE, "gone"), ("sub", MODIFY, "x.py")}),
                (lambda: self.install(3), {("pkg", MODIFY, "mod.py"), ("pkg", DELETE, "old.py")}),
                (self.uninstall, {("pkg", DELETE, "mod.py"), ("pkg", DELETE, "sub")}),
                (self.rollback, {("pkg", CREATE, "mod.py"), ("pkg", CREATE, "sub")})):
            switch()
            got = watch.read()
            self.assertLessEqual(events, got)
            self.assertFalse([event for event in got if event[2] == "same.py" and switch not in
                              (self.uninstall, self.rollback)], got)

    def test_single_files(self):
        self.install(1)
        watch = self.watch(self.site / "pkg" / "mod.py", self.site / "single.py",
                           self.site / "pkg" / "same.py", self.site / "leaving.py")
        self.install(2)
        got = watch.read()
        self.assertLessEqual({("mod.py", MODIFY, ""), ("single.py", MODIFY, ""),
                              ("leaving.py", DELETE_SELF, ""), ("leaving.py", IGNORED, "")}, got)
        self.assertFalse([event for event in got if event[0] == "same.py"])
        self.install(3)
        self.assertLessEqual({("mod.py", MODIFY, ""), ("single.py", MODIFY, "")}, watch.read())
        self.rollback("2")
        self.assertLessEqual({("mod.py", MODIFY, ""), ("single.py", MODIFY, "")}, watch.read())
        watch.add(self.site / "leaving.py")  # as an editor does that sees it back
        self.uninstall()
        got = watch.read()
        for name in ("mod.py", "single.py", "leaving.py"):
            self.assertIn((name, DELETE_SELF, ""), got)
        self.rollback()
        self.assertEqual(os.stat(self.site / "pkg" / "mod.py").st_nlink, 1)
        watch.add(self.site / "pkg" / "mod.py")
        self.install(2)
        self.assertIn(("mod.py", MODIFY, ""), watch.read())

    def test_scripts(self):
        folder = BOX.root / "wheels-of-scripts"
        folder.mkdir(exist_ok=True)
        wheel = harness.make_wheel(folder, "tool", "1.0", {"tool.py": "def main(): pass\n"},
                                   entry_points="[console_scripts]\ntool = tool:main\n")
        watch = self.watch(self.env / "bin")
        BOX.venvfs("install", "-n", self.name, wheel)
        self.assertIn(("bin", CREATE, "tool"), watch.read())
        BOX.venvfs("uninstall", "-n", self.name, "tool")
        self.assertIn(("bin", DELETE, "tool"), watch.read())


class Traces(Case):
    """Telling changes nothing."""

    def switches(self):
        self.install(1)
        watch = self.watch(self.site, self.site / "pkg", self.site / "pkg" / "mod.py")
        for switch in (lambda: self.install(2), lambda: self.install(3), self.rollback,
                       self.uninstall, self.rollback):
            switch()
            self.assertTrue(watch.read())

    def test_no_layer_and_the_same_facts_as_a_fresh_mount(self):
        self.switches()
        self.assertFalse(self.upper.exists())
        facts, content = self.facts(), harness.tree_digest(self.env)
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        self.assertEqual(facts, self.facts())
        self.assertEqual(content, harness.tree_digest(self.env))
        self.assertEqual(BOX.venvfs("diff", "-n", self.name).stdout, "")

    def test_the_user_s_own_files_stay_and_are_not_told_of(self):
        self.install(1)
        self.install(4)
        mine, edited = self.site / "pkg" / "mine.py", self.site / "other" / "__init__.py"
        mine.write_text("mine = 1\n")
        edited.write_text("edited = 1\n")
        (self.site / "other" / "deep" / "er" / "e.py").unlink()
        kept = self.kept()
        watch = self.watch(self.site, self.site / "pkg", self.site / "other", mine, edited,
                           self.site / "other" / "deep" / "er")
        for switch in (lambda: self.install(2), self.rollback):
            switch()
            got = watch.read()
            self.assertLessEqual({"old.py", "new.py", "mod.py", "single.py"}, {event[2] for event in got})
            self.assertFalse([event for event in got if event[0] in ("mine.py", "__init__.py", "er", "other")
                              or event[2] in ("mine.py", "other", "pkg")], got)
            self.assertEqual(mine.read_text() + edited.read_text(), "mine = 1\nedited = 1\n")
        self.assertEqual(self.kept(), kept)

    def kept(self):
        """What the upper layer holds on disk, without its own folders."""
        return {path: digest for path, digest in harness.tree_digest(self.upper).items()
                if not path.startswith((".wh..wh..work", ".wh..wh..orphans"))}

    def test_an_edit_that_gives_way_is_told_of(self):
        """An edit of a package that leaves is set aside."""
        self.install(1)
        mod = self.site / "pkg" / "mod.py"
        mod.write_text("edited = 1\n")
        watch = self.watch(self.site / "pkg")
        self.install(2)
        self.assertIn(("pkg", MODIFY, "mod.py"), watch.read())
        self.assertEqual(mod.read_text(), TWO["pkg/mod.py"])

    def test_what_the_user_moved_away_is_alive(self):
        """It has the inode that the file of the package had, which is removed for those who watch."""
        self.install(1)
        for old, new in (("single.py", "moved.py"), ("pkg/old.py", "pkg/kept.py"), ("leaving.py", "stays.py")):
            os.rename(self.site / old, self.site / new)
        watch = self.watch(self.site, self.site / "moved.py", self.site / "stays.py",
                           self.site / "pkg" / "kept.py")
        self.install(2)
        self.uninstall()
        self.assertFalse({event for event in watch.read() if event[1] == DELETE_SELF})
        for name in ("moved.py", "stays.py", "pkg/kept.py"):
            self.assertEqual(os.stat(self.site / name).st_nlink, 1)
            os.link(self.site / name, self.site / "other.py")
            os.unlink(self.site / "other.py")

    def test_who_reads_meanwhile_never_misses_what_is_in_both(self):
        self.install(1)
        watch = self.watch(self.site, self.site / "pkg")
        allowed = {path.split("/")[0] for path in (*ONE, *TWO)} | {"__pycache__", "_venvfs.pth"}
        wrong, reads, stop = [], [0], threading.Event()

        def read():
            while not stop.is_set():
                try:
                    text = (self.site / "pkg" / "mod.py").read_text()
                    if text not in (ONE["pkg/mod.py"], TWO["pkg/mod.py"]):
                        wrong.append(text)
                    os.stat(self.site / "pkg" / "sub" / "x.py")
                    os.stat(self.site / "single.py")
                    names = set(os.listdir(self.site))
                    if not {"pkg", "single.py"} <= names or {
                            name for name in names - allowed if not name.endswith(".dist-info")}:
                        wrong.append(names)
                    with contextlib.suppress(FileNotFoundError):
                        os.stat(self.site / "leaving.py")
                    with contextlib.suppress(FileNotFoundError):
                        os.listdir(self.site / "pkg" / "fresh")
                except OSError as error:
                    wrong.append(repr(error))
                reads[0] += 1

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for i in range(20):
                self.install(2 - i % 2)
                self.assertIn(("pkg", MODIFY, "mod.py"), watch.read())
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        self.assertEqual(wrong[:3], [])
        self.assertGreater(reads[0], 20)

    def test_two_environments_at_once(self):
        names = [self.name + suffix for suffix in ("_a", "_b")]
        sites = [next(BOX.create(name, "--without-pip").glob("lib/python3*/site-packages"))
                 for name in names]
        for version in (1, 2, 1, 2):
            watches = [self.watch(site, *site.glob("pkg")) for site in sites]
            commands = [subprocess.Popen([harness.PROGRAM, "install", "-n", name, WHEELS[version - 1]],
                                         env=BOX.env, stderr=subprocess.DEVNULL) for name in names]
            for command, watch, site in zip(commands, watches, sites):
                self.assertEqual(command.wait(), 0)
                got = watch.read()
                self.assertLessEqual({("site-packages", CREATE, "pkg"),
                                      ("site-packages", CREATE, f"pkg-{version}.0.dist-info")}, got)
                if version == 2:
                    self.assertIn(("pkg", MODIFY, "mod.py"), got)
                self.assertEqual((site / "pkg" / "mod.py").read_text(),
                                 (ONE, TWO)[version - 1]["pkg/mod.py"])

    def test_many_names_are_bounded(self):
        folder = BOX.root / "wheels-of-many"
        folder.mkdir(exist_ok=True)
        wheels = [harness.make_wheel(folder, "many", f"{i}.0", {
            f"many/p{k % 50}/m{k}.py": f"v = {i}\n" for k in range(6000)}) for i in (1, 2)]
        BOX.venvfs("install", "-n", self.name, wheels[0])
        watch = self.watch(self.site, *(self.site / "many").glob("p*"))
        BOX.venvfs("install", "-n", self.name, wheels[1])
        got = watch.read()
        self.assertLessEqual({("site-packages", DELETE, "many"), ("site-packages", CREATE, "many")},
                             got)
        self.assertGreater(len(got), 1000)
        self.assertLess(len(got), 2100)
        self.assertEqual((self.site / "many" / "p0" / "m0.py").read_text(), "v = 2\n")


class Announcer(Case):
    """A process that speaks to the daemon as a command does, and then does something else."""

    def ask(self, **request):
        text = json.dumps(request).encode()
        self.socket.sendall(struct.pack("<I", len(text)) + text)
        size, = struct.unpack("<I", self.receive(4))
        answer = json.loads(self.receive(size))
        self.assertTrue(answer["ok"], answer)
        return answer

    def receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            self.assertTrue(part)
            data += part
        return data

    def begin(self):
        """Becomes the announcer of the upgrade to version 2."""
        BOX.venvfs("install", "-n", self.name, WHEELS[1], env={"VENVFS_NO_DAEMON": "1"})
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        self.socket.connect(json.loads((BOX.venvfs_home / "daemon.json").read_text())["socket"])
        self.ask(do="hello", protocol=1, version="test")
        self.assertTrue(self.ask(do="attach", env=self.name, announce=True)["announce"])

    def refused(self, call, *arguments, **options):
        with self.assertRaises(BlockingIOError):  # EAGAIN
            call(*arguments, **options)

    def test_its_changes_are_never_carried_out(self):
        self.install(1)
        (self.site / "pkg").stat()
        self.begin()
        before = self.facts()
        self.refused(os.rmdir, self.site / "pkg")
        self.refused(os.mkdir, self.site / "pkg" / "folder")
        self.refused(os.unlink, self.site / "pkg" / "mod.py")
        for _ in range(2):  # in a step and before the first
            self.refused(os.mkdir, BOX.hub / f"{self.name}-other")
            self.refused(os.mkdir, self.site / "folder")
            self.refused(os.mknod, self.site / "file")
            self.refused(os.symlink, "x", self.site / "link")
            self.refused(os.unlink, self.site / "single.py")
            self.refused(os.rmdir, self.env / "bin")
            self.refused(os.rmdir, self.env)
            self.refused(os.rename, self.site / "single.py", self.site / "other.py")
            self.refused(os.link, self.site / "single.py", self.site / "other.py")
            os.utime(self.site / "single.py", (1, 1))
            os.chmod(self.site / "single.py", 0o600)
            os.truncate(self.site / "single.py", 0)
            self.assertTrue(self.ask(do="announce")["calls"])
        self.socket.close()
        self.assertTrue(harness.wait_until(self.may_write, 5))  # the daemon has seen it go
        os.rmdir(self.env / "folder")
        self.assertEqual((self.site / "single.py").read_text(), TWO["single.py"])
        facts = self.facts()
        self.assertEqual(before.keys(), facts.keys())
        BOX.venvfs("umount", "--all")
        BOX.venvfs("mount", "-n", self.name)
        again = self.facts()
        self.assertEqual({path: facts[path] for path in facts if facts[path] != again[path]}, {})

    def may_write(self):
        try:
            os.mkdir(self.env / "folder")
        except BlockingIOError:
            return False
        return True

    def test_what_somebody_makes_meanwhile_is_not_removed(self):
        """The kernel knows it, and does not ask what the announcer sees."""
        self.install(1)
        self.begin()
        removals = [path for call, path, _ in self.ask(do="announce")["calls"] if call == "remove"]
        path = next(self.env / path for path in removals if path.endswith("/leaving.py"))
        harness.run(["touch", path])
        self.refused(os.unlink, path)
        inode = path.stat().st_ino
        harness.run(["sh", "-c", 'echo new >"$0"', path])
        self.socket.close()
        self.assertEqual((path.stat().st_ino, path.read_text()), (inode, "new\n"))

    def test_only_it_sees_phantoms(self):
        self.install(1)
        self.begin()
        missing = {"leaving.py", "pkg-1.0.dist-info"}
        other = f"import os; print(*os.listdir({str(self.site)!r})); os.stat({str(self.site / 'pkg')!r})"
        probe = self.env / ".wh..wh..announce"  # ANNOUNCE_PROBE
        self.assertTrue(probe.exists())
        self.assertNotEqual(subprocess.run(["test", "-e", probe]).returncode, 0)
        for _ in range(100):
            answer = self.ask(do="announce")
            for call, path, _ in answer["calls"]:
                with contextlib.suppress(OSError):
                    os.lstat(self.env / path)
            names = harness.run([sys.executable, "-c", other]).stdout.split()
            self.assertFalse(missing & set(names))
            self.assertLessEqual({"pkg", "pkg-2.0.dist-info", "single.py"}, set(names))
            for name in missing:
                self.assertNotEqual(subprocess.run(["test", "-e", self.site / name]).returncode, 0)
            if not answer["more"]:
                break
        self.assertFalse(answer["more"])
        self.assertFalse(probe.exists())
        self.assertFalse((self.site / "leaving.py").exists())


class Programs(Case):
    """Real watchers, in the hub and through a project's .venv."""

    @classmethod
    def setUpClass(cls):
        cls.python = harness.plain_venv(harness.TESTS / "data" / "watchers.txt", "watchers") / "bin/python"

    WATCHFILES = """
import sys, time, watchfiles
print("ready", flush=True)
kind = watchfiles.PythonFilter() if sys.argv[1] == "python" else None
for changes in watchfiles.watch(*sys.argv[2:], watch_filter=kind, debounce=50, step=10):
    for change, path in changes:
        print(change.raw_str(), path, flush=True)
"""
    WATCHDOG = """
import sys, time, watchdog.observers, watchdog.events
class Print(watchdog.events.FileSystemEventHandler):
    def on_any_event(self, event):
        if event.event_type in ("created", "deleted", "modified", "moved"):
            print(event.event_type, event.src_path, flush=True)
observer = watchdog.observers.Observer()
for path in sys.argv[2:]:
    observer.schedule(Print(), path, recursive=True)
observer.start()
print("ready", flush=True)
time.sleep(600)
"""

    def start(self, program, *arguments):
        process = subprocess.Popen([self.python, "-W", "ignore", "-c", program, *map(str, arguments)], env=BOX.env,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        time.sleep(0.5)  # watchfiles begins to watch when it is first asked
        lines = []
        reader = threading.Thread(target=self.collect, args=(process, lines), daemon=True)
        reader.start()
        return lines

    @staticmethod
    def collect(process, lines):
        with contextlib.suppress(ValueError):
            for line in process.stdout:
                lines.append(line.strip())

    def expect(self, lines, switch, *events):
        """All within a second of the command's end."""
        lines.clear()
        switch()
        self.assertTrue(harness.wait_until(lambda: set(events) <= set(lines), 1),
                        f"missing: {set(events) - set(lines)}, seen: {sorted(set(lines))}")

    def round(self, lines, site, added, deleted, modified="modified"):
        """All kinds of switch; what each must tell of."""
        self.expect(lines, lambda: self.install(1), f"{added} {site}/pkg",
                    f"{added} {site}/single.py", f"{added} {site}/pkg-1.0.dist-info")
        self.expect(lines, lambda: self.install(2), f"{modified} {site}/pkg/mod.py",
                    f"{added} {site}/pkg/new.py", f"{deleted} {site}/pkg/old.py",
                    f"{modified} {site}/pkg/sub/x.py", f"{modified} {site}/single.py",
                    f"{deleted} {site}/leaving.py")
        self.expect(lines, lambda: self.install(3), f"{modified} {site}/pkg/mod.py",
                    f"{modified} {site}/single.py")
        self.expect(lines, lambda: self.rollback("2"), f"{modified} {site}/pkg/mod.py",
                    f"{added} {site}/leaving.py", f"{added} {site}/pkg/old.py")
        self.expect(lines, self.uninstall, f"{deleted} {site}/pkg", f"{deleted} {site}/single.py",
                    f"{deleted} {site}/pkg/mod.py")
        self.expect(lines, self.rollback, f"{added} {site}/pkg", f"{added} {site}/single.py")
        self.expect(lines, lambda: self.install(2), f"{modified} {site}/pkg/mod.py")

    def test_watchfiles(self):
        self.round(self.start(self.WATCHFILES, "all", self.site), self.site, "added", "deleted")

    def test_watchdog(self):
        self.round(self.start(self.WATCHDOG, "all", self.site), self.site, "created", "deleted")

    def test_a_reloader_that_looks_at_python_files_only(self):
        """uvicorn's: a new package's folder alone is no reason to reload for it."""
        lines = self.start(self.WATCHFILES, "python", self.env)
        site = self.site

        def tells_of_new():
            """In time, unless the machine is so busy that a watcher gets no processor for 8 ms."""
            lines.clear()
            self.install(4)
            told = {f"modified {site}/other/__init__.py", f"modified {site}/other/deep/er/e.py"}
            found = harness.wait_until(lambda: told <= set(lines), 1)
            BOX.venvfs("uninstall", "-n", self.name, "other")
            return found
        self.assertTrue(any(tells_of_new() for _ in range(5)))
        self.install(1)
        time.sleep(0.5)  # it begins to watch the new folder
        self.expect(lines, lambda: self.install(2), f"modified {site}/pkg/mod.py",
                    f"added {site}/pkg/new.py", f"deleted {site}/pkg/old.py")
        self.expect(lines, self.uninstall, f"deleted {site}/pkg/mod.py")

    def test_through_a_project_s_link(self):
        project = BOX.project(self.name, "")
        address = pathlib.Path(harness.one_line(BOX.venvfs("mount", project).stdout))
        self.assertTrue((project / ".venv").is_symlink())
        site = next((project / ".venv").glob("lib/python3*/site-packages"))
        for program, words in ((self.WATCHFILES, ("added", "modified", "deleted")),
                               (self.WATCHDOG, ("created", "modified", "deleted"))):
            lines = self.start(program, "all", site)
            added, modified, deleted = words

            def command(*arguments):
                return lambda: BOX.venvfs(*arguments, cwd=project)
            self.expect(lines, command("install", WHEELS[0]), f"{added} {site}/pkg")
            self.expect(lines, command("install", WHEELS[1]), f"{modified} {site}/pkg/mod.py")
            self.expect(lines, command("rollback"), f"{modified} {site}/pkg/mod.py")
            self.expect(lines, command("uninstall", "pkg"), f"{deleted} {site}/pkg")
        self.assertEqual(os.path.realpath(address), os.path.realpath(project / ".venv"))


if __name__ == "__main__":
    harness.main()
