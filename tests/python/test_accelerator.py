#!/usr/bin/env python3
"""_venvfs.pth spares a message for each imported module, and nothing else is other than without it:
every program here runs in two environments of each Python, one with and one without, and says the same."""
import functools
import os
import pathlib
import pwd
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MODULES = 100
HELPED = [version for version in harness.interpreters() if 8 <= int(version.split(".")[1]) <= 13]
IMPORT_ALL = f"for i in range({MODULES}): __import__('made.m%d' % i)\n"
ACTIVE = "import _io, sys; print(sys.modules['_frozen_importlib_external']._io is not _io)\n"
TOOLS = ("pytest", "coverage")


def setUpModule():
    global BOX, WITH, WITHOUT, LOCK
    if not HELPED:
        raise unittest.SkipTest("no Python 3.8 to 3.13 is here")
    BOX = harness.Sandbox("accel")
    unittest.addModuleCleanup(BOX.close)
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    files = {f"made/m{i}.py": f"x = {i}\n\n\ndef f(a):\n    b = a + x\n    return b\n" for i in range(MODULES)}
    files.update({"made/__init__.py": "", "made/__main__.py": "print('ran', __name__, __package__)\n",
                  "made/data.txt": "line one\r\nline two\n", "space/one.py": "one = 1\n"})
    other = {"space/two.py": "two = 2\n"}
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(harness.make_wheel(wheels, "made", "1.0", files),
                                      harness.make_wheel(wheels, "other", "1.0", other)))
    WITH, WITHOUT = {}, {}
    for version in HELPED:
        python, name = harness.interpreters()[version], version.replace(".", "")
        WITH[version] = BOX.create(f"aa{name}", "-r", LOCK, python=python)
        WITHOUT[version] = BOX.create(f"bb{name}", "-r", LOCK, "--no-accelerator", python=python)


def site_of(env):
    return next(env.glob("lib/python3*/site-packages"))


def runs(env, *words, extra=None, **options):
    options.setdefault("cwd", BOX.home)
    return harness.run([env / "bin" / "python", *words], env={**BOX.env, **(extra or {})}, **options)


def new_folder():
    return pathlib.Path(tempfile.mkdtemp(dir=BOX.root))


def on_each_python(test):
    """Calls the test with the two environments of each Python."""
    @functools.wraps(test)
    def repeated(self):
        for version in HELPED:
            with self.subTest(python=version):
                test(self, WITH[version], WITHOUT[version])
    return repeated


class Case(unittest.TestCase):
    def same(self, there, absent, *words, **options):
        """Runs it in both; what it says in both, which is the same."""
        said = []
        for env in (there, absent):
            done = runs(env, *words, **options)
            said.append((done.stdout + done.stderr).strip().replace(str(env), "ENV"))
        self.assertEqual(*said)
        return said[0]

    def prints(self, expected, program):
        for version in HELPED:
            with self.subTest(python=version):
                self.assertEqual(self.same(WITH[version], WITHOUT[version], "-c", program), expected)


