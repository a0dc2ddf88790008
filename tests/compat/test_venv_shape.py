#!/usr/bin/env python3
"""A checker of environments, written elsewhere (../shared/oracles/venv-shape.py), finds nothing to say
about those that venvfs makes, on each Python: activation in six shells, pyvenv.cfg, the interpreter,
pip, scripts; in the hub and elsewhere, in paths with a space and a letter beyond ASCII."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ORACLE = harness.SOURCE.parent / "shared" / "oracles" / "venv-shape.py"
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
FEWEST = 130  # checks of an environment where not all of the six shells are there
# The kernel names the current folder by the hub's path, and Python joins ./bin/python to that.
OF_A_LINK = ["interpreter: run as ./bin/python"]


class Shape(unittest.TestCase):
    def check(self, env, python, tool, besides=()):
        done = harness.run([sys.executable, ORACLE, "--tool", tool, "--expect-pip", env, python],
                           env=self.box.env, cwd=self.box.home, status=None, timeout=300)
        last = done.stdout.strip().splitlines()[-1]
        failed = re.findall(r"^FAIL  (.*?)(?:  \[.*)?$", done.stdout, re.MULTILINE)
        self.assertEqual(failed, list(besides), done.stdout[-3000:])
        self.assertRegex(last, rf"^\d+ passed, {len(failed)} failed$", done.stdout[-3000:])
        self.assertGreaterEqual(int(re.match(r"\d+", last).group()), FEWEST)

    def all_ways(self, version):
        if not ORACLE.exists():
            self.skipTest(f"{ORACLE} is not here")
        python = harness.interpreters().get(version)
        if not python:
            self.skipTest(f"no Python {version} here")
        with harness.Sandbox("shape") as self.box:
            place = self.box.root / "a b é"
            place.mkdir()
            self.check(self.box.create("created", python=python), python, "venv")
            for command in ("venv", "virtualenv"):
                for folder, options, besides in ((place, (), OF_A_LINK),
                                                 (self.box.root, ("--folder",), ())):
                    self.box.venvfs(command, "-p", python, *options, folder / command)
                    self.check(folder / command, python, command, besides)
        with harness.Sandbox("shape") as self.box:
            self.box.hub = self.box.root / "a hub é"
            self.box.env["VENVFS_HUB"] = str(self.box.hub)
            self.check(self.box.create("created", python=python), python, "venv")


def add_tests():
    for version in VERSIONS:
        def test(self, version=version):
            self.all_ways(version)
        setattr(Shape, f"test_python_{version.replace('.', '_')}", test)


add_tests()
if __name__ == "__main__":
    harness.main()
