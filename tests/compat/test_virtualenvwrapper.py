#!/usr/bin/env python3
"""virtualenvwrapper's own test suite (../shared/oracles/virtualenvwrapper.sh), run against our commands
in bash and zsh, with upstream's Python package taken away."""
import concurrent.futures
import os
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ORACLE = harness.SOURCE.parent / "shared" / "oracles" / "virtualenvwrapper.sh"
# Upstream refuses a VIRTUALENVWRAPPER_PYTHON without its module; ours needs none
# (docs/guide/virtualenvwrapper.md), and with the module taken away no Python has it.
BESIDES = ["test_python_interpreter_set_incorrectly"]
FEWEST = 190


def run(shell):
    with harness.Sandbox("vw" + shell) as box:
        tools = box.root / "tools"
        tools.mkdir()
        (tools / "venvfs").symlink_to(harness.PROGRAM)
        env = {**box.env, "PATH": f"{tools}:{box.env['PATH']}", "TMPDIR": str(box.root),
               "HOME": os.path.expanduser("~"),  # one of its tests compares it with ~USER
               "XDG_CACHE_HOME": str(box.root / "cache"),
               "PYTHON": str(harness.default_python()),
               "WRAPPER_SCRIPT": str(harness.SOURCE / "shell" / "virtualenvwrapper.sh"),
               "WRAPPER_LAZY_SCRIPT": str(harness.SOURCE / "shell" / "virtualenvwrapper_lazy.sh")}
        return harness.run([ORACLE, "--shell", shell, "--bare"], env=env, cwd=box.root, status=None,
                           timeout=1200).stdout


class Upstream(unittest.TestCase):
    def test_bash_and_zsh(self):
        if not ORACLE.exists():
            self.skipTest(f"{ORACLE} is not here")
        shells = [shell for shell in ("bash", "zsh") if shutil.which(shell)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for shell, said in zip(shells, pool.map(run, shells)):
                with self.subTest(shell=shell):
                    failed = re.findall(r"^FAIL  \S+ \(\d+\):(.*)$", said, re.MULTILINE)
                    self.assertEqual(" ".join(failed).split(), BESIDES, said)
                    passed = re.search(r"^(\d+) passed, \d+ failed$", said, re.MULTILINE)
                    self.assertGreaterEqual(int(passed.group(1)), FEWEST, said)


if __name__ == "__main__":
    harness.main()
