"""facts.py against what the interpreter's own pip and venv say; every interpreter of
VENVFS_TEST_PYTHONS (paths separated by ':'), else the one that runs this."""

import json
import os
import subprocess
import sys
import unittest

FACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python", "facts.py")

# Run by the interpreter under test with its pip wheel as the argument.
ASK_PIP = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pip._vendor.packaging.markers import default_environment
try:
    from pip._internal.utils.compatibility_tags import get_supported
    tags = [str(tag) for tag in get_supported()]
except ImportError:
    from pip._internal.pep425tags import get_supported
    tags = ["-".join(tag) for tag in get_supported()]
print(json.dumps([default_environment(), tags]))
"""

def pythons():
    listed = os.environ.get("VENVFS_TEST_PYTHONS")
    return listed.split(":") if listed else [os.path.realpath(sys.executable)]


def run(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.decode()


def facts_of(python):
    return json.loads(run(python, "-I", "-B", FACTS).strip().splitlines()[-1])


class Facts(unittest.TestCase):
    def test_markers_and_tags_are_pips(self):
        for python in pythons():
            with self.subTest(python=python):
                facts = facts_of(python)
                if not facts["pip_wheel"]:
                    self.skipTest("no ensurepip")
                markers, tags = json.loads(
                    run(python, "-I", "-B", "-c", ASK_PIP, facts["pip_wheel"])
                )
                self.assertEqual(
                    {k: v for k, v in markers.items() if k != "extra"}, facts["markers"]
                )
                self.assertEqual(len(facts["markers"]), 11)
                known = set(tags)
                # An old pip knows no tag after manylinux2010; venvfs adds the later ones.
                self.assertEqual([t for t in facts["tags"].split() if t in known], tags)

    def test_it_is_one_line_after_whatever_came_before(self):
        for python in pythons():
            with self.subTest(python=python):
                text = run(python, "-I", "-B", FACTS)
                self.assertTrue(text.startswith("\n{") and text.endswith("}\n"))
                self.assertEqual(text.count("\n"), 2)

    def test_wheels_of_ensurepip_exist(self):
        for python in pythons():
            with self.subTest(python=python):
                facts = facts_of(python)
                for key in ("pip_wheel", "setuptools_wheel"):
                    self.assertTrue(facts[key] is None or os.path.isfile(facts[key]))
                if tuple(facts["version_info"]) >= (3, 12):
                    self.assertIsNone(facts["setuptools_wheel"])

    def test_other_implementations_and_old_versions_are_refused(self):
        code = (
            "import runpy, platform, sys\n"
            "platform.python_implementation = lambda: %r\n"
            "sys.version_info = type('V', (tuple,), {})(%r)\n"
            "runpy.run_path(%r, run_name='__main__')\n"
        )
        for implementation, version, said in (
            ("PyPy", (3, 10, 1), "is PyPy"),
            ("CPython", (3, 5, 10), "CPython 3.6 or newer"),
        ):
            out = run(sys.executable, "-I", "-c", code % (implementation, version, FACTS))
            self.assertIn(said, json.loads(out)["refused"])


if __name__ == "__main__":
    unittest.main()
