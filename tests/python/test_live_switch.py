#!/usr/bin/env python3
"""What running programs see of a switch: new code where they look, the old where they hold it."""
import contextlib
import hashlib
import http.client
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

SWITCHES = 5


def blob(seed, size=3_000_000):
    return random.Random(seed).randbytes(size)


def files_of(version):
    files = {"pkg/__init__.py": "", "pkg/mod.py": f"v = {version}\n", "single.py": f"v = {version}\n",
             "pkg/native.so": blob(version), "pkg/text.py": f"# {version}\n" * 200_000,
             "pkg/static/app.css": f"body {{ order: {version} }}\n", "pkg/static/same.css": "a {}\n",
             f"pkg-{version}.0.data/headers/pkg.h": f"#define V {version}\n"}
    if version > 1:
        files.update({"pkg/gained.py": f"v = {version}\n", "top.py": f"v = {version}\n"})
    return files


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("live")
    unittest.addModuleCleanup(BOX.close)
    folder = BOX.root / "wheels"
    folder.mkdir()
    WHEELS = [harness.make_wheel(folder, "pkg", f"{i}.0", files_of(i)) for i in (1, 2, 3)]


class Case(unittest.TestCase):
    def setUp(self):
        self.make(harness.default_python())

    def make(self, python, suffix=""):
        self.name = (self.id().rpartition(".")[2] + suffix)[:60]
        self.env = BOX.create(self.name, "--without-pip", python=python)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.install(1)

    def install(self, version):
        BOX.venvfs("install", "-n", self.name, WHEELS[version - 1])

    def rollback(self, *to):
        BOX.venvfs("rollback", "-n", self.name, *to)

    def uninstall(self):
        BOX.venvfs("uninstall", "-n", self.name, "pkg")

    def child(self, program, cwd=None):
        """A process of the environment's python; ask() sends it an expression and gets its value."""
        loop = ("import sys\n" + program + "\nprint('ready', flush=True)\n"
                "for line in sys.stdin:\n"
                "    try: value = repr(eval(line))\n"
                "    except Exception as error: value = type(error).__name__\n"
                "    print(value, flush=True)\n")
        process = subprocess.Popen([self.env / "bin" / "python", "-c", loop], env=BOX.env, cwd=cwd,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), "ready\n")

        def ask(expression):
            process.stdin.write(expression + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()
        return ask


class Importing(Case):
    def setUp(self):
        pass

    def test_a_running_interpreter_in_every_version(self):
        """Nobody calls invalidate_caches()."""
        for version, python in harness.interpreters().items():
            with self.subTest(version):
                self.make(python, version.replace(".", ""))
                ask = self.child("import importlib, pkg.mod, single\n"
                                 "def get(name): return importlib.import_module(name).v\n"
                                 "def again(name):\n"
                                 "    sys.modules.pop(name, None)\n"
                                 "    return get(name)\n")
                for name in ("pkg.gained", "top"):
                    self.assertEqual(ask(f"get('{name}')"), "ModuleNotFoundError")
                self.install(2)
                for name in ("pkg.gained", "top"):
                    self.assertEqual(ask(f"get('{name}')"), "2")
                self.assertEqual(ask("pkg.mod.v"), "1")  # what it has it keeps
                self.assertEqual(ask("importlib.reload(pkg.mod).v"), "2")
                self.assertEqual(ask("importlib.reload(single).v"), "2")
                self.install(3)
                for name in ("pkg.gained", "top", "pkg.mod", "single"):
                    self.assertEqual(ask(f"again('{name}')"), "3")
                self.rollback("2")
                for name in ("pkg.gained", "top"):
                    self.assertEqual(ask(f"again('{name}')"), "ModuleNotFoundError")
                self.assertEqual(ask("again('pkg.mod')"), "1")
                self.uninstall()
                self.assertEqual(ask("again('single')"), "ModuleNotFoundError")
                self.rollback()
                self.assertEqual(ask("again('single')"), "1")

    def test_metadata(self):
        for version, python in harness.interpreters().items():
            if int(version.split(".")[1]) < 8:
                continue  # they have no importlib.metadata
            with self.subTest(version):
                self.make(python, version.replace(".", ""))
                ask = self.child("from importlib import metadata")
                for switch, expected in ((lambda: None, "'1.0'"), (lambda: self.install(2), "'2.0'"),
                                         (lambda: self.install(3), "'3.0'"),
                                         (lambda: self.rollback("2"), "'1.0'"),
                                         (self.uninstall, "PackageNotFoundError"),
                                         (self.rollback, "'1.0'")):
                    switch()
                    self.assertEqual(ask("metadata.version('pkg')"), expected)

    def test_new_processes_while_it_switches(self):
        """Each sees one whole version."""
        self.make(harness.default_python())
        program = "import pkg.mod, pkg, os; print(pkg.mod.v, os.path.exists(pkg.__path__[0] + '/gained.py'))"
        for i in range(SWITCHES):
            started = [subprocess.Popen([self.env / "bin" / "python", "-c", program], env=BOX.env,
                                        stdout=subprocess.PIPE, text=True) for _ in range(2)]
            self.install(2 - i % 2)
            seen = {process.communicate()[0].strip() for process in started}
            self.assertLessEqual(seen, {"1 False", "2 True", "1 True"})  # a switch may come between
            now = harness.run([self.env / "bin" / "python", "-c", program], env=BOX.env).stdout.strip()
            self.assertEqual(now, "1 False" if i % 2 else "2 True")


class Holding(Case):
    """What a process has open or mapped of the old version it has to the end."""

    def churn(self):
        for _ in range(SWITCHES):
            self.install(2)
            self.look()
            self.install(3)
            self.look()
        self.uninstall()
        self.look()
        self.drop_caches()

    def look(self):
        """The kernel gets to know the new nodes, and forgets others."""
        for folder, _, names in os.walk(self.site):
            for name in names:
                os.stat(os.path.join(folder, name))

    @staticmethod
    def drop_caches():
        with contextlib.suppress(OSError):  # not ours to do without root
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("2\n")

    def test_a_mapped_object_and_an_open_source(self):
        ask = self.child(f"import mmap, hashlib\nhere = {str(self.site / 'pkg')!r}\n"
                         "f = open(here + '/native.so', 'rb')\n"
                         "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
                         "f.close()\n"
                         "head = m[:10]\n"
                         "source = open(here + '/text.py')\n"
                         "first = source.readline()\n")
        self.churn()
        self.assertEqual(ask("hashlib.sha256(m).hexdigest()"),
                         repr(hashlib.sha256(blob(1)).hexdigest()))
        self.assertEqual(ask("(first + source.read()) == '# 1\\n' * 200_000"), "True")
        self.install(3)
        self.assertEqual(ask("hashlib.sha256(open(here + '/native.so', 'rb').read()).hexdigest()"),
                         repr(hashlib.sha256(blob(3)).hexdigest()))
        self.assertEqual(ask("m[-10:] == m[len(m) - 10:]"), "True")

    @unittest.skipUnless(shutil.which("cc"), "no C compiler")
    def test_a_loaded_library(self):
        wheels = []
        for version in (1, 2):
            with tempfile.TemporaryDirectory(dir=BOX.temporary) as folder:
                source = pathlib.Path(folder, "x.c")
                # The function lies in pages of its own, which are not touched before it is called.
                source.write_text("char room[1 << 20] __attribute__((aligned(4096))) = {1};\n"
                                  "__attribute__((aligned(65536))) int value(void)\n"
                                  f"{{ return {version} + room[0] - 1; }}\n")
                library = pathlib.Path(folder, "lib.so")
                harness.run(["cc", "-shared", "-fPIC", "-o", library, source])
                wheels.append(harness.make_wheel(BOX.root / "wheels", "lib", f"{version}.0",
                                                 {"lib/__init__.py": "", "lib/lib.so": library.read_bytes()}))
        BOX.venvfs("install", "-n", self.name, wheels[0])
        ask = self.child(f"import ctypes\npath = {str(self.site / 'lib' / 'lib.so')!r}\n"
                         "library = ctypes.CDLL(path)\n")
        BOX.venvfs("install", "-n", self.name, wheels[1])
        self.churn()
        self.assertEqual(ask("library.value()"), "1")
        new = harness.run([self.env / "bin" / "python", "-c",
                           f"import ctypes; print(ctypes.CDLL({str(self.site / 'lib' / 'lib.so')!r}).value())"],
                          env=BOX.env).stdout.strip()
        self.assertEqual(new, "2")

    def test_a_working_folder_in_site_packages(self):
        ask = self.child("import os", cwd=self.site)
        where = ask("os.getcwd()")
        for version in (2, 3, 1):
            self.install(version)
            self.look()
            self.assertEqual(ask("os.getcwd()"), where)
            self.assertEqual(ask("open('single.py').read()"), repr(f"v = {version}\n"))
            self.assertEqual(ask("open('pkg/mod.py').read()"), repr(f"v = {version}\n"))
            self.assertEqual(ask("open('../../../pyvenv.cfg').read()[:4]"), "'home'")

    def test_a_working_folder_in_a_replaced_package(self):
        ask = self.child("import os", cwd=self.site / "pkg")
        self.churn()
        self.assertEqual(ask("open('mod.py').read()"), repr("v = 1\n"))
        self.assertEqual(ask("sorted(os.listdir('.')) == sorted(['__init__.py', 'mod.py', 'text.py', "
                             "'native.so', 'static', '__pycache__'])"), "True")
        self.assertEqual(ask("open('static/app.css').read()"), repr("body { order: 1 }\n"))
        self.rollback()
        self.rollback("2")
        self.assertEqual((self.site / "pkg" / "mod.py").read_text(), "v = 1\n")
        self.assertEqual(ask("open('mod.py').read()"), repr("v = 1\n"))


class Times(Case):
    """Programs that decide by mtime see an upgrade and a rollback."""

    def switches(self):
        """Yields the version in view; a second passes before each, which is what they tell apart."""
        for version, switch in ((2, lambda: self.install(2)), (3, lambda: self.install(3)),
                                (1, lambda: self.rollback("2")), (3, self.rollback)):
            time.sleep(1.1)
            switch()
            yield version

    def test_collectstatic(self):
        """Django's: a file is copied when its source is newer, in whole seconds."""
        source, target = self.site / "pkg" / "static", BOX.temporary / "collected"

        def collect():
            for path in source.iterdir():
                copy = target / path.name
                if copy.exists() and int(copy.stat().st_mtime) >= int(path.stat().st_mtime):
                    continue
                copy.unlink(missing_ok=True)
                copy.write_bytes(path.read_bytes())

        target.mkdir()
        collect()
        for version in self.switches():
            collect()
            self.assertEqual((target / "app.css").read_text(), f"body {{ order: {version} }}\n")

    @unittest.skipUnless(shutil.which("make"), "no make")
    def test_make(self):
        header = next(self.env.glob("include/**/pkg.h"))
        folder = pathlib.Path(tempfile.mkdtemp(dir=BOX.temporary))
        (folder / "Makefile").write_text(f"out: {header}\n\tcp {header} out\n")
        harness.run(["make", "-C", folder])
        harness.run(["make", "-q", "-C", folder])  # up to date
        for version in self.switches():
            harness.run(["make", "-C", folder])
            self.assertEqual((folder / "out").read_text(), f"#define V {version}\n")

    def test_not_modified(self):
        """A web server's answer to If-Modified-Since."""
        program = ("import http.server, functools, sys\n"
                   "handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n"
                   "server = http.server.HTTPServer(('127.0.0.1', 0), handler)\n"
                   "print(server.server_port, flush=True)\n"
                   "server.serve_forever()\n")
        server = subprocess.Popen([sys.executable, "-c", program, self.site / "pkg" / "static"],
                                  env=BOX.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        port = int(server.stdout.readline())

        def get(since=None):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", "/app.css", headers={"If-Modified-Since": since} if since else {})
                answer = connection.getresponse()
                return answer.status, answer.read().decode(), answer.headers["Last-Modified"] or since

        status, _, since = get()
        self.assertEqual(status, 200)
        self.assertEqual(get(since)[0], 304)
        for version in self.switches():
            status, text, since = get(since)
            self.assertEqual((status, text), (200, f"body {{ order: {version} }}\n"))
            self.assertEqual(get(since)[0], 304)

    def test_reloaders_that_compare_times(self):
        """Django's StatReloader and uvicorn's StatReload: changed sources have another time."""
        def times():
            return {path.name: path.stat().st_mtime for path in self.site.rglob("*.py")}
        before = times()
        for _ in self.switches():
            now = times()
            changed = {name for name in now.keys() & before.keys() if now[name] != before[name]}
            self.assertLessEqual({"mod.py", "single.py", "text.py"}, changed)
            self.assertNotIn("__init__.py", changed)
            before = now


if __name__ == "__main__":
    harness.main()
