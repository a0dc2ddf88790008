#!/usr/bin/env python3
"""Eight commands fill one empty store at once: all succeed, and each wheel is ingested once."""
import os
import random
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

COMMANDS = 8
COMMON = "the same in all packages\n" * 100


def package(folder, i):
    """A wheel of some size, with text and with bytes that do not compress."""
    noise = random.Random(i)
    files = {f"pkg{i}/__init__.py": "".join(f"def f{j}(a): return a + {i * j}\n" for j in range(200)),
             f"pkg{i}/noise.bin": noise.randbytes(200_000 + 1000 * i),
             f"pkg{i}/common.txt": COMMON}
    return harness.make_wheel(folder, f"pkg{i}", "1.0", files)


def slow_package(folder, i):
    """A wheel whose bytecode takes a while: 20,000 functions, all different."""
    text = "".join(f"def f{j}(a): return [a, {j}, 'x{j}']\n" for j in range(20_000))
    return harness.make_wheel(folder, f"slow{i}", "1.0", {f"slow{i}.py": text})


def ingested(said):
    """How many packages a command ingested itself, by what it prints when it took over a second."""
    return sum(map(int, re.findall(r"^venvfs: installing: (\d+) packages, ", said, re.M)))


class Concurrency(unittest.TestCase):
    def test_eight_creates_of_equal_locks_ingest_each_wheel_once(self):
        """One worker needs seconds for the wheels, so every command that ingests says how many. The
        store cannot tell: what is ingested twice becomes the image that is there."""
        with harness.Sandbox("equal") as box:
            wheels = box.root / "wheels"
            wheels.mkdir()
            made = [slow_package(wheels, i) for i in range(COMMANDS)]
            lock = box.root / "lock.txt"
            lock.write_text(harness.lock_text(*made))
            running = [self.start(box, f"env{i}", lock, "--without-pip", "-j", "1")
                       for i in range(COMMANDS)]
            counts = []
            for process in running:
                out, said = process.communicate(timeout=300)
                self.assertEqual(process.returncode, 0, said)
                counts.append(ingested(said))
                python = os.path.join(out.strip(), "bin", "python")
                harness.run([python, "-c", "import slow0, slow7"], env=box.env)
            print(f"packages ingested by each command: {counts}")
            self.assertEqual(sum(counts), len(made))
            box.venvfs("store", "verify")

    @staticmethod
    def start(box, name, lock, *options):
        command = [harness.PROGRAM, "create", name, "-p", harness.default_python(), "-r", lock, *options]
        return subprocess.Popen([str(word) for word in command], env=box.env, cwd=box.home, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def test_eight_creates_of_overlapping_locks(self):
        with harness.Sandbox("parallel") as box:
            wheels = box.root / "wheels"
            wheels.mkdir()
            made = [package(wheels, i) for i in range(16)]
            running = []
            for i in range(COMMANDS):
                chosen = made[i:i + 9]  # each lock shares eight wheels with the next
                random.Random(i).shuffle(chosen)
                lock = box.root / f"lock{i}.txt"
                lock.write_text(harness.lock_text(*chosen))
                running.append((i, self.start(box, f"env{i}", lock)))
            for i, process in running:
                out, said = process.communicate(timeout=300)
                self.assertEqual(process.returncode, 0, said)
                python = os.path.join(out.strip(), "bin", "python")
                names = [f"pkg{j}" for j in range(i, min(i + 9, 16))]
                harness.run([python, "-c", "\n".join(f"import {name}" for name in names)], env=box.env)
            box.venvfs("store", "verify")
            stats = box.json("store", "stats")
            self.assertEqual(stats["wheels"], len(made) + self.seeds())
            self.assertEqual(stats["images"], stats["wheels"], "each wheel has one image")
            # What is the same in different wheels may be stored by several commands at once.
            self.assertLess(stats["dead_bytes"], COMMANDS * (len(COMMON) + 1000))

    @staticmethod
    def seeds():
        """Wheels that venv seeds: pip, and setuptools before 3.12."""
        program = "import sys; print(1 if sys.version_info >= (3, 12) else 2)"
        return int(harness.run([harness.default_python(), "-c", program]).stdout)

    def test_two_creates_of_one_name(self):
        with harness.Sandbox("samename") as box:
            command = [str(harness.PROGRAM), "create", "same", "-p", harness.default_python()]
            processes = [subprocess.Popen(command, env=box.env, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                         for _ in range(4)]
            said = [process.communicate(timeout=120)[1] for process in processes]
            codes = sorted(process.returncode for process in processes)
            self.assertEqual(codes, [0, 1, 1, 1], said)
            box.venvfs("store", "verify")


if __name__ == "__main__":
    harness.main()