class Where(unittest.TestCase):
    def test_it_is_there_from_3_8_to_3_13(self):
        for version, python in harness.interpreters().items():
            with self.subTest(python=version):
                env = BOX.create(f"where{version.replace('.', '')}", "--without-pip", python=python)
                found = [path.name for path in site_of(env).iterdir()]
                self.assertEqual(found, ["_venvfs.pth"] if version in HELPED else [])

    def test_left_out_and_brought_back(self):
        """With a lock and without one, and what else the environment has stays."""
        for name, lock in (("locked", ["-r", LOCK]), ("free", [])):
            with self.subTest(name):
                env = BOX.create(name, *lock, python=harness.interpreters()[HELPED[-1]])
                path = site_of(env) / "_venvfs.pth"
                names = set(os.listdir(site_of(env)))
                BOX.venvfs("sync", "-n", name, "--no-accelerator")
                self.assertEqual(set(os.listdir(site_of(env))), names - {"_venvfs.pth"})
                if not lock:
                    BOX.venvfs("install", "-n", name, "-r", LOCK)
                    self.assertFalse(path.exists(), "it is remembered")
                self.assertFalse(site_of(pathlib.Path(BOX.venvfs("clone", name, f"{name}2").stdout.strip()))
                                 .joinpath(path.name).exists(), "by a clone, too")
                BOX.venvfs("sync", "-n", name, "--accelerator")
                self.assertTrue(path.exists())
                BOX.venvfs("rollback", "-n", name)
                self.assertFalse(path.exists())
                self.assertEqual(runs(env, "-c", "import made.m1; print(made.m1.x)").stdout, "1\n")

    def test_mount_of_an_environment_refuses_what_it_would_ignore(self):
        BOX.create("alone", "--without-pip")
        self.assertIn("--no-accelerator", BOX.venvfs("mount", "alone", "--no-accelerator", status=2).stderr)
        self.assertIn("--accelerator", BOX.venvfs("mount", "-n", "alone", "--accelerator", status=2).stderr)

    def test_editables_stay_when_it_alone_changes(self):
        source = harness.make_source(BOX.root / "source", "edited", files={"edited.py": "v = 5\n"})
        BOX.venvfs("mount", source)
        program = ACTIVE + "import edited; print(edited.v)"
        self.assertEqual(runs(source / ".venv", "-c", program).stdout, "True\n5\n")
        BOX.venvfs("sync", "--no-accelerator", cwd=source)
        self.assertEqual(runs(source / ".venv", "-c", program).stdout, "False\n5\n")


class Cost(Case):
    def ioctls(self):
        return BOX.json("status")["messages"].get("IOCTL", 0)

    @on_each_python
    def test_messages_of_a_hundred_modules(self, there, absent):
        counted = []
        for env in (there, absent):
            before = self.ioctls()
            runs(env, "-c", IMPORT_ALL)
            counted.append(self.ioctls() - before)
        self.assertLessEqual(counted[0], 10)
        self.assertGreaterEqual(counted[1], MODULES)

    @on_each_python
    def test_system_calls_of_a_hundred_modules(self, there, absent):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        counted = []
        for env in (there, absent):
            trace = BOX.root / "trace"
            harness.run(["strace", "-qq", "-o", trace, env / "bin" / "python", "-c", IMPORT_ALL], env=BOX.env)
            lines = trace.read_text().splitlines()
            start = next(i for i, line in enumerate(lines) if "/made/" in line and "openat" in line)
            end = max(i for i, line in enumerate(lines) if "/made/" in line and "openat" in line)
            calls = [line.partition("(")[0] for line in lines[start:end]]
            counted.append({name: calls.count(name) for name in set(calls)})
        ours, plain = counted
        self.assertEqual(ours.get("ioctl", 0), 0)
        self.assertGreaterEqual(plain["ioctl"], MODULES)
        for name in ours:  # memory is asked for when the allocator wants it
            if name not in ("mmap", "munmap", "brk", "mremap", "madvise"):
                self.assertLessEqual(ours[name], plain.get(name, 0), name)


