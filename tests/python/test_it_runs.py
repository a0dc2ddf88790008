#!/usr/bin/env python3
"""Environments work as their plain twins do: imports, every console script, activation, prefixes."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

# Programs that show things in the order in which the disk lists a folder (pylint: its checkers), which
# no two disks share: the same text, its parts in any order.
IN_LISTING_ORDER = {"pylint"}


def console_scripts(root):
    """Names of the generated scripts in bin/ of a plain venv."""
    for path in sorted((root / "bin").iterdir()):
        if path.is_file() and not path.is_symlink():
            first = path.open("rb").readline()
            if first.startswith(b"#!") and str(root).encode() in first:
                yield path.name


def help_of(root, script, home):
    """Exit code and normalised output of SCRIPT --help."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PYTHON", "VENVFS_", "VIRTUAL_ENV"))}
    env.update(PATH=f"{root}/bin:{os.environ['PATH']}", HOME=home, COLUMNS="100", NO_COLOR="1",
               TERM="dumb", XDG_CACHE_HOME=f"{home}/.cache", PYTHONHASHSEED="0",
               # pytest would leave rewritten plugins in the twin, which the view's tree is compared with.
               PYTHONDONTWRITEBYTECODE="1",
               MPLCONFIGDIR=f"{home}/mpl", LC_ALL="C.UTF-8")
    try:
        done = subprocess.run([f"{root}/bin/{script}", "--help"], env=env, cwd=home, timeout=90,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return "no end after 90 s", ""
    text = done.stdout.decode(errors="replace")
    # Addresses of objects, times and durations, and numbers of processes differ.
    text = re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text)
    text = re.sub(r"\d+:\d+:\d+(\.\d+)?|\d{4}-\d\d-\d\d|\d+\.\d+ ?m?s\b|pid[ =:]*\d+", "N", text)
    # Lines are wrapped where a path's length has it, even within the path.
    text = "".join(text.split())
    for place in (str(root), str(root.resolve()), os.path.relpath(root, home)):
        text = text.replace(place, "ENV")
    text = text.replace(home, "HOME")
    return done.returncode, "".join(sorted(text)) if script in IN_LISTING_ORDER else text


