#!/usr/bin/env python3
"""A beginner's guide to virtual environments, typed word by word into bash, zsh and fish: activate and
deactivate, what is installed outside is not inside and the other way round, virtualenvwrapper, -p of a
path that `which` says, pyenv."""
import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

START = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}
IMPORT = 'python -c "import bcrypt; print(bcrypt.__name__, \'is here\')" 2>&1 | tail -n 1'


class Story(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("story")
        self.addCleanup(self.box.close)
        box = self.box
        wheels = box.root / "wheels"
        wheels.mkdir()
        harness.make_wheel(wheels, "bcrypt", "4.0", {"bcrypt.py": ""})
        tools = box.root / "tools"
        tools.mkdir()
        (tools / "venvfs").symlink_to(harness.PROGRAM)
        for front in ("virtualenv", "venv"):  # as an installation has them
            (tools / f"venvfs-{front}").symlink_to(harness.PROGRAM)
        self.base = pathlib.Path(harness.default_python())
        for name in ("python", "python3"):
            (tools / name).write_text(f'#!/bin/sh\nexec "{self.base}" "$@"\n')
            (tools / name).chmod(0o755)
        front = pathlib.Path(harness.run([harness.PROGRAM, "pyenv", "front"]).stdout.strip())
        box.env = {name: value for name, value in box.env.items()
                   if not name.startswith(("VIRTUALENVWRAPPER_", "WORKON_", "PYENV_", "_PYENV_"))}
        box.env.pop("PYTHONNOUSERSITE", None)  # what is outside is in ~/.local
        clean = [folder for folder in box.env["PATH"].split(":") if "pyenv" not in folder]
        box.env.update(PATH=":".join([str(tools), str(front), *clean]), PIP_NO_INDEX="1",
                       PIP_FIND_LINKS=str(wheels), PIP_BREAK_SYSTEM_PACKAGES="1",
                       PYENV_ROOT=str(box.root / "pyenv"))
        self.tools = tools

    def type(self, shell, lines):
        """What a shell says; each line that begins with = is awaited."""
        if not shutil.which(shell):
            self.skipTest(f"no {shell} here")
        load = "venvfs shell-init fish | source" if shell == "fish" else f'eval "$(venvfs shell-init {shell})"'
        folder = self.box.home / shell
        folder.mkdir(exist_ok=True)
        done = harness.run([*START[shell], "\n".join([load, *lines])], env=self.box.env, cwd=folder)
        return [line for line in done.stdout.splitlines() if line.startswith("= ")]

    def venv(self, shell):
        dot = ". env/bin/activate" + (".fish" if shell == "fish" else "")
        said = self.type(shell, [
            "venvfs venv env", dot,
            'echo "= $(command -v python)"', 'echo "= $PATH"',
            f'echo "= $({IMPORT})"',                        # not there yet
            "deactivate", "python -m pip install -q --user bcrypt",
            f'echo "= $({IMPORT})"',                        # outside
            dot, f'echo "= $({IMPORT})"',                   # and not inside
            "deactivate", "python -m pip uninstall -q -y bcrypt", dot, "pip install -q bcrypt",
            f'echo "= $({IMPORT})"', "deactivate",          # inside
            f'echo "= $({IMPORT})"',                        # and not outside
            'echo "= $(command -v python)"', 'echo "= $PATH"'])
        bin = f"{self.box.home / shell}/env/bin"
        path = self.box.env["PATH"]
        gone, here = "= ModuleNotFoundError: No module named 'bcrypt'", "= bcrypt is here"
        self.assertEqual(said, [f"= {bin}/python", f"= {bin}:{path}", gone,
                                here, gone, here, gone, f"= {self.tools}/python", f"= {path}"])

    def wrapper(self, shell):
        name, none = '"= ${VIRTUAL_ENV##*/}"', '"= ${VIRTUAL_ENV-none}"'
        if shell == "fish":
            name, none = '"= $(basename $VIRTUAL_ENV)"', '"= none$VIRTUAL_ENV"'
        said = self.type(shell, [
            "mkvirtualenv one >/dev/null", f"echo {name}",
            "mkvirtualenv two >/dev/null", f"echo {name}",
            'echo "= $(workon | tr "\\n" " ")"', "workon one", f"echo {name}",
            "pip install -q bcrypt", "cpvirtualenv one three >/dev/null",
            f"echo {name}", f'echo "= $({IMPORT})"',
            "workon two", f'echo "= $({IMPORT})"', "deactivate", "rmvirtualenv one >/dev/null",
            'echo "= $(workon | tr "\\n" " ")"', f"echo {none}"])
        self.assertEqual(said, ["= one", "= two", "= one two ", "= one", "= three", "= bcrypt is here",
                                "= ModuleNotFoundError: No module named 'bcrypt'", "= three two ", "= none"])
        self.box.venvfs("remove", "two", "three")

    def pythons(self, shell):
        """virtualenv -p $(which PYTHON), and pyenv's choice for a folder, for all and for one command."""
        found = sorted(harness.interpreters().items(), key=lambda item: int(item[0].split(".")[1]))[:2]
        if len(found) < 2:
            self.skipTest("only one Python here")
        versions = self.box.root / "pyenv" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        full = []
        for minor, python in found:
            number, prefix = harness.run([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3]);"
                                          "print(sys.base_prefix)"]).stdout.split("\n")[:2]
            if not (versions / number).exists():
                (versions / number).symlink_to(prefix)
            if not (self.tools / f"python{minor}").exists():
                (self.tools / f"python{minor}").symlink_to(python)
            full.append(number)
        main = 'import sys; print("= %d.%d.%d" % sys.version_info[:3])\n'
        (self.box.home / shell).mkdir(exist_ok=True)
        (self.box.home / shell / "main.py").write_text(main)
        (old, _), (new, _) = found
        said = self.type(shell, [
            f"venvfs virtualenv -q -p $(command -v python{old}) envp", "envp/bin/python main.py",
            f"pyenv global {full[1]}", "pyenv exec python main.py",
            f"pyenv local {full[0]}", "pyenv exec python main.py",
            f"PYENV_VERSION={full[1]} pyenv exec python main.py",
            'echo "= $(cat .python-version)"', 'echo "= $(pyenv global)"',
            "pyenv versions --bare | sed 's/^/= /'"])
        self.assertEqual(said[:6], [f"= {full[0]}", f"= {full[1]}", f"= {full[0]}", f"= {full[1]}",
                                    f"= {full[0]}", f"= {full[1]}"])
        for number in full:
            self.assertIn(f"= {number}", said[6:])


def add_tests():
    for shell in START:
        for part in ("venv", "wrapper", "pythons"):
            def test(self, shell=shell, part=part):
                getattr(self, part)(shell)
            setattr(Story, f"test_{part}_{shell}", test)


add_tests()
if __name__ == "__main__":
    harness.main()
