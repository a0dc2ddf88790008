#!/usr/bin/env python3
"""kill -9 during ingest at random moments: the store stays whole, the same command succeeds, and what
it makes works."""
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
PACKAGES = 12


class Kill(unittest.TestCase):
    def test_ingest_survives_kill_at_random_moments(self):
        chance = random.Random(int(os.environ.get("VENVFS_TEST_SEED", "1")))
        with harness.Sandbox("kill") as box:
            commands = [Add(box, chance), Create(box, chance)]
            killed = attempts = answered = 0
            while killed < ROUNDS:
                attempts += 1
                self.assertLess(attempts, 4 * ROUNDS, "too few runs were still going when killed")
                command = commands[killed % 2]
                command.renew()
                if not command.kill_once():
                    continue
                killed += 1
                box.venvfs("store", "verify")
                answered += command.again(self)
            box.venvfs("store", "verify")
            seconds = ", ".join(f"{command.seconds:.2f} s" for command in commands)
            print(f"{killed} of {attempts} runs were killed, within {seconds}; {answered} had just "
                  "made their environment")
            self.assertLess(answered, ROUNDS // 4, "too few kills were during ingest")
            self.assertTrue(harness.wait_until(lambda: set(box.processes()) <= {box.daemon_pid()}, 5),
                            f"workers outlived their command: {box.processes()}")
            store = pathlib.Path(harness.one_line(box.venvfs("store", "path").stdout))
            self.assertEqual(sorted(os.listdir(store / "tmp")), [], "later commands clean up")


class Command:
    """A command that ingests; each time something new, since what is stored makes a kill trivial."""

    def __init__(self, box, chance):
        self.box, self.chance = box, chance
        self.wheels = box.root / f"wheels-{type(self).__name__}"
        self.wheels.mkdir()
        self.count = 0
        for _ in range(2):  # the first run also makes tools and starts the daemon
            self.renew()
            start = time.monotonic()
            harness.run(self.words, env=box.env)
            self.seconds = time.monotonic() - start

    def renew(self):
        self.count += 1
        self.names = [f"{type(self).__name__.lower()}{self.count}x{i}" for i in range(PACKAGES)]
        self.words = self.command([self.package(name) for name in self.names])

    def package(self, name):
        files = {f"{name}/m{j}.py": f"x = {self.chance.random()}\n" + "def f(): return [1, 2]\n" * 60
                 for j in range(12)}
        files[f"{name}/noise.bin"] = self.chance.randbytes(100_000)
        return harness.make_wheel(self.wheels, name, "1.0", files)

    def kill_once(self):
        """Kills a run at a random moment. True when it was still going."""
        start = time.monotonic()
        process = subprocess.Popen(self.words, env=self.box.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(self.moment())
            self.seconds = time.monotonic() - start  # this machine has become faster
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


class Add(Command):
    def command(self, wheels):
        return [str(harness.PROGRAM), "store", "add", "-p", harness.default_python(), *map(str, wheels)]

    def moment(self):
        return self.chance.random() * self.seconds

    def again(self, _):
        harness.run(self.words, env=self.box.env)
        return False


class Create(Command):
    def command(self, wheels):
        self.name = f"env{self.count}"
        lock = self.box.root / f"{self.name}.txt"
        lock.write_text(harness.lock_text(*wheels))
        return [str(harness.PROGRAM), "create", self.name, "-p", harness.default_python(), "-r",
                str(lock)]

    def moment(self):
        # Most of the time is pip's; half of the kills shall hit the last eighth, ingest and manifest.
        return self.seconds * (1 - self.chance.random() ** 3)

    def listed(self):
        return self.name in [env["name"] for env in self.box.json("list")["environments"]]

    def again(self, test):
        """True when all was done but the answer: then the environment is there, whole, and the
        command says so. Otherwise there is none and the command succeeds."""
        complete = self.listed()
        done = harness.run(self.words, env=self.box.env, status=1 if complete else 0)
        if complete:
            test.assertEqual(done.stderr.splitlines()[0], f"venvfs: environment {self.name} exists already")
        test.assertTrue(self.listed())
        program = "import importlib\n" + "\n".join(
            f"assert importlib.import_module('{name}.m{i % 12}').f() == [1, 2]"
            for i, name in enumerate(self.names))
        self.box.venvfs("run", "-n", self.name, "--", "python", "-c", program)
        return complete


if __name__ == "__main__":
    harness.main()