class Starts(Case):
    def active(self, expected, *options, **more):
        for version in HELPED:
            with self.subTest(python=version):
                done = runs(WITH[version], *options, "-c", ACTIVE, **more)
                self.assertEqual(done.stdout, f"{expected}\n")
                self.assertNotIn("Error processing", done.stderr)
                self.assertEqual(runs(WITHOUT[version], *options, "-c", ACTIVE, **more).stdout, "False\n")

    def test_plain(self):
        self.active(True)

    def test_isolated(self):
        self.active(True, "-I")

    def test_without_environment_variables(self):
        self.active(True, "-E", "-s")

    def test_without_site(self):
        self.active(False, "-S")

    def test_optimised(self):
        self.active(True, "-OO")

    def test_verbose(self):
        self.active(True, "-v")

    def test_import_times(self):
        self.active(True, "-X", "importtime")

    def test_frozen_modules_off(self):
        self.active(True, "-X", "frozen_modules=off")

    def test_another_locale(self):
        self.active(True, extra={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})

    @on_each_python
    def test_no_warning_in_development_mode(self, there, absent):
        text = self.same(there, absent, "-X", "dev", "-W", "error", "-bb", "-c", IMPORT_ALL)
        self.assertEqual(text, "")

    @on_each_python
    def test_a_second_time_changes_nothing(self, there, _):
        """Its own folder once more, and a copy elsewhere."""
        copy = new_folder()
        shutil.copy(site_of(there) / "_venvfs.pth", copy)
        program = f"""if True:
            import site, sys
            external = sys.modules["_frozen_importlib_external"]
            before = external._io, dict(vars(external)), dict(vars(external.FileLoader))
            for folder in ({str(site_of(there))!r}, {str(copy)!r}):
                site.addsitedir(folder)
            print(before == (external._io, vars(external), dict(vars(external.FileLoader))))"""
        self.assertEqual(runs(there, "-c", ACTIVE + program).stdout, "True\nTrue\n")

    @on_each_python
    def test_nothing_of_it_is_left_in_sight(self, there, absent):
        """But that 3.13 decodes any .pth with a codec that it then has loaded."""
        program = """if True:
            import builtins, io, _io, site, sys, pickle
            print(sorted(vars(builtins)), sorted(dir()), sorted(vars(site)), sorted(vars(_io)))
            print(sorted(sys.modules.keys() - {"encodings.utf_8_sig"}))
            print(_io.open is io.open is open, _io.open_code is io.open_code, pickle.loads(pickle.dumps(open)) is open)
            from importlib.machinery import SourceFileLoader as Loader
            print(Loader.get_data.__qualname__, Loader.get_data.__code__.co_filename, sys.gettrace())"""
        text = self.same(there, absent, "-c", program)
        self.assertTrue(text.endswith("FileLoader.get_data <frozen importlib._bootstrap_external> None"), text)

    @on_each_python
    def test_subinterpreters(self, there, absent):
        program = f"""if True:
            import os
            try:
                import _xxsubinterpreters as sub
            except ImportError:
                import _interpreters as sub
            read, write = os.pipe()
            for _ in range(2):
                interpreter = sub.create()
                sub.run_string(interpreter, '''if True:
                    import _io, os, sys
                    import made.m7
                    active = sys.modules["_frozen_importlib_external"]._io is not _io
                    os.write(%d, b"%%d %%d," %% (active, made.m7.f(1)))''' % write)
                sub.destroy(interpreter)
            print(os.read(read, 100).decode())"""
        self.assertEqual(runs(there, "-c", program).stdout, "1 8,1 8,\n")
        self.assertEqual(runs(absent, "-c", program).stdout, "0 8,0 8,\n")

    @on_each_python
    def test_children_of_multiprocessing(self, there, absent):
        script = BOX.home / "children.py"
        script.write_text("""import multiprocessing, sys
def work(n):
    import _io, made.m9
    return sys.modules["_frozen_importlib_external"]._io is not _io, made.m9.f(n)
if __name__ == "__main__":
    for way in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(way).Pool(1) as pool:
            print(way, *pool.map(work, [1]))
""")
        for env, active in ((there, True), (absent, False)):
            self.assertEqual(runs(env, script).stdout.splitlines(),
                             [f"{way} ({active}, 10)" for way in ("fork", "spawn", "forkserver")])


