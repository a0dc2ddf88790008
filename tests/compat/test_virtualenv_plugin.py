#!/usr/bin/env python3
"""tox, nox and virtualenv itself make environments of venvfs once the plugin is installed beside them
and VIRTUALENV_CREATOR says so; nothing else is changed."""
import functools
import os
import pathlib
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

TOOLS = ("tox", "nox")
ENVIRONMENTS = ("a", "b", "c", "d", "e", "f")
DISK = 0.3  # of what plain environments take
NEEDED = ("pytest", "attrs", "requests")

TOX = """\
[tox]
env_list = a, b, c, d, e, f
[testenv]
skip_install = true
deps =
    pytest
    attrs
    f: requests
commands =
    python -c "import sys, pytest, attr; print('ran', sys.prefix)"
    pytest -q
"""
NOX = """\
import nox
@nox.session
def check(session):
    session.install("attrs")
    session.run("python", "-c", "import sys, attr; print('ran', sys.prefix)")
"""


def plugin():
    """Where it is installed to, else in the sources."""
    installed = harness.PROGRAM.resolve().parent.parent / "share" / "venvfs" / "virtualenv-venvfs"
    return installed if installed.exists() else harness.SOURCE / "python" / "virtualenv-venvfs"


@functools.lru_cache(None)
def tools():
    """A folder of programs with the plugin beside them, or None: no index."""
    folder = harness.cache_folder("plugin-tools")
    if not all((folder / "bin" / name).exists() for name in TOOLS):
        harness.run([harness.default_python(), "-m", "venv", folder])
        harness.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *TOOLS], status=None)
    if not all((folder / "bin" / name).exists() for name in TOOLS):
        return None
    copy = pathlib.Path(harness.run(["mktemp", "-d"]).stdout.strip())  # pip may leave files in it
    shutil.copytree(plugin(), copy / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    harness.run([folder / "bin" / "python", "-m", "pip", "install", "-q", "--no-index", "--no-deps",
                 "--force-reinstall", copy / "plugin"])
    shutil.rmtree(copy)
    return folder / "bin"


class Plugin(unittest.TestCase):
    def setUp(self):
        self.bin, wheels = tools(), harness.downloaded(*NEEDED)
        if not self.bin or not wheels:
            self.skipTest("no package index can be reached")
        self.box = harness.Sandbox("plugin")
        self.addCleanup(self.box.close)
        self.plain = {**self.box.env, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels),
                      "PATH": f"{os.path.dirname(harness.default_python())}:{os.environ['PATH']}"}
        self.env = {**self.plain, "VIRTUALENV_CREATOR": "venvfs",
                    "VENVFS_PROGRAM": str(harness.PROGRAM)}

    def run_tool(self, folder, env, name, *words, status=0):
        return harness.run([self.bin / name, *words], env=env, cwd=folder, status=status, timeout=300)

    def project(self, name, file, text):
        folder = self.box.project(name)
        (folder / file).write_text(text)
        (folder / "test_it.py").write_text("def test_it():\n    import attr\n")
        return folder

    def results(self, done, folder):
        """What tox said, without times and paths."""
        lines = [re.sub(r"\(.*? seconds\)|in [\d.]+s", "", line).replace(str(folder), "DIR")
                 for line in done.stdout.splitlines()]
        return [line for line in lines if re.match(r"ran |\d+ passed|  \w+: (OK|FAIL)", line)]

    def test_tox_with_six_environments(self):
        plain, ours = self.project("plain", "tox.ini", TOX), self.project("ours", "tox.ini", TOX)
        want = self.results(self.run_tool(plain, self.plain, "tox"), plain)
        self.assertEqual(len(want), 3 * len(ENVIRONMENTS))
        self.assertEqual(self.results(self.run_tool(ours, self.env, "tox"), ours), want)
        for name in ENVIRONMENTS:
            env = ours / ".tox" / name
            self.assertEqual(os.path.realpath(env / "bin").split("/")[-3], self.box.hub.name)
            self.box.venvfs("commit", "-n", env)  # as the daemon does by itself a minute later
        self.box.venvfs("umount", "--all")  # what was moved to the trash is gone then
        disk = harness.disk_bytes(ours / ".tox", self.box.venvfs_home)
        self.assertLess(disk, DISK * harness.disk_bytes(plain / ".tox"))
        # Again: as they are, then each made anew.
        self.box.venvfs("up")
        for name in ENVIRONMENTS:
            self.box.venvfs("mount", "-n", ours / ".tox" / name)
        self.assertEqual(self.results(self.run_tool(ours, self.env, "tox"), ours), want)
        self.assertEqual(self.results(self.run_tool(ours, self.env, "tox", "-r"), ours), want)
        # What tox itself wrote into an environment's folder stayed there.
        self.assertTrue((ours / ".tox" / "a" / ".tox-info.json").is_file())

    def test_nox(self):
        folder = self.project("nox", "noxfile.py", NOX)
        for words in ((), ("-r",), ()):  # made, kept, made anew
            done = self.run_tool(folder, self.env, "nox", "--default-venv-backend", "virtualenv", *words)
            self.assertIn(f"ran {folder}/.nox/check", done.stdout)
        self.assertTrue((folder / ".nox" / "check" / "bin").is_symlink())

    def test_options_of_virtualenv_reach_the_environment(self):
        folder = self.box.project("words")
        self.run_tool(folder, self.env, "virtualenv", "env", "--system-site-packages", "--prompt", "x",
                      "--without-pip")
        config = (folder / "env" / "pyvenv.cfg").read_text()
        self.assertIn("include-system-site-packages = true", config)
        self.assertIn("prompt = 'x'", config)
        self.assertEqual(self.box.json("show", folder / "env")["packages"], [])
        self.run_tool(folder, self.env, "virtualenv", "env", "--clear", "--activators", "bash")
        names = [row["name"] for row in self.box.json("show", folder / "env")["packages"]]
        self.assertIn("pip", names)
        self.assertEqual(os.listdir(self.box.temporary), [])

    def test_what_virtualenv_writes_last_is_what_the_environment_has(self):
        folder = self.box.project("last")
        self.run_tool(folder, self.env, "virtualenv", "env")
        name = self.box.json("show", folder / "env")["name"]
        self.assertFalse((self.box.venvfs_home / "envs" / name / "upper" / "bin").exists())

    def test_a_failure_is_told(self):
        folder = self.box.project("fails")
        env = {**self.env, "VENVFS_PROGRAM": "/nonexistent/venvfs"}
        done = self.run_tool(folder, env, "virtualenv", "env", status=1)
        self.assertIn("/nonexistent/venvfs", done.stdout + done.stderr)
        (folder / "taken" / "bin").mkdir(parents=True)
        done = self.run_tool(folder, self.env, "virtualenv", "taken", status=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("in the way", done.stdout + done.stderr)


if __name__ == "__main__":
    harness.main()
