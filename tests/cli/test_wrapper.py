#!/usr/bin/env python3
"""virtualenvwrapper's commands as shell-init gives them, in real bash and zsh on a real mount."""
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

SHELLS = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"]}


class Wrapper(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("wrapper")
        self.addCleanup(self.box.close)
        tools = self.box.root / "tools"
        tools.mkdir()
        (tools / "venvfs").symlink_to(harness.PROGRAM)
        self.box.env = {name: value for name, value in self.box.env.items()
                        if not name.startswith(("VIRTUALENVWRAPPER_", "WORKON_", "VIRTUAL_ENV"))}
        self.box.env["PATH"] = f"{tools}:{self.box.env['PATH']}"

    def each(self, script, check, **env):
        for shell, words in SHELLS.items():
            with self.subTest(shell=shell):
                if shell == "zsh" and not shutil.which("zsh"):
                    self.skipTest("there is no zsh")
                home = self.box.root / shell
                home.mkdir()
                text = f'eval "$(venvfs shell-init {shell})"\n{script}'
                done = harness.run([*words, text], cwd=home, env={
                    **self.box.env, "WORKON_HOME": str(home / "envs"), "PROJECT_HOME": str(home), **env})
                check(home, done.stdout.splitlines())

    def test_make_switch_copy_and_remove(self):
        def check(home, lines):
            said = [line for line in lines if line.startswith("= ")]
            self.assertEqual(said, [f"= {home}/envs/one", f"= {home}/envs/two", "= one,two,",
                                    f"= {home}/envs/one", "= one,three,two,", "= three,"])
            self.assertEqual((home / "envs" / "three" / ".project").read_text(), f"{home}\n")
        self.each('mkvirtualenv --no-seed one >/dev/null; echo "= $VIRTUAL_ENV"\n'
                  'mkvirtualenv --no-seed two >/dev/null; echo "= $VIRTUAL_ENV"\n'
                  'names() { echo "= $(lsvirtualenv -b | grep -v "^$" | tr "\\n" ",")"; }\n'
                  'names; workon one; python -c "import sys; print(\'= \' + sys.prefix)"\n'
                  'setvirtualenvproject >/dev/null; cpvirtualenv one three >/dev/null; names\n'
                  'deactivate; rmvirtualenv one two >/dev/null; names\n', check)

    def test_paths_hooks_and_projects(self):
        def check(home, lines):
            self.assertIn("hook proj", lines)
            self.assertIn(f"= {home}/proj", lines)
            self.assertIn("added True", lines)
        self.each('lsvirtualenv -b; echo \'echo "hook ${VIRTUAL_ENV##*/}"\' >| "$WORKON_HOME/postactivate"\n'
                  'export VIRTUALENVWRAPPER_HOOK_DIR="$WORKON_HOME"\n'
                  'mkproject --no-seed proj; echo "= $PWD"; mkdir extra; add2virtualenv extra >/dev/null\n'
                  'python -c "import os, sys; print(\'added\', os.path.abspath(\'extra\') in sys.path)"\n', check)

    def test_the_first_completion_loads_and_offers_names(self):
        self.box.create("offered")
        script = ('eval "$(venvfs shell-init bash)"\nCOMP_WORDS=(workon off); COMP_CWORD=1\n'
                  '_venvw_complete workon; printf "%s\\n" "${COMPREPLY[@]}"\n')
        done = harness.run(["bash", "--norc", "-c", script], env=self.box.env)
        self.assertEqual((done.stdout, done.stderr), ("offered\n", ""))

    def test_fish(self):
        if not shutil.which("fish"):
            self.skipTest("there is no fish")
        home = self.box.root / "my fish"
        (home / "hooks").mkdir(parents=True)
        for hook in ("postactivate", "predeactivate", "postdeactivate"):
            (home / "hooks" / hook).write_text(f'echo "{hook} ${{VIRTUAL_ENV##*/}}"\n')
        script = "\n".join([
            "venvfs shell-init fish | source",
            "mkvirtualenv --no-seed one >/dev/null", "cdvirtualenv", 'echo "= $PWD"',
            "cdsitepackages", 'echo "= $PWD"',
            "mkproject --no-seed proj >/dev/null", 'echo "= $PWD"', "cd /", "workon one >/dev/null",
            "workon proj", 'echo "= $VIRTUAL_ENV $PWD"', 'python -c "import sys; print(sys.prefix)"',
            "deactivate", 'echo "= $VIRTUAL_ENV"', "functions -q deactivate; or echo gone",
            "workon nowhere; echo $status", "mktmpenv --no-seed >/dev/null", "set tmp $VIRTUAL_ENV",
            "test -d $tmp; and deactivate >/dev/null; test -e $tmp; or echo removed",
            'echo "= "(complete -C "workon o")', "rmvirtualenv one proj >/dev/null", "lsvirtualenv -b"])
        done = harness.run(["fish", "--no-config", "-c", script], cwd=home, env={
            **self.box.env, "WORKON_HOME": str(home / "envs"), "PROJECT_HOME": str(home),
            "VIRTUALENVWRAPPER_HOOK_DIR": str(home / "hooks")})
        minor = harness.run([harness.default_python(), "-c",
                             "import sys; print('%d.%d' % sys.version_info[:2])"]).stdout.strip()
        env = home / "envs" / "proj"
        lines = [line for line in done.stdout.splitlines() if line]
        self.assertEqual(lines, [
            f"= {home}/envs/one", f"= {home}/envs/one/lib/python{minor}/site-packages", f"= {home}/proj",
            "predeactivate one", "postdeactivate ", "postactivate proj", f"= {env} {home}/proj", str(env),
            "predeactivate proj", "postdeactivate ", "= ", "gone", "1", "removed", "= one"], done.stderr)


if __name__ == "__main__":
    harness.main()
