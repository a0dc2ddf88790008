#!/usr/bin/env python3
"""A real pip and uv workload, written elsewhere (../shared/oracles/pip-ops.sh), passes inside an
environment of the hub on each Python, as it does in a plain one."""
import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ORACLE = harness.SOURCE.parent / "shared" / "oracles" / "pip-ops.sh"
VERSIONS = ("3.8", "3.11", "3.12", "3.13")
SETTLING = ("3.8", "3.12")  # once more, while it is settled again and again
CHECKS = 140  # with uv


class PipOps(unittest.TestCase):
    def workload(self, version, settle="off"):
        if not ORACLE.exists():
            self.skipTest(f"{ORACLE} is not here")
        python = harness.interpreters().get(version)
        if not python:
            self.skipTest(f"no Python {version} here")
        program = harness.tool("uv")
        if not program:
            self.skipTest("no package index can be reached")
        with harness.Sandbox("pipops") as box:
            box.env["VENVFS_SETTLE"] = settle
            env = box.create("ops", python=python)
            store = harness.tree_digest(box.venvfs_home / "store")
            done = harness.run(["bash", ORACLE, env / "bin" / "python"], status=None,
                               env={**box.env, "UV": program}, cwd=box.home, timeout=900)
            last = done.stdout.strip().splitlines()[-1]
            self.assertEqual(last, f"{CHECKS} passed, 0 failed", done.stdout[-3000:])
            self.assertEqual(done.returncode, 0)
            if settle == "off":
                self.assertEqual(harness.tree_digest(box.venvfs_home / "store"), store, "the store")
            else:
                self.assertGreater(box.json("show", "ops")["generation"], 3)
                box.venvfs("store", "verify")


def add_tests():
    for version in VERSIONS:
        def test(self, version=version):
            self.workload(version)
        setattr(PipOps, f"test_python_{version.replace('.', '_')}", test)
    for version in SETTLING:
        def test(self, version=version):
            self.workload(version, settle="1")
        setattr(PipOps, f"test_python_{version.replace('.', '_')}_while_settling", test)


add_tests()
if __name__ == "__main__":
    harness.main()
