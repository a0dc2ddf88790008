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
            add = [str(harness.PROGRAM), "store", "add", "-p", harness.default_python()]
            start = time.monotonic()
            harness.run([*add, *self.packages(wheels, "first", chance)], env=box.env)
            whole = time.monotonic() - start
            killed = attempts = 0
            while killed < ROUNDS:
                attempts += 1
                self.assertLess(attempts, 4 * ROUNDS, "too few runs were still going when killed")
                # What is stored already would make a round trivial: something new each time.
                command = [*add, *self.packages(wheels, attempts, chance)]
                start = time.monotonic()
                if not self.kill_once(box, command, chance.random() * whole):
                    whole = time.monotonic() - start  # this machine has become faster
                    continue
                killed += 1
                box.venvfs("store", "verify")
                if killed % 10 == 0:
                    harness.run(command, env=box.env)
                    box.venvfs("store", "verify")
            print(f"{killed} of {attempts} runs were killed, within {whole:.2f} s")
            harness.run(command, env=box.env)
            box.venvfs("store", "verify")
            self.assertFalse(harness.wait_until(lambda: False, 0.1) or box.processes(),
                             "workers outlived their command")
            store = pathlib.Path(harness.one_line(box.venvfs("store", "path").stdout))
            self.assertEqual(sorted(os.listdir(store / "tmp")), [], "later commands clean up")

    def packages(self, folder, label, chance):
        return [str(self.package(folder, f"{label}x{i}", chance)) for i in range(12)]

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
