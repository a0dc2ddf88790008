#!/usr/bin/env python3
"""kill -9 during ingest at random moments: the store stays whole and the same command succeeds."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ROUNDS = int(os.environ.get("VENVFS_TEST_KILLS", "50"))


class Kill(unittest.TestCase):
    def test_ingest_survives_kill_at_random_moments(self):
        chance = random.Random(int(os.environ.get("VENVFS_TEST_SEED", "1")))
        with harness.Sandbox("kill") as box:
            wheels = box.root / "wheels"
            wheels.mkdir()
            made = [self.package(wheels, i, chance) for i in range(12)]
            command = [harness.PROGRAM, "store", "add", "-p", harness.default_python(), *made]
            command = [str(word) for word in command]
            with harness.Sandbox("killtime") as other:
                start = time.monotonic()
                harness.run(command, env=other.env)
                whole = time.monotonic() - start
            killed = 0
            for i in range(ROUNDS):
                # A finished store would make the next round trivial: something new each time.
                extra = self.package(wheels, 100 + i, chance)
                killed += self.kill_once(box, [*command, str(extra)], chance.random() * whole * 1.1)
                box.venvfs("store", "verify")
                if i % 10 == 9:
                    harness.run([*command, str(extra)], env=box.env)
            self.assertGreater(killed, ROUNDS // 3, "too few runs were still going when killed")
            harness.run(command, env=box.env)
            box.venvfs("store", "verify")
            self.assertFalse(harness.wait_until(lambda: False, 0.1) or box.processes(),
                             "workers outlived their command")
            store = pathlib.Path(harness.one_line(box.venvfs("store", "path").stdout))
            self.assertEqual(sorted(os.listdir(store / "tmp")), [], "later commands clean up")

    @staticmethod
    def package(folder, i, chance):
        files = {f"kill{i}/m{j}.py": f"x = {chance.random()}\n" + "def f(): return [1, 2]\n" * 60
                 for j in range(12)}
        files[f"kill{i}/noise.bin"] = chance.randbytes(300_000)
        return harness.make_wheel(folder, f"kill{i}", "1.0", files)

    @staticmethod
    def kill_once(box, command, delay):
        """True when the command was still running."""
        process = subprocess.Popen(command, env=box.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            pass
        was_running = process.poll() is None
        if was_running:
            process.send_signal(signal.SIGKILL)
        process.wait()
        return was_running


if __name__ == "__main__":
    harness.main()