class Hooks(Case):
    """Auditing and verified execution (PEP 578)."""

    # What C has of it: the answer, or the error, is a Python function's.
    LIBRARY = """
void *PyObject_CallFunctionObjArgs(void *callable, ...);
void *hook(void *path, void *callable) { return PyObject_CallFunctionObjArgs(callable, path, (void *)0); }
"""
    HOOK = """import ctypes, io, _io
seen = []
def open_code(path):
    seen.append(path)
    return %s
if ctypes.pythonapi.PyFile_SetOpenCodeHook(ctypes.CDLL(%r).hook, ctypes.py_object(open_code)) != 0:
    raise SystemExit("there is a hook")
"""
    ANSWERS = ("io.BytesIO(io.open(path, 'rb').read())", "_io.BytesIO(_io.open(path, 'rb').read())",
               "io.open(path, 'rb')", "io.FileIO(path)", "io.BufferedReader(_io.FileIO(path))")

    @classmethod
    def setUpClass(cls):
        if not shutil.which("cc"):
            raise unittest.SkipTest("no C compiler")
        source, cls.library = BOX.root / "hook.c", BOX.root / "hook.so"
        source.write_text(cls.LIBRARY)
        harness.run(["cc", "-shared", "-fPIC", "-o", cls.library, source])

    def hooked(self, env, answer, program):
        """Run with a hook set before _venvfs.pth is read, as by a program that embeds Python."""
        site = site_of(env)
        (site / "early_hook.py").write_text(self.HOOK % (answer, str(self.library)))
        (site / "00_early.pth").write_text("import early_hook\n")
        try:
            return runs(env, "-W", "ignore", "-c", program)
        finally:
            (site / "early_hook.py").unlink()
            (site / "00_early.pth").unlink()

    @on_each_python
    def test_a_hook_of_open_code_sees_every_module(self, there, absent):
        program = ACTIVE + IMPORT_ALL + """if True:
            import early_hook, re
            print(len({path for path in early_hook.seen if re.search(r"/made/.*\\bm\\d+\\.", path)}))"""
        for answer in self.ANSWERS:
            for env in (there, absent):
                done = self.hooked(env, answer, program)
                self.assertEqual((done.stdout, done.stderr), (f"False\n{MODULES}\n", ""), answer)

    @on_each_python
    def test_a_hook_that_forbids_is_obeyed(self, there, absent):
        answer = "1 // 0 if '/m5.c' in path else open(path, 'rb')"
        program = "try:\n import made.m4, made.m5\nexcept ZeroDivisionError: print('forbidden')"
        for env in (there, absent):
            self.assertEqual(self.hooked(env, answer, program).stdout, "forbidden\n")

    @on_each_python
    def test_the_same_audit_events(self, there, absent):
        program = """if True:
            import sys, importlib.machinery
            import made, space
            events = []
            def hook(name, args):
                if name in ("open", "import", "exec", "marshal.loads"):
                    events.append((name, [a if isinstance(a, (str, int)) else type(a).__name__ for a in args]))
            sys.addaudithook(hook)
            import made.m1, made.m2, space.one
            made.__loader__.get_data(made.__file__)
            for path in ("/nowhere", "/", "/proc/version"):
                for kind in (importlib.machinery.SourceFileLoader, importlib.machinery.SourcelessFileLoader,
                             importlib.machinery.ExtensionFileLoader):
                    try:
                        kind("x", path).get_data(path)
                    except OSError as error:
                        print(error)
            opened = [args for name, args in events if name == "open"]
            print(*events, sep="\\n")
            print(len(opened), *[args[1:] for args in opened if "m1.cpython" in args[0]])"""
        text = self.same(there, absent, "-c", program)
        self.assertEqual(text.splitlines()[-1], f"13 ['r', {os.O_RDONLY | os.O_CLOEXEC}]")

    def test_an_audit_hook_that_forbids_is_obeyed(self):
        self.prints("forbidden", """if True:
            import sys
            def hook(name, args):
                if name == "open" and "m3.cpython" in str(args[0]):
                    raise RuntimeError("forbidden")
            sys.addaudithook(hook)
            try:
                import made.m3
            except RuntimeError as error:
                print(error)""")