class Runs:
    set_name = ""

    @classmethod
    def setUpClass(cls):
        cls.view = harness.sets().path[cls.set_name]
        cls.twin = harness.sets().twin(cls.set_name)

    def test_imports_the_whole_set(self):
        script = harness.corpus() / "imports" / f"{self.set_name}.py"
        harness.run([self.view / "bin" / "python", script], env=harness.sets().sandbox.env)

    def test_every_console_script_gives_its_twins_help(self):
        scripts = list(console_scripts(self.twin))
        self.assertGreater(len(scripts), 3)
        home = str(harness.sets().sandbox.root / "scripts")
        os.makedirs(home, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            ours = pool.map(lambda name: help_of(self.view, name, home), scripts)
            theirs = pool.map(lambda name: help_of(self.twin, name, home), scripts)
            wrong = {name: pair for name, *pair in zip(scripts, ours, theirs) if pair[0] != pair[1]}
        # What differs is asked once more, so that a busy machine's time limit is no difference.
        wrong = {name: pair for name in wrong
                 for pair in [(help_of(self.view, name, home), help_of(self.twin, name, home))]
                 if pair[0] != pair[1]}
        self.assertEqual(wrong, {})


class Data(Runs, unittest.TestCase):
    set_name = "data"


class Web(Runs, unittest.TestCase):
    set_name = "web"


class Tools(Runs, unittest.TestCase):
    set_name = "tools"


class Interpreter(unittest.TestCase):
    """bin/python knows that it is the environment's."""

    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("interp")
        cls.addClassCleanup(cls.box.close)
        cls.env = cls.box.create("plainenv")
        cls.twin = cls.box.root / "twin"
        harness.run([harness.default_python(), "-m", "venv", cls.twin])

    def ask(self, root, program):
        return harness.run([root / "bin" / "python", "-c", program],
                           env=self.box.env).stdout.strip().replace(str(root), "ENV")

    def test_prefixes_and_paths(self):
        program = """if True:
            import json, site, sys, sysconfig
            print(json.dumps([sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix,
                sys.executable, site.getsitepackages(), sysconfig.get_paths(), sys.path[1:],
                site.ENABLE_USER_SITE, sys.flags.isolated], indent=1))"""
        self.assertEqual(self.ask(self.env, program), self.ask(self.twin, program))
        self.assertEqual(json.loads(self.ask(self.env, program))[0], "ENV")

    def test_every_name_of_python_works(self):
        for name in sorted(path.name for path in (self.twin / "bin").glob("python*")):
            out = harness.run([self.env / "bin" / name, "-c", "import sys; print(sys.prefix)"])
            self.assertEqual(out.stdout.strip(), str(self.env))

    def test_pip_is_seeded_as_venv_does(self):
        lists = [harness.run([root / "bin" / "python", "-m", "pip", "list", "--format=json"],
                             env=self.box.env).stdout for root in (self.env, self.twin)]
        self.assertEqual(*map(json.loads, lists))
        self.assertIn("pip", lists[0])

    def test_python_of_an_environment_makes_a_venv(self):
        inner = self.box.root / "inner"
        harness.run([self.env / "bin" / "python", "-m", "venv", "--without-pip", inner],
                    env=self.box.env)
        out = harness.run([inner / "bin" / "python", "-c", "import sys; print(sys.base_prefix)"])
        self.assertNotIn(str(self.box.hub), out.stdout)


class Activation(unittest.TestCase):
    """activate and deactivate in each shell: python is the environment's, then what it was."""

    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("activate")
        cls.addClassCleanup(cls.box.close)
        cls.env = cls.box.create("act")

    def shell(self, shell, script, *options):
        if not shutil.which(shell):
            self.skipTest(f"{shell} is not installed")
        done = harness.run([shell, *options, "-c", script], env=self.box.env, cwd=self.box.home)
        return done.stdout.split("\n")

    def check(self, lines, before):
        env = str(self.env)
        self.assertEqual(lines[:3], [f"{env}/bin/python", env, env])
        self.assertEqual(lines[3], before)
        self.assertEqual(lines[4], "")

    def before(self):
        return shutil.which("python3", path=self.box.env["PATH"])

    POSIX = """. {env}/bin/activate
        command -v python
        echo $VIRTUAL_ENV
        python -c 'import sys; print(sys.prefix)'
        deactivate
        command -v python3
        echo $VIRTUAL_ENV"""

    def test_bash(self):
        self.check(self.shell("bash", self.POSIX.format(env=self.env), "--norc"), self.before())

    def test_dash(self):
        self.check(self.shell("dash", self.POSIX.format(env=self.env)), self.before())

    def test_zsh(self):
        self.check(self.shell("zsh", self.POSIX.format(env=self.env), "-f"), self.before())

    def test_bash_with_nounset_and_errexit(self):
        script = "set -eu\n" + self.POSIX.format(env=self.env).rsplit("\n", 1)[0] + "\necho"
        self.check(self.shell("bash", script, "--norc"), self.before())

    def test_fish(self):
        self.check(self.shell("fish", f"""source {self.env}/bin/activate.fish
            command -v python
            echo $VIRTUAL_ENV
            python -c 'import sys; print(sys.prefix)'
            deactivate
            command -v python3
            echo $VIRTUAL_ENV"""), self.before())

    def test_csh(self):
        # From a file: csh looks for aliases when it reads a line, before `source` has made them.
        script = self.box.root / "script.csh"
        script.write_text(f"""source {self.env}/bin/activate.csh
            which python
            echo $VIRTUAL_ENV
            python -c 'import sys; print(sys.prefix)'
            deactivate
            which python3
            if ($?VIRTUAL_ENV) echo still
            echo
""")
        if not shutil.which("csh"):
            self.skipTest("csh is not installed")
        out = harness.run(["csh", "-f", script], env=self.box.env, cwd=self.box.home).stdout
        self.check(out.split("\n"), self.before())

    def test_activate_this(self):
        program = f"""if True:
            import os, sys
            path = {str(self.env / 'bin' / 'activate_this.py')!r}
            exec(compile(open(path).read(), path, "exec"), {{"__file__": path}})
            import pip
            print(os.environ["VIRTUAL_ENV"], sys.prefix, pip.__file__, sep="\\n")"""
        out = harness.run([harness.default_python(), "-c", program], env=self.box.env).stdout.split()
        self.assertEqual(out[:2], [str(self.env)] * 2)
        self.assertTrue(out[2].startswith(str(self.env)), out)


class Shapes(unittest.TestCase):
    """Kinds of packages that installers get wrong, as generated wheels."""

    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("shapes")
        cls.addClassCleanup(cls.box.close)
        wheels = cls.box.root / "wheels"
        wheels.mkdir()
        cls.made = [
            harness.make_wheel(wheels, "ns-a", "1.0", {"space/a/__init__.py": "name = 'a'\n"}),
            harness.make_wheel(wheels, "ns-b", "1.0", {"space/b.py": "name = 'b'\n"}),
            harness.make_wheel(wheels, "ns-c", "1.0", {"space/c/__init__.py": "name = 'c'\n",
                                                       "space/c/data.txt": "of c\n"}),
            harness.make_wheel(wheels, "old-a", "1.0", {
                "old/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
                "old/a.py": "name = 'a'\n"}),
            harness.make_wheel(wheels, "old-b", "1.0", {
                "old/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
                "old/b.py": "name = 'b'\n"}),
            harness.make_wheel(wheels, "withpth", "1.0", {
                "withpth.pth": "import sys; sys.came_by_pth = True\n", "withpth.py": ""}),
            harness.make_wheel(wheels, "spread", "1.0", {
                "spread/__init__.py": "def main():\n    print('spread runs')\n",
                "spread/empty.py": "",
                "spread/bad_syntax.py": "def (:\n",
                "spread-1.0.data/scripts/tool": "#!python\nimport sys\nprint(sys.prefix)\n",
                "spread-1.0.data/scripts/tool.sh": "#!/bin/sh\necho shell\n",
                "spread-1.0.data/headers/spread.h": "#define SPREAD 1\n",
                "spread-1.0.data/data/share/spread/file.txt": "shared\n",
                "spread-1.0.data/data/etc/spread.conf": "x = 1\n",
                "spread-1.0.data/purelib/spread_pure.py": "where = 'pure'\n",
                "spread-1.0.data/platlib/spread_plat.py": "where = 'plat'\n"},
                entry_points="[console_scripts]\nspread-run = spread:main\n"
                             "[gui_scripts]\nspread-gui = spread:main\n"),
            harness.make_wheel(wheels, "Mixed.Case_Name", "1.0", {"mixed_case.py": "x = 1\n"}),
        ]
        lock = cls.box.root / "lock.txt"
        lock.write_text(harness.lock_text(*cls.made))
        cls.env = cls.box.create("shapes", "-r", lock)
        cls.version = f"python3.{sys_minor(cls.env)}"

    def python(self, program):
        return harness.run([self.env / "bin" / "python", "-c", program],
                           env=self.box.env).stdout.strip()

    def script(self, name):
        return harness.run([self.env / "bin" / name], env=self.box.env).stdout.strip()

    def test_namespace_over_three_wheels(self):
        self.assertEqual(self.python("import space.a, space.b, space.c as c;"
                                     "print(space.a.name + space.b.name + c.name)"), "abc")

    def test_pkgutil_namespace_of_two_wheels(self):
        self.assertEqual(self.python("import old.a, old.b; print(old.a.name + old.b.name)"), "ab")

    def test_package_data_by_importlib_resources(self):
        self.assertEqual(self.python("import importlib.resources as r;"
                                     "print(r.read_text('space.c', 'data.txt').strip())"), "of c")

    def test_pth_is_processed(self):
        self.assertEqual(self.python("import sys; print(sys.came_by_pth)"), "True")

    def test_scripts_of_all_kinds_run(self):
        self.assertEqual(self.script("tool"), str(self.env))
        self.assertEqual(self.script("tool.sh"), "shell")
        self.assertEqual(self.script("spread-run"), "spread runs")
        self.assertEqual(self.script("spread-gui"), "spread runs")

    def test_data_headers_and_libraries_are_where_the_schemes_say(self):
        self.assertEqual((self.env / "share/spread/file.txt").read_text(), "shared\n")
        self.assertEqual((self.env / "etc/spread.conf").read_text(), "x = 1\n")
        header = self.env / "include" / "site" / self.version / "spread" / "spread.h"
        self.assertEqual(header.read_text(), "#define SPREAD 1\n")
        self.assertEqual(self.python("import spread_pure, spread_plat;"
                                     "print(spread_pure.where, spread_plat.where)"), "pure plat")

    def test_a_file_that_does_not_compile_is_no_error(self):
        site = self.env / "lib" / self.version / "site-packages" / "spread"
        self.assertTrue((site / "bad_syntax.py").exists())
        self.assertEqual([p.name for p in (site / "__pycache__").glob("bad_syntax*")], [])

    def test_the_tree_is_pips_tree(self):
        twin = self.box.root / "twin"
        harness.run([harness.default_python(), "-m", "venv", twin])
        harness.run([twin / "bin" / "python", "-m", "pip", "install", "-q", "--no-index", "--no-deps",
                     *self.made], env={**self.box.env, "PIP_FIND_LINKS": ""})
        ours, theirs = ({str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*")
                         if "lib64" not in p.parts[:len(root.parts) + 1]}
                        for root in (self.env, twin))
        # pip remembers the files it was given; a lock is no direct URL.
        theirs = {path for path in theirs if not path.endswith("direct_url.json")}
        known = re.compile(r"bin/activate(\.nu|\.xsh|_this\.py)\Z|.*/_?venvfs[^/]*\Z|\.gitignore\Z")
        self.assertEqual({path for path in ours ^ theirs if not known.match(path)}, set())


def sys_minor(env):
    return harness.run([env / "bin" / "python", "-c", "import sys; print(sys.version_info[1])"]
                       ).stdout.strip()


if __name__ == "__main__":
    harness.main()
