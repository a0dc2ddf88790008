#!/usr/bin/env python3
"""Editors, build tools and installers at work in an environment, as in a plain one: what they leave
works, also after the daemon's restart; the environment beside and the store see nothing of it."""
import os
import pathlib
import shutil
import stat
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

INSIDE = ("pytest", "cython", "cffi", "setuptools", "wheel")


def setUpModule():
    global BOX, LOCK, WHEELS, MADE
    wheels = harness.downloaded(*INSIDE)
    if not wheels:
        raise unittest.SkipTest("no package index can be reached")
    BOX = harness.Sandbox("inside")
    unittest.addModuleCleanup(BOX.close)
    MADE = BOX.root / "made"
    MADE.mkdir()
    demo = harness.make_wheel(MADE, "demo", "1.0", {
        "demo/__init__.py": "value = 1\n", "demo/tests/__init__.py": "",
        "demo/tests/test_demo.py": "import demo\ndef test_value():\n    assert demo.value\n",
        "demo/fast.pyx": "def add(int a, int b):\n    return a + b\n"})
    for version in ("1.0", "2.0"):
        harness.make_wheel(MADE, "extra", version, {
            # Sizes differ: within one second bytecode cannot tell two files of one size apart.
            "extra.py": f"version = {version!r}\n" + "# newer\n" * (version == "2.0")})
    WHEELS = [demo, *sorted(wheels.glob("*.whl"))]
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(*WHEELS))
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=f"{MADE} {wheels}", PIP_ROOT_USER_ACTION="ignore")
    BOX.create("beside", "-r", LOCK)