class Reads(Case):
    LOADERS = """if True:
        import os, pathlib, sys
        from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
        loaders = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)
        def attempt(path):
            for kind in loaders:
                try:
                    data = kind("x", "x").get_data(path)
                    print(kind.__name__, type(data).__name__, len(data), data[:20])
                except Exception as error:
                    name = getattr(error, "filename", "no name")
                    print(kind.__name__, type(error).__name__, error.args, ascii(name))
        """

    @on_each_python
    def test_errors(self, there, absent):
        folder = new_folder()
        (folder / "loop").symlink_to("loop")
        (folder / "empty").touch()
        program = self.LOADERS + f"""
        folder = {str(folder)!r}
        for name in ("missing", "", "loop", "empty/under", "empty", "x" * 300, "nul\\0", "\\udc80", "\\ud800"):
            attempt(folder + "/" + name)
        for odd in ("", None, 987654, -1, b"bytes", folder.encode(), pathlib.Path(folder),
                    pathlib.Path(folder, "empty"), [], 1.5, type("Text", (str,), {{}})(folder + "/empty")):
            attempt(odd)"""
        text = self.same(there, absent, "-c", program)
        for name in ("FileNotFoundError", "IsADirectoryError", "NotADirectoryError", "ValueError", "OSError"):
            self.assertIn(f"SourceFileLoader {name}", text)
        self.assertIn("SourceFileLoader bytes 0 b''", text)

    @on_each_python
    def test_no_permission(self, there, absent):
        """Asked as one who is not root, whom permissions do not bind."""
        secret = new_folder() / "secret.py"
        secret.write_text("x = 1\n")
        secret.chmod(0)
        for folder in (BOX.root, secret.parent):
            folder.chmod(0o711)
        drop = f"os.setuid({pwd.getpwnam('nobody').pw_uid})" if os.getuid() == 0 else "pass"
        text = self.same(there, absent, "-c", self.LOADERS + f"""
        {drop}
        attempt({str(secret)!r})""")
        self.assertEqual(text.count("PermissionError (13, 'Permission denied')"), 3, text)
        self.assertEqual(text.count(str(secret)), 3, text)

    @on_each_python
    def test_the_traceback_of_an_error(self, there, absent):
        program = """if True:
            import importlib.util, traceback
            loader = importlib.util.find_spec("made.m1").loader
            for call in (loader.get_data, loader.get_source):
                try:
                    loader.path += ".gone"
                    call(loader.path if call == loader.get_data else "made.m1")
                except Exception:
                    print(traceback.format_exc())"""
        text = self.same(there, absent, "-c", program)
        self.assertEqual(text.count("in get_data"), 2, text)
        self.assertNotIn("_venvfs", text)

    @on_each_python
    def test_sizes_and_kinds_of_files(self, there, absent):
        folder = new_folder()
        big, pipe = folder / "big", folder / "pipe"
        with big.open("wb") as file:
            for i in range(40):
                file.write(bytes([i]) * (1 << 20))
        os.mkfifo(pipe)
        program = self.LOADERS + f"""
        import hashlib, threading
        for kind in loaders:
            data = kind("x", "x").get_data({str(big)!r})
            print(len(data), hashlib.sha256(data).hexdigest())
        attempt("/proc/version")  # says that it has 0 bytes
        def write():
            for _ in loaders:
                with open({str(pipe)!r}, "wb") as file:
                    for i in range(50):
                        file.write(b"12" * 1000)
                        file.flush()
                done.acquire()
        done = threading.Semaphore(0)
        thread = threading.Thread(target=write)
        thread.start()
        for kind in loaders:
            print("pipe", len(kind("x", "x").get_data({str(pipe)!r})))
            done.release()
        thread.join()"""
        text = self.same(there, absent, "-c", program)
        self.assertEqual(text.count(str(40 << 20)), 3)
        self.assertEqual(text.count("bytes"), 3)
        self.assertEqual(text.count("pipe 100000"), 3, text)

    def test_a_file_that_changes_while_it_is_read(self):
        """What grows or shrinks meanwhile is read to the end that it has then."""
        self.prints("read", f"""if True:
            import threading
            from importlib.machinery import SourceFileLoader
            path, stop = {str(BOX.root / 'changing')!r}, False
            def change():
                while not stop:
                    with open(path, "r+b") as file:
                        file.truncate(100)
                        file.seek(0, 2)
                        file.write(b"b" * 200000)
            with open(path, "wb") as file:
                file.write(b"a" * 100)
            thread = threading.Thread(target=change)
            thread.start()
            for _ in range(300):
                data = SourceFileLoader("x", path).get_data(path)
                assert data[:100] == b"a" * 100 and set(data[100:]) <= set(b"b\\0"), data[:200]
            stop = True
            thread.join()
            print("read")""")

    def test_signals_while_a_pipe_is_read(self):
        pipe = new_folder() / "pipe"
        os.mkfifo(pipe)
        self.prints("ab True", f"""if True:
            import os, signal, subprocess
            from importlib.machinery import SourceFileLoader
            count = []
            signal.signal(signal.SIGALRM, lambda *_: count.append(1))
            child = subprocess.Popen(["sh", "-c", "exec 3>{pipe}; printf a >&3; for i in 1 2 3; do "
                                      "kill -ALRM %d; sleep 0.1; done; printf b >&3" % os.getpid()])
            data = SourceFileLoader("x", {str(pipe)!r}).get_data({str(pipe)!r})
            child.wait()
            print(data.decode(), len(count) > 0)""")

    def test_paths_that_are_not_ascii(self):
        folder = new_folder() / "größe ☃"
        folder.mkdir()
        (folder / "schön.py").write_text("x = 'ü'\n", encoding="utf-8")
        odd = os.fsencode(folder) + b"/\xff"
        os.mkdir(odd)
        with open(odd + b"/odd.py", "wb") as file:
            file.write(b"y = 2\n")
        self.prints("ü 2", f"""if True:
            import os, sys
            sys.path[:0] = [{str(folder)!r}, os.fsdecode({odd!r})]
            import schön, odd
            print(schön.x, odd.y)""")


