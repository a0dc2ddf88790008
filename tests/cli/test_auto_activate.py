#!/usr/bin/env python3
"""`venvfs shell-init --auto-activate`: a project's environment is active in its folders, in bash, zsh
and fish, which run their hooks before each prompt as they do for people."""
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

# shell: (how it is started, what gives it the hook, what runs the hook, the last exit code)
SHELLS = {
    "bash": (["bash", "--norc", "-c"], 'eval "$(venvfs shell-init --auto-activate bash)"',
             'eval "$PROMPT_COMMAND"', "$?"),
    "zsh": (["zsh", "-f", "-c"], 'eval "$(venvfs shell-init --auto-activate zsh)"',
            "for f in $precmd_functions; do $f; done", "$?"),
    "fish": (["fish", "--no-config", "-c"], "venvfs shell-init --auto-activate fish | source",
             "emit fish_prompt", "$status"),
}


class AutoActivate(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("auto")
        self.addCleanup(self.box.close)
        self.box.env["PATH"] = f"{harness.PROGRAM.parent}:{self.box.env['PATH']}"
        self.box.env.pop("VIRTUAL_ENV", None)
        self.root = self.box.root / "some projects"
        self.envs = {}
        for name in ("one", "two"):
            (self.root / name / "inner").mkdir(parents=True)
            (self.root / name / "requirements.txt").write_text("")
            self.box.venvfs("mount", self.root / name)
            self.envs[name] = str(self.root / name / ".venv")
        stranger = self.root / "stranger" / ".venv" / "bin"
        stranger.mkdir(parents=True)
        for name in ("activate", "activate.fish"):
            (stranger / name).write_text(f"touch '{self.root}/ran'\n")

    def walk(self, shell, *steps, cwd=None):
        """VIRTUAL_ENV at the prompt behind each step."""
        if not shutil.which(shell):
            self.skipTest(f"no {shell} here")
        start, init, hook, _ = SHELLS[shell]
        script = "\n".join([init] + [f"{step}\n{hook}\necho \"at $VIRTUAL_ENV\"" for step in steps])
        done = harness.run(start + [script], env=self.box.env, cwd=cwd or self.root)
        self.assertEqual(done.stderr, "")
        return [line[3:] for line in done.stdout.splitlines() if line.startswith("at ")]

    def check(self, shell):
        one, two = self.envs["one"], self.envs["two"]
        self.assertEqual(
            self.walk(shell, "cd one", "cd inner", "cd ../../two", "cd ../stranger", "cd ..", "cd two",
                      "deactivate", "cd inner", "cd ../../one", "cd /"),
            [one, one, two, "", "", two, "", "", one, ""])
        self.assertFalse((self.root / "ran").exists())

        # What the user activated stays.
        suffix = ".fish" if shell == "fish" else ""
        self.assertEqual(self.walk(shell, f". '{two}/bin/activate{suffix}'", "cd one", "cd .."),
                         [two, two, two])

        # A project that becomes one while one is in it.
        (self.root / "three").mkdir(exist_ok=True)
        (self.root / "three" / "requirements.txt").write_text("")
        self.assertEqual(self.walk(shell, "cd three", "venvfs mount -q >/dev/null"),
                         ["", str(self.root / "three" / ".venv")])
        self.box.venvfs("umount", "three", cwd=self.root)

        # After the hub was unmounted, the link brings it back.
        self.box.venvfs("umount", "--all")
        self.assertEqual(self.walk(shell, "cd inner", cwd=self.root / "one"), [one])
        self.assertTrue(os.path.exists(f"{one}/bin/python"))

        # Nothing is forked while the folder stays the same.
        if shutil.which("strace"):
            start, init, hook, _ = SHELLS[shell]
            marked = f"{init}\ncd one\n{hook}\ncd /proc/self/fd\n" + f"cd '{self.root}/one'\n{hook}\n"
            trace = self.box.root / "trace"
            for count in (1, 20):
                script = marked + f"{hook}\n" * count
                subprocess.run(["strace", "-f", "-o", f"{trace}{count}", "-e",
                                "trace=clone,clone3,fork,vfork", *start, script],
                               env=self.box.env, cwd=self.root, check=True, capture_output=True)
            forks = [sum("(" in line and "resumed" not in line and "exit" not in line
                         for line in open(f"{trace}{count}")) for count in (1, 20)]
            self.assertEqual(forks[0], forks[1])

    def test_bash(self):
        self.check("bash")

    def test_zsh(self):
        self.check("zsh")

    def test_fish(self):
        self.check("fish")

    def test_the_last_exit_code_is_kept(self):
        for shell in ("bash", "zsh"):
            if shutil.which(shell):
                start, init, hook, code = SHELLS[shell]
                script = f"{init}\ncd one\nfalse\n{hook}\necho \"code {code}\""
                done = harness.run(start + [script], env=self.box.env, cwd=self.root)
                self.assertIn("code 1", done.stdout)


if __name__ == "__main__":
    harness.main()