class Case(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rpartition(".")[2][5:45].replace("_", "-")
        self.env = BOX.create(self.name, "-r", LOCK)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.demo = self.site / "demo" / "__init__.py"
        self.beside = harness.tree_digest(BOX.hub / "beside")
        self.store = harness.store_content(BOX.venvfs_home / "store")
        self.active = {**BOX.env, "VIRTUAL_ENV": str(self.env), "PATH": f"{self.env}/bin:{BOX.env['PATH']}"}

    def tearDown(self):
        self.assertEqual(harness.tree_digest(BOX.hub / "beside"), self.beside)
        self.assertEqual(harness.store_changes(self.store, BOX.venvfs_home / "store"), {})

    def python(self, program, *words, env=None):
        return harness.run([self.env / "bin" / "python", "-c", program, *words],
                           env=env or BOX.env, cwd=BOX.home).stdout.strip()

    def value(self):
        return self.python("import demo; print(demo.value)")

    def pip(self, *words, **options):
        return harness.run([self.env / "bin" / "python", "-m", "pip", *words], env=BOX.env, cwd=BOX.home,
                           **options)

    def restart(self):
        BOX.venvfs("umount", "--all")
        for name in (self.name, "beside"):
            BOX.venvfs("mount", "-n", name)

    def program(self, name, requirement=None):
        found = harness.tool(name, requirement)
        if not found:
            self.skipTest(f"{name} is not here and no package index can be reached")
        return found


class Editors(Case):
    def saved(self, value):
        self.assertEqual(self.value(), value)
        self.assertEqual(stat.S_IMODE(self.demo.stat().st_mode), 0o644)
        self.restart()
        self.assertEqual(self.value(), value)

    def installed(self, name):
        if not shutil.which(name):
            self.skipTest(f"{name} is not installed")
        return name

    def test_save_with_a_backup_and_a_rename(self):
        """What vim does by itself, and what it leaves when asked to keep the backup."""
        for value in ("22", "333"):
            backup = self.demo.with_name("__init__.py~")
            os.rename(self.demo, backup)
            fd = os.open(self.demo, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, f"value = {value}\n".encode())
            os.fsync(fd)
            os.fchmod(fd, 0o644)
            os.close(fd)
            self.assertEqual(self.value(), value)
            os.unlink(backup)
        self.saved("333")

    def test_atomic_replacement(self):
        for value in ("22", "333"):
            new = self.demo.with_name(".__init__.py.swp")
            new.write_text(f"value = {value}\n")
            os.replace(new, self.demo)
            self.assertEqual(self.value(), value)
        self.saved("333")

    def test_save_by_overwriting(self):
        for value in ("22", "333", "4444"):
            self.demo.write_text(f"value = {value}\n")
            self.assertEqual(self.value(), value)
        self.saved("4444")

    def test_vim(self):
        for i, settings in enumerate(("backupcopy=no", "backupcopy=yes")):
            harness.run([self.installed("vim"), "-u", "NONE", "-i", "NONE", "-es", "-c", f"set {settings} backup backupskip=",
                         "-c", f"%s/= .*/= {10 ** (i + 2)}/", "-c", "wq", self.demo], env={**BOX.env, "TERM": "dumb"})
            self.assertEqual(self.value(), str(10 ** (i + 2)))
            self.assertIn("value = 1", self.demo.with_name("__init__.py~").read_text())
        self.saved("1000")

    def test_sed_in_place(self):
        harness.run([self.installed("sed"), "-i.orig", "s/= 1/= 77/", self.demo])
        self.assertEqual(self.demo.with_name("__init__.py.orig").read_text(), "value = 1\n")
        self.saved("77")


class Builds(Case):
    def test_pytest_leaves_its_caches(self):
        for words in ([], ["--last-failed"]):
            done = harness.run([self.env / "bin" / "python", "-m", "pytest", "-q", "--pyargs", "demo", *words],
                               cwd=self.site, env=BOX.env)
            self.assertIn("1 passed", done.stdout)
        self.assertTrue(list(self.site.glob("demo/tests/__pycache__/*-pytest-*.pyc")))
        self.assertTrue((self.site / ".pytest_cache" / "v" / "cache" / "nodeids").exists())
        test = self.site / "demo" / "tests" / "test_demo.py"
        test.write_text(test.read_text().replace("assert demo.value", "assert not demo.value"))
        done = harness.run([self.env / "bin" / "python", "-m", "pytest", "-q", "--pyargs", "demo"], cwd=self.site,
                           env=BOX.env, status=1)
        self.assertIn("1 failed", done.stdout)

    def test_compileall(self):
        for mode in ("checked-hash", "timestamp"):
            self.python("import compileall, py_compile, sys; sys.exit(not compileall.compile_dir(sys.argv[1], "
                        "quiet=2, force=True, workers=2, invalidation_mode=py_compile.PycInvalidationMode"
                        f".{mode.replace('-', '_').upper()}))", self.site / "setuptools")
            self.assertTrue(self.python("import setuptools; print(setuptools.__version__)"))
            flags = {path.read_bytes()[4] for path in self.site.glob("setuptools/**/*.pyc")}
            self.assertEqual(flags, {3} if mode == "checked-hash" else {0})

    def compiler(self):
        if not (shutil.which("cc") or shutil.which("gcc")):
            self.skipTest("there is no C compiler")

    def test_cython_in_place(self):
        self.compiler()
        harness.run([self.env / "bin" / "cythonize", "-q", "-i", "-3", self.site / "demo" / "fast.pyx"], env=BOX.env,
                    cwd=BOX.home)
        self.assertTrue(list(self.site.glob("demo/fast.*.so")))
        self.restart()
        self.assertEqual(self.python("import demo.fast; print(demo.fast.add(2, 3))"), "5")

    def test_cffi_in_place(self):
        self.compiler()
        self.python("import cffi, sys; f = cffi.FFI(); f.cdef('int twice(int);')\n"
                    "f.set_source('demo._twice', 'static int twice(int x) { return 2 * x; }')\n"
                    "f.compile(tmpdir=sys.argv[1])", self.site)
        self.restart()
        self.assertEqual(self.python("from demo._twice import lib; print(lib.twice(21))"), "42")


class Installers(Case):
    def test_pip(self):
        self.pip("install", "-q", "extra==1.0", "--target", self.env / "vendored")
        self.assertEqual(self.python("import extra; print(extra.version)",
                                     env={**BOX.env, "PYTHONPATH": str(self.env / "vendored")}), "1.0")
        self.pip("install", "-q", "--target", self.env / "vendored", "--upgrade", "extra==2.0")
        self.assertEqual(self.python("import extra; print(extra.version)",
                                     env={**BOX.env, "PYTHONPATH": str(self.env / "vendored")}), "2.0")
        self.demo.write_text("value = 'edited'\n")
        self.pip("install", "-q", "--force-reinstall", "--no-deps", "demo==1.0", "extra==2.0")
        self.assertEqual(self.value(), "1")
        self.assertEqual(list(self.site.glob("~*")), [])
        self.restart()
        self.pip("check")
        self.pip("uninstall", "-q", "-y", "extra", "demo")
        self.assertEqual(list(self.site.glob("demo*")) + list(self.site.glob("extra*")), [])

    def test_uv(self):
        uv = [self.program("uv"), "pip"]
        options = ["-q", "--python", self.env / "bin" / "python", "--no-index", "--find-links", MADE, "--find-links",
                   WHEELS[1].parent]
        def run(*words, status=0):
            return harness.run([*uv, words[0], *options, *words[1:]], cwd=BOX.home, status=status,
                               env={**BOX.env, "UV_CACHE_DIR": str(BOX.root / "uv"), "UV_NO_CONFIG": "1"})
        run("install", "extra==1.0")
        run("install", "extra==2.0")
        self.assertEqual(self.python("import extra; print(extra.version)"), "2.0")
        self.assertEqual(len(list(self.site.glob("extra-*.dist-info"))), 1)
        harness.run([*uv, "uninstall", "-q", "--python", self.env / "bin" / "python", "demo"], env=BOX.env)
        self.assertFalse((self.site / "demo").exists())
        wanted = BOX.root / "wanted.txt"
        wanted.write_text("demo==1.0\nextra==1.0\n")
        run("sync", wanted)
        self.restart()
        self.assertEqual(self.python("import demo, extra; print(demo.value, extra.version)"), "1 1.0")
        left = {path.name.split("-")[0] for path in self.site.glob("*.dist-info")}
        self.assertEqual(left - {"pip", "setuptools", "wheel"}, {"demo", "extra"})  # uv spares seeds

    def test_editable_installs_of_two_worktrees(self):
        """One project, two worktrees, all packages shared: each environment has its own worktree's."""
        if not shutil.which("git"):
            self.skipTest("git is not installed")
        first, second = BOX.root / "work-first", BOX.root / "work-second"
        harness.make_source(first, "proj", files={"proj/__init__.py": "where = 'first'\ndef main(): print(where)\n"},
                            entry_points="[console_scripts]\nproj = proj:main\n")
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", first]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"],
                      ["worktree", "add", "-q", second, "-b", "second"]):
            harness.run([*git, *words], env=BOX.env)
        (second / "src" / "proj" / "__init__.py").write_text("where = 'second'\ndef main(): print(where)\n")
        other = BOX.create(self.name + "-second", "-r", LOCK)
        for env, folder in ((self.env, first), (other, second)):
            harness.run([env / "bin" / "python", "-m", "pip", "install", "-q", "--no-build-isolation", "-e", folder],
                        env=BOX.env, cwd=BOX.home)
        self.restart()
        BOX.venvfs("mount", "-n", other.name)
        for env, folder in ((self.env, first), (other, second)):
            said = harness.run([env / "bin" / "python", "-c", "import proj, demo; print(proj.where, proj.__file__)"],
                               env=BOX.env, cwd=BOX.home).stdout.split()
            self.assertEqual(said, [folder.name[5:], str(folder / "src" / "proj" / "__init__.py")])
            said = harness.run([env / "bin" / "proj"], env=BOX.env, cwd=BOX.home).stdout
            self.assertEqual(said.strip(), folder.name[5:])
        self.pip("uninstall", "-q", "-y", "proj")
        self.python("import importlib.util as u, sys; sys.exit(u.find_spec('proj') is not None)")
        harness.run([other / "bin" / "python", "-c", "import proj"], env=BOX.env, cwd=BOX.home)

    def project(self, text):
        folder = BOX.root / f"{self.name}-project"
        (folder / "mine").mkdir(parents=True)
        (folder / "mine" / "__init__.py").write_text("ours = 1\n")
        (folder / "pyproject.toml").write_text(text)
        return folder

    def installed_by(self, run, remove):
        """The project and what it needs are in this environment and nowhere else."""
        self.assertEqual(self.python("import extra; print(extra.version)"), "1.0")
        self.assertEqual(self.value(), "1")
        self.restart()
        self.assertEqual(self.python("import extra; print(extra.__file__)"), str(self.site / "extra.py"))
        run(*remove)
        self.assertFalse((self.site / "extra.py").exists())

    def test_poetry(self):
        wheel = MADE / "extra-1.0-py3-none-any.whl"
        folder = self.project('[tool.poetry]\nname = "mine"\nversion = "0"\ndescription = ""\nauthors = []\n'
                              'packages = [{include = "mine"}]\n[tool.poetry.dependencies]\npython = ">=3.8"\n'
                              f'extra = {{path = "{wheel}"}}\n'
                              '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n')
        env = {**self.active, "POETRY_CACHE_DIR": str(BOX.root / "poetry"), "POETRY_NO_INTERACTION": "1",
               "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
        program = self.program("poetry")
        def run(*words):
            return harness.run([program, "-C", folder, *words], env=env, cwd=BOX.home).stdout.strip()
        self.assertEqual(run("env", "info", "--path"), str(self.env))
        run("install")
        self.assertEqual(self.python("import mine; print(mine.__file__)"), str(folder / "mine" / "__init__.py"))
        self.installed_by(run, ["remove", "extra"])

    def test_pdm(self):
        wheel = MADE / "extra-1.0-py3-none-any.whl"
        folder = self.project('[project]\nname = "mine"\nversion = "0"\nrequires-python = ">=3.8"\n'
                              f'dependencies = ["extra @ file://{wheel}"]\n[tool.pdm]\ndistribution = false\n')
        env = {**BOX.env, "PDM_CHECK_UPDATE": "0", "PDM_CACHE_DIR": str(BOX.root / "pdm")}
        program = self.program("pdm", "pdm[locked]")  # as released; newer dependencies have broken it
        def run(*words):
            return harness.run([program, words[0], "-p", folder, *words[1:]], env=env, cwd=BOX.home).stdout.strip()
        run("use", "-f", self.env / "bin" / "python")
        self.assertEqual(pathlib.Path(run("info", "--python")), self.env / "bin" / "python")
        run("install")
        self.installed_by(run, ["remove", "extra"])


if __name__ == "__main__":
    harness.main()