class Imports(Case):
    def test_modules_and_namespace_packages(self):
        self.prints("7 1 2 ENV/lib/pythonX/site-packages/made/m7.py 1", """if True:
            import re, sys, made.m7, space.one, space.two
            path = re.sub(r"python3\\.\\d+", "pythonX", made.m7.__file__)
            print(made.m7.x, space.one.one, space.two.two, path, len(space.__path__))""")

    def test_reload(self):
        folder = new_folder()
        self.prints("1 222", f"""if True:
            import importlib, sys
            sys.path.insert(0, {str(folder)!r})
            def write(text):
                with open({str(folder / 'changing_module.py')!r}, "w") as file:
                    file.write(text)
            write("v = 1\\n")
            import changing_module as module
            print(module.v, end=" ")
            write("v = 222\\n")
            print(importlib.reload(module).v)
            importlib.reload(importlib)
            import made.m6""")

    @on_each_python
    def test_runpy(self, there, absent):
        text = self.same(there, absent, "-m", "made")
        self.assertEqual(text, "ran __main__ made")
        self.prints("41", "import runpy; print(runpy.run_module('made.m40')['f'](1))")

    def test_data_of_packages(self):
        self.prints("b'line one\\r\\nline two\\n' b'line one\\r\\nline two\\n' True", """if True:
            import importlib.resources, pkgutil
            if hasattr(importlib.resources, "files"):
                text = (importlib.resources.files("made") / "data.txt").read_bytes()
            else:
                text = importlib.resources.read_binary("made", "data.txt")
            source = pkgutil.get_data("made", "m1.py")
            print(pkgutil.get_data("made", "data.txt"), text, source.startswith(b"x = 1"))""")

    @on_each_python
    def test_sourceless_and_extension_modules(self, there, absent):
        folder = new_folder()
        (folder / "bare.py").write_text("v = 3\n")
        runs(absent, "-m", "compileall", "-q", "-b", folder)
        (folder / "bare.py").unlink()
        program = f"""if True:
            import sys, _ctypes
            sys.path.insert(0, {str(folder)!r})
            import bare
            with open(_ctypes.__file__, "rb") as file:
                data = file.read()
            print(type(bare.__loader__).__name__, bare.v, _ctypes.__loader__.get_data(_ctypes.__file__) == data)"""
        for env in (there, absent):
            self.assertEqual(runs(env, "-c", program).stdout, "SourcelessFileLoader 3 True\n")

    def test_zipimport(self):
        self.prints("5", f"""if True:
            import sys, zipfile
            path = {str(BOX.root / 'packed.zip')!r}
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("zipped.py", "z = 5\\n")
            sys.path.insert(0, path)
            import zipped
            print(zipped.z)""")

    def test_loaders_of_others(self):
        self.prints("get_data made.m1 True|_LazyModule 4 module|b'x = 2'", """if True:
            import importlib.machinery, importlib.util
            class Loud(importlib.machinery.SourceFileLoader):
                def get_data(self, path):
                    if path.endswith(".pyc"):
                        print("get_data", self.name, end=" ")
                    return super().get_data(path)
            def load(spec):
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
            origin = importlib.util.find_spec("made.m1").origin
            print(load(importlib.util.spec_from_loader("made.m1", Loud("made.m1", origin))).x == 1, end="|")
            spec = importlib.util.find_spec("made.m4")
            spec.loader = importlib.util.LazyLoader(spec.loader)
            lazy = load(spec)
            print(type(lazy).__name__, lazy.x, type(lazy).__name__, end="|")
            class Own(importlib.machinery.SourceFileLoader):
                def get_data(self, path):
                    return b"x = 2"
            print(Own("y", "/nowhere").get_data("/nowhere"))""")

    @on_each_python
    def test_tracing_sees_the_same(self, there, absent):
        program = """if True:
            import sys
            seen = []
            def trace(frame, event, arg):
                code = frame.f_code
                seen.append((code.co_filename, code.co_name, event, frame.f_lineno))
                return trace
            sys.settrace(trace)
            import made.m1
            made.m1.f(1)
            sys.settrace(None)
            print(*seen, sep="\\n")"""
        text = self.same(there, absent, "-c", program)
        self.assertIn("made/m1.py', 'f', 'line', 5", text)
        self.assertIn("('<frozen importlib._bootstrap_external>', 'get_data', 'call'", text)

    @on_each_python
    def test_breakpoints_of_pdb(self, there, absent):
        script = BOX.home / "debugged.py"
        script.write_text("import made.m3\nprint(made.m3.f(10))\n")
        said = []
        for env in (there, absent):
            commands = f"b {site_of(env)}/made/m3.py:5\nc\np a, x\nw\nc\nq\n"
            done = runs(env, "-m", "pdb", script, text=commands)
            said.append((done.stdout + done.stderr).replace(str(env), "ENV"))
        self.assertEqual(*said)
        self.assertIn("(10, 3)", said[0])


