#!/usr/bin/env python3
"""scripts/check and scripts/summary: nothing that fails, crashes or is left out may look like success.
In a folder with both scripts, where everything they call is a stub."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"


class Check(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vf-check-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.build = self.root / "build"
        (self.build / "meson-logs").mkdir(parents=True)
        (self.root / "scripts").mkdir()
        (self.root / "bin").mkdir()
        for name in ("check", "summary"):
            shutil.copy2(SCRIPTS / name, self.root / "scripts" / name)
        for name in ("scripts/install-packages", "scripts/build", "bin/chmod"):
            self.stub(name, "")
        self.stub("bin/id", "echo 0")
        self.log("testlog.json", ("base", "OK", "[  PASSED  ] 5 test(s)."))
        kept = self.root / "kept.json"
        (self.build / "meson-logs" / "testlog.json").rename(kept)
        self.stub("bin/meson", f"cp {kept} $BUILD/meson-logs/testlog.json")

    def stub(self, name, script):
        path = self.root / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def log(self, name, *entries):
        path = self.build / "meson-logs" / name
        path.write_text("".join(json.dumps({"name": n, "result": r, "stdout": out}) + "\n"
                                for n, r, out in entries))
        return path

    def run_script(self, *words, **env):
        path = f"{self.root}/bin:{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if name != "CI"}
        return subprocess.run([str(word) for word in words], cwd=self.root, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**inherited, "PATH": path, "BUILD": str(self.build), **env})

    def check(self, **env):
        done = self.run_script(self.root / "scripts" / "check", **env)
        return done.returncode, done.stdout.splitlines()

    @unittest.skipUnless(os.path.exists("/dev/fuse"), "the tests as a user need /dev/fuse")
    def test_a_crash_of_the_user_tests_is_a_failure(self):
        self.stub("scripts/user-tests", "exit 1")
        status, lines = self.check()
        self.assertEqual((status, lines[-1]), (1, "5 passed, 1 failed, 0 skipped"))
        self.assertIn("FAILED user-tests.json", lines[-2])

    @unittest.skipUnless(os.path.exists("/dev/fuse"), "the tests as a user need /dev/fuse")
    def test_the_user_tests_are_added_up(self):
        log = self.log("user.json", ("life as an ordinary user", "OK", "== 3 passed, 0 failed, 1 skipped"))
        self.stub("scripts/user-tests", f"cp {log} $1")
        status, lines = self.check()
        self.assertEqual((status, lines[-1]), (0, "8 passed, 0 failed, 1 skipped"))

    @unittest.skipUnless(os.path.exists("/dev/fuse") and os.getuid() == 0, "needs root and /dev/fuse")
    def test_in_ci_a_test_skipped_for_want_of_a_mount_is_a_failure(self):
        said = ("test_a (X) ... skipped 'no mount namespace of our own here'\n"
                "test_b (X)\nIts first line. ... skipped 'fish is not installed'\n"
                "test_c (X) ... skipped \"there's no /dev/fuse\"\n== 4 passed, 0 failed, 3 skipped")
        log = self.log("user.json", ("life as an ordinary user", "OK", said))
        self.stub("scripts/user-tests", f"cp {log} $1")
        self.assertEqual(self.check()[1][-1], "9 passed, 0 failed, 3 skipped")
        status, lines = self.check(CI="1")
        self.assertEqual((status, lines[-1]), (1, "9 passed, 2 failed, 1 skipped"))
        self.assertIn("SKIPPED life as an ordinary user: no mount namespace of our own here", lines)

    def test_who_is_not_root_has_no_user_tests(self):
        self.stub("bin/id", "echo 1000")
        self.assertEqual(self.check(), (0, ["5 passed, 0 failed, 0 skipped"]))


if __name__ == "__main__":
    done = unittest.main(exit=False, verbosity=2).result
    failed, skipped = len(done.failures) + len(done.errors), len(done.skipped)
    print(f"== {done.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(bool(failed))