class Tools(Case):
    @on_each_python
    def test_pip_and_venv_take_no_notice(self, there, absent):
        for words in (["list"], ["freeze", "--all"], ["check"], ["show", "-f", "made"]):
            said = [runs(env, "-m", "pip", *words).stdout.replace(str(env), "ENV") for env in (there, absent)]
            self.assertEqual(*said, words)
            self.assertNotIn("_venvfs", said[0])
        made = new_folder() / "venv"
        runs(there, "-m", "venv", "--without-pip", made)
        self.assertEqual(list(site_of(made).iterdir()), [])

    def test_uv_takes_no_notice(self):
        uv = harness.tool("uv")
        if not uv:
            self.skipTest("uv is not here and no package index can be reached")
        env = {**BOX.env, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(BOX.root / "uv-cache")}
        for words in (["list"], ["freeze"], ["check"], ["show", "-f", "made"]):
            said = []
            for place in (WITH[HELPED[-1]], WITHOUT[HELPED[-1]]):
                done = harness.run([uv, "pip", *words, "--python", place / "bin" / "python"], env=env, cwd=BOX.home)
                text = (done.stdout + done.stderr).replace(str(place), "ENV")
                said.append(re.sub(r" in [0-9.]+m?s", "", text))
            self.assertEqual(*said)
            self.assertNotIn("_venvfs", said[0])

    def test_what_pip_installs_is_settled_without_it(self):
        wheel = harness.make_wheel(BOX.root, "late", "1.0", {"late.py": "v = 9\n"})
        for version in (HELPED[0], HELPED[-1]):
            with self.subTest(python=version):
                name = f"pip{version.replace('.', '')}"
                env = BOX.create(name, python=harness.interpreters()[version])
                path = site_of(env) / "_venvfs.pth"
                text = path.read_bytes()
                runs(env, "-m", "pip", "install", "-q", "--no-index", wheel)
                BOX.venvfs("commit", "-n", name)
                packages = {package["name"] for package in BOX.json("show", name)["packages"]}
                self.assertEqual(packages - {"pip", "setuptools"}, {"late"})
                self.assertNotIn("_venvfs", BOX.venvfs("diff", name).stdout)
                own = [file for _, _, files in os.walk(BOX.venvfs_home / "envs" / name)  # its trash is being removed
                       for file in files if "_venvfs" in file]
                self.assertEqual(own, [])
                self.assertEqual(path.read_bytes(), text)
                runs(env, "-m", "pip", "uninstall", "-q", "-y", "late")
                self.assertEqual(path.read_bytes(), text)

    def test_removed_with_all_and_rolled_back(self):
        env = BOX.create("gone", "-r", LOCK, python=harness.interpreters()[HELPED[-1]])
        text = (site_of(env) / "_venvfs.pth").read_bytes()
        shutil.rmtree(env)
        self.assertFalse(env.exists())
        BOX.venvfs("rollback", "-n", "gone")
        self.assertEqual((site_of(env) / "_venvfs.pth").read_bytes(), text)
        self.assertEqual(runs(env, "-c", ACTIVE).stdout, "True\n")

    def test_a_user_may_remove_it(self):
        env = BOX.create("edited", "-r", LOCK, python=harness.interpreters()[HELPED[-1]])
        (site_of(env) / "_venvfs.pth").unlink()
        self.assertEqual(runs(env, "-c", ACTIVE).stdout, "False\n")
        BOX.venvfs("commit", "-n", "edited")
        self.assertEqual(runs(env, "-c", ACTIVE).stdout, "False\n")

    def test_plain_files_are_without_it(self):
        folder = BOX.root / "plain-files"
        BOX.venvfs("materialize", "-n", WITH[HELPED[-1]].name, folder)
        self.assertFalse((site_of(folder) / "_venvfs.pth").exists())
        self.assertEqual(runs(folder, "-c", ACTIVE + "import made.m1").stdout, "False\n")

    def test_an_explicit_mount_has_it(self):
        place = BOX.root / "shown"
        BOX.venvfs("mount", WITH[HELPED[0]].name, place)
        self.assertEqual(runs(place, "-c", ACTIVE).stdout, "True\n")
        BOX.venvfs("umount", place)

    def test_pytest_and_coverage(self):
        wheels = harness.downloaded("pytest", "coverage")
        if not wheels:
            self.skipTest("no package index can be reached")
        lock = BOX.root / "tools.txt"
        lock.write_text(harness.lock_text(*wheels.glob("*.whl"), BOX.root / "wheels" / "made-1.0-py3-none-any.whl"))
        test = BOX.home / "test_small.py"
        test.write_text("import made.m8\n\n\ndef test_sum():\n    value = made.m8.f(1)\n    assert value == 8 + 2\n")
        said = []
        for name, options in (("tt", []), ("uu", ["--no-accelerator"])):
            env = BOX.create(name, "-r", lock, *options)
            done = runs(env, "-m", "coverage", "run", "--include=*/made/*", "-m", "pytest", "-q",
                        "-p", "no:cacheprovider", test, status=1, extra={"PYTHONDONTWRITEBYTECODE": "1"})
            report = runs(env, "-m", "coverage", "report", "-m")
            said.append([re.sub(r"in [0-9.]+s", "", text).replace(str(env), "ENV")
                         for text in (done.stdout, report.stdout)])
        self.assertEqual(*said)
        self.assertIn("assert 9 == (8 + 2)", said[0][0], "pytest rewrote the assertion")
        self.assertRegex(said[0][1], r"made/m8\.py +4 +0 +100%", "coverage saw the module's lines")


if __name__ == "__main__":
    harness.main()
