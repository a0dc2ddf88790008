#!/usr/bin/env python3
"""Environments that nobody named (a script's inline metadata, tool run), and shells in environments."""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("throwaway")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    for version in ("1.0", "2.0"):
        harness.make_wheel(WHEELS, "thing", version, {
            "thing/__init__.py": f"import sys\nv = {version!r}\n"
                                 "def run():\n    print(v, sys.argv[1:], sys.prefix)\n    return 3\n"},
            entry_points="[console_scripts]\nthing = thing:run\nthing-too = thing:run\n")
    harness.make_wheel(WHEELS, "other", "1.0", {"other.py": "o = 1\n"})
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS),
                   PATH=f"{pathlib.Path(harness.default_python()).parent}:{os.environ['PATH']}")


def block(*lines):
    return "".join(f"# {line}".rstrip() + "\n" for line in ("/// script", *lines, "///"))


class Case(unittest.TestCase):
    def tearDown(self):
        names = [name for name in BOX.venvfs("list", "--all", "--names").stdout.split()]
        if names:
            BOX.venvfs("remove", *names)

    def script(self, head, body, name="script.py"):
        folder = BOX.root / self.id().rpartition(".")[2]
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(head + body)
        return path

    def throwaways(self):
        rows = BOX.json("list", "--all")["environments"]
        return {row["name"] for row in rows if row["name"].startswith("throwaway-")}


class Scripts(Case):
    def test_a_script_gets_what_its_block_asks_for(self):
        path = self.script(block('dependencies = ["thing==1.0"]'),
                           "import sys, thing; print(thing.v, sys.argv[1:])\n")
        done = BOX.venvfs("run", path, "-a", "--refresh")
        self.assertEqual(done.stdout, "1.0 ['-a', '--refresh']\n")

    def test_the_exit_code_is_the_scripts(self):
        path = self.script(block(), "raise SystemExit(7)\n")
        BOX.venvfs("run", path, status=7)

    def test_a_signal_reaches_the_script(self):
        path = self.script(block(), "import signal, sys, time\n"
                           "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
                           "print('ready', flush=True)\ntime.sleep(60)\n")
        child = subprocess.Popen([harness.PROGRAM, "run", path], env=BOX.env, cwd=BOX.home,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.kill)
        self.assertEqual(child.stdout.readline(), "ready\n")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(30), 9)

    def test_a_second_run_starts_no_python_but_the_scripts(self):
        path = self.script(block('dependencies = ["thing"]'), "import thing; print(thing.v)\n")
        self.assertEqual(BOX.venvfs("run", path).stdout, "2.0\n")
        if not shutil.which("strace"):
            self.skipTest("strace is not there")
        trace = BOX.root / "trace"
        harness.run(["strace", "-f", "-o", trace, "-e", "trace=execve", harness.PROGRAM, "run", path],
                    env=BOX.env, cwd=BOX.home)
        started = [line for line in trace.read_text().splitlines() if line.endswith(" = 0")]
        self.assertEqual(len(started), 2, started)  # venvfs, and what it becomes

    def test_scripts_that_resolve_to_the_same_share_an_environment(self):
        one = self.script(block('dependencies = ["thing==2.0"]'), "", "one.py")
        two = self.script(block('dependencies = ["thing>=2"]'), "", "two.py")
        BOX.venvfs("run", one)
        BOX.venvfs("run", two)
        self.assertEqual(len(self.throwaways()), 1)

    def test_what_was_resolved_stays_until_refresh(self):
        path = self.script(block('dependencies = ["other"]'), "import other; print(other.o)\n")
        self.assertEqual(BOX.venvfs("run", path).stdout, "1\n")
        newer = harness.make_wheel(WHEELS, "other", "2.0", {"other.py": "o = 2\n"})
        self.addCleanup(pathlib.Path(newer).unlink)
        self.assertEqual(BOX.venvfs("run", path).stdout, "1\n")
        self.assertEqual(BOX.venvfs("run", "--refresh", path).stdout, "2\n")
        self.assertEqual(BOX.venvfs("run", path).stdout, "2\n")

    def test_a_script_on_standard_input(self):
        done = BOX.venvfs("run", "-", "x", text=block('dependencies = ["thing==1.0"]') +
                          "import sys, thing; print(thing.v, sys.argv)\n")
        self.assertEqual(done.stdout, "1.0 ['-', 'x']\n")

    def test_requires_python_chooses_an_interpreter(self):
        others = {v: p for v, p in harness.interpreters().items()
                  if tuple(map(int, v.split("."))) > tuple(sys.version_info[:2]) or v == "3.13"}
        version = run_version(harness.default_python())
        if not others or version == "3.13":
            self.skipTest("there is no newer Python")
        path = self.script(block('requires-python = ">%s.99"' % version),
                           "import sys; print('%d.%d' % sys.version_info[:2])\n")
        done = BOX.venvfs("run", path, env={"HOME": os.environ["HOME"]})
        self.assertNotEqual(done.stdout.strip(), version)
        self.assertIn("requires Python", done.stderr)

    def test_no_python_fits(self):
        path = self.script(block('requires-python = ">=4"'), "")
        self.assertIn("requires Python >=4", BOX.venvfs("run", path, status=1).stderr)
        said = BOX.venvfs("run", "-p", harness.default_python(), path, status=1).stderr
        self.assertIn("-p ", said)

    def test_keys_that_are_not_honoured_are_told(self):
        path = self.script(block("[tool.uv]", 'exclude-newer = "2024-01-01T00:00:00Z"'), "")
        self.assertIn("tool.uv.exclude-newer is not honoured", BOX.venvfs("run", path).stderr)

    def test_a_block_without_end_is_told_and_two_are_refused(self):
        open_one = self.script("# /// script\n# dependencies = []\n\n", "print('ran')\n", "open.py")
        BOX.create("plain", "--without-pip")
        done = BOX.venvfs("run", "-n", "plain", open_one)
        self.assertIn("has no end", done.stderr)
        self.assertEqual(done.stdout, "ran\n")
        two = self.script(block() + "\n" + block(), "", "two.py")
        self.assertIn("two blocks", BOX.venvfs("run", two, status=1).stderr)

    def test_bad_metadata_names_the_script(self):
        toml = self.script(block("dependencies = ["), "", "toml.py")
        self.assertIn("toml.py: its inline metadata is not valid TOML",
                      BOX.venvfs("run", toml, status=1).stderr)
        word = self.script(block('dependencies = ["-r /etc/passwd"]'), "", "word.py")
        self.assertIn("is no requirement", BOX.venvfs("run", word, status=1).stderr)

    def test_an_environment_that_is_named_counts(self):
        BOX.create("named", "--without-pip")
        path = self.script(block('dependencies = ["thing"]'), "import sys; print(sys.prefix)\n")
        done = BOX.venvfs("run", "-n", "named", path)
        self.assertEqual(done.stdout.strip(), str(BOX.hub / "named"))
        self.assertIn("does not count", done.stderr)

    def test_without_metadata_the_environment_is_the_usual_one(self):
        path = self.script("", "import sys; print(sys.prefix)\n")
        self.assertIn("no environment is active", BOX.venvfs("run", path, status=1).stderr)
        BOX.create("usual", "--without-pip")
        done = BOX.venvfs("run", path, env={"VIRTUAL_ENV": str(BOX.hub / "usual")})
        self.assertEqual(done.stdout.strip(), str(BOX.hub / "usual"))
        self.assertIn("--refresh", BOX.venvfs("run", "-n", "usual", "--refresh", path, status=2).stderr)

    def test_with_adds_packages(self):
        path = self.script(block('dependencies = ["thing"]'), "import thing, other; print(other.o)\n")
        self.assertEqual(BOX.venvfs("run", "--with", "other==1.0", path).stdout, "1\n")
        done = BOX.venvfs("run", "--with", "other==1.0", "python", "-c", "import other; print(other.o)")
        self.assertEqual(done.stdout, "1\n")


def run_version(python):
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return harness.run([python, "-c", program]).stdout.strip()


class Tools(Case):
    def test_a_program_of_a_package_runs(self):
        done = BOX.venvfs("tool", "run", "thing", "-x", "--with", status=3)
        self.assertTrue(done.stdout.startswith("2.0 ['-x', '--with'] "), done.stdout)

    def test_a_version_from_and_with(self):
        self.assertTrue(BOX.venvfs("tool", "run", "thing@1.0", status=3).stdout.startswith("1.0 "))
        self.assertTrue(BOX.venvfs("tool", "run", "--from", "thing==1.0", "thing-too",
                                   status=3).stdout.startswith("1.0 "))
        done = BOX.venvfs("tool", "run", "--with", "other==1.0", "python", "-c", "import other; print(other.o)")
        self.assertEqual(done.stdout, "1\n")

    def test_the_short_name(self):
        link = BOX.root / "venvfsx"
        link.symlink_to(harness.PROGRAM)
        self.addCleanup(link.unlink)
        self.assertTrue(harness.run([link, "thing"], env=BOX.env, cwd=BOX.home,
                                    status=3).stdout.startswith("2.0 "))

    def test_the_active_environment_stays_active(self):
        done = BOX.venvfs("tool", "run", "python", "-c",
                          "import os; print(os.environ['VIRTUAL_ENV'])", env={"VIRTUAL_ENV": "/some/env"})
        self.assertEqual(done.stdout, "/some/env\n")

    def test_what_is_missing_is_said(self):
        said = BOX.venvfs("tool", "run", "--from", "thing", "thong", status=1).stderr
        self.assertIn("thing has no program thong; it and what it needs have thing, thing-too", said)
        self.assertIn("nosuch", BOX.venvfs("tool", "run", "nosuch", status=1).stderr)
        for word in ("./folder", "git+https://host/x"):
            self.assertIn("which program", BOX.venvfs("tool", "run", word, status=2).stderr)
        self.assertIn("does not name a package",
                      BOX.venvfs("tool", "run", "--from", "--pre", "x", status=2).stderr)

    def test_a_folder_is_asked_each_time(self):
        wheel = harness.make_wheel(WHEELS, "thing", "3.0", {"thing.py": "def run(): print(3)\n"},
                                   entry_points="[console_scripts]\nthing = thing:run\n")
        moved = BOX.root / pathlib.Path(wheel).name
        shutil.move(wheel, moved)
        self.assertEqual(BOX.venvfs("tool", "run", "--from", f"./{moved.name}", "thing",
                                    cwd=BOX.root).stdout, "3\n")
        self.assertEqual([p.name for p in (BOX.venvfs_home / "throwaway").iterdir() if p.is_symlink()
                          and (BOX.venvfs_home / "envs" / os.readlink(p)).exists()], [])


class Bounds(Case):
    def make(self, *words):
        BOX.venvfs("tool", "run", *words, status=None)

    def age(self, name, seconds):
        then = time.time() - seconds
        os.utime(BOX.venvfs_home / "envs" / name / "used", (then, then))

    def test_list_leaves_them_out(self):
        BOX.create("mine", "--without-pip")
        self.make("thing")
        names = {row["name"] for row in BOX.json("list")["environments"]}
        self.assertEqual(names, {"mine"})
        self.assertEqual(BOX.venvfs("list", "--names").stdout, "mine\n")
        self.assertEqual(len(self.throwaways()), 1)

    def test_one_that_was_long_unused_goes(self):
        self.make("thing@1.0")
        (old,) = self.throwaways()
        self.age(old, 31 * 86400)
        self.make("thing@2.0")
        self.assertNotIn(old, self.throwaways())
        self.assertEqual(len(self.throwaways()), 1)
        links = [p for p in (BOX.venvfs_home / "throwaway").iterdir() if p.is_symlink()]
        self.assertNotIn(old, {os.readlink(p) for p in links})
        self.assertTrue(BOX.venvfs("tool", "run", "thing@1.0", status=3).stdout.startswith("1.0 "))

    def test_use_keeps_one(self):
        self.make("thing@1.0")
        (old,) = self.throwaways()
        self.age(old, 31 * 86400)
        self.make("thing@1.0")
        self.make("thing@2.0")
        self.assertIn(old, self.throwaways())

    def test_of_too_many_the_longest_unused_goes(self):
        made = []
        for words in (["thing@1.0"], ["thing@2.0"], ["--with", "other", "thing@1.0"]):
            before = self.throwaways()
            self.make(*words)
            made += self.throwaways() - before
        for name, hours in zip(made, (2, 3, 1)):
            self.age(name, hours * 3600)
        BOX.venvfs("tool", "run", "--with", "other", "thing@2.0", status=3,
                   env={"VENVFS_THROWAWAY_KEEP": "3"})
        self.assertEqual(self.throwaways() & set(made), {made[0], made[2]})

    def test_one_in_use_stays(self):
        script = BOX.root / "sleeper.py"
        script.write_text(block('dependencies = ["thing==1.0"]') +
                          "import sys\nprint('ready', flush=True)\nsys.stdin.read()\n")
        child = subprocess.Popen([harness.PROGRAM, "run", script], env=BOX.env, cwd=BOX.home, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.assertEqual(child.stdout.readline(), "ready\n")
            (used,) = self.throwaways()
            self.age(used, 90 * 86400)
            self.make("thing@2.0")
            self.assertIn(used, self.throwaways())
        finally:
            child.communicate(timeout=30)

    def test_a_renamed_one_is_kept(self):
        self.make("thing@1.0")
        (name,) = self.throwaways()
        BOX.venvfs("rename", name, "kept")
        self.assertEqual(BOX.venvfs("list", "--names").stdout, "kept\n")
        self.assertTrue(BOX.venvfs("tool", "run", "thing@1.0", status=3).stdout.startswith("1.0 "))
        self.assertEqual(len(self.throwaways()), 1)

    def test_one_that_was_removed_is_made_again(self):
        self.make("thing@1.0")
        BOX.venvfs("remove", *self.throwaways())
        self.assertTrue(BOX.venvfs("tool", "run", "thing@1.0", status=3).stdout.startswith("1.0 "))
        (name,) = self.throwaways()
        shutil.rmtree(BOX.hub / name)
        self.assertTrue(BOX.venvfs("tool", "run", "thing@1.0", status=3).stdout.startswith("1.0 "))


class Terminal:
    """A program on a terminal of its own; what it showed is in .text."""

    def __init__(self, command, env):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(str(BOX.home))
            os.execvpe(command[0], command, env)

    def expect(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise harness.Failed(f"{pattern!r} was not shown:\n{self.text}")
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                break
        if not re.search(pattern, self.text):
            raise harness.Failed(f"{pattern!r} was not shown:\n{self.text}")

    def type(self, line):
        os.write(self.fd, line.encode() + b"\r")

    def end(self, seconds=20):
        """Its exit code; one that goes on is killed."""
        limit = time.monotonic() + seconds
        status = None
        while time.monotonic() < limit:
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status) if status is not None else None


SHOW = 'sh -c \'echo "<$VIRTUAL_ENV|$PATH|$MARK>"\''
FILES = {  # what the user's own start file is, and what it holds
    "bash": (".bashrc", "export MARK=own; PS1='mine> '; PATH=/own:$PATH\n"),
    "zsh": (".zshrc", "export MARK=own; PS1='mine> '; path=(/own $path)\n"),
    "fish": (".config/fish/config.fish", "set -gx MARK own; set -gx PATH /own $PATH\n"
             "function fish_prompt; echo -n 'mine> '; end\n"),
    "dash": (".dashrc", "export MARK=own; PS1='mine> '; PATH=/own:$PATH\n"),
    "mksh": (".mkshrc", "export MARK=own; PS1='mine> '; PATH=/own:$PATH\n"),
    "tcsh": (".tcshrc", "setenv MARK own; set prompt = 'mine> '; setenv PATH /own:$PATH\n"),
}


class Shells(Case):
    def setUp(self):
        self.env = BOX.create("shelled", "--without-pip")

    def shell(self, name, **variables):
        program = shutil.which(name)
        if not program:
            self.skipTest(f"{name} is not there")
        file, text = FILES[name]
        path = BOX.home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.addCleanup(path.unlink)
        env = {**BOX.env, "SHELL": program, "TERM": "dumb", **variables}
        if name == "dash":
            env["ENV"] = "$HOME/.dashrc"
        return Terminal([str(harness.PROGRAM), "shell", "-n", "shelled"], env)

    def check(self, name):
        terminal = self.shell(name)
        try:
            terminal.expect(r"\(shelled\) mine> ")
            terminal.type(SHOW)
            terminal.expect(r"<%s\|%s/bin:/own:[^|]*\|own>" % ((re.escape(str(self.env)),) * 2))
            terminal.type("deactivate")
            terminal.type(SHOW)
            terminal.expect(r"<\|/own:[^|]*\|own>")
            terminal.type("exit 5")
        finally:
            code = terminal.end()
        self.assertEqual(code, 5, terminal.text)

    def test_bash(self):
        self.check("bash")

    def test_zsh(self):
        self.check("zsh")

    def test_fish(self):
        self.check("fish")

    def test_dash(self):
        self.check("dash")

    def test_mksh(self):
        self.check("mksh")

    def test_tcsh(self):
        self.check("tcsh")

    def test_nothing_of_the_start_stays_behind(self):
        for name in ("bash", "zsh", "dash", "tcsh"):
            if not shutil.which(name):
                continue
            terminal = self.shell(name, ZDOTDIR=str(BOX.home))
            try:
                terminal.expect("mine> ")
                terminal.type("env | grep -c '^VENVFS_SHELL_' ; echo \"home=$HOME/\" 'zdot='$ZDOTDIR/")
                terminal.expect(r"(?m)^0\r?$")
                terminal.expect("home=%s/ zdot=%s/" % ((re.escape(str(BOX.home)),) * 2))
                terminal.type("exit")
            finally:
                terminal.end()

    def test_without_a_terminal_it_reads_commands(self):
        done = BOX.venvfs("shell", "-n", "shelled", text='echo "$VIRTUAL_ENV"\nexit 4\n', status=4,
                          env={"SHELL": "/bin/sh"})
        self.assertEqual(done.stdout.strip(), str(self.env))

    def test_nested_use_is_told(self):
        again = BOX.venvfs("shell", "-n", "shelled", text="echo no\n", env={
            "SHELL": "/bin/sh", "VENVFS_SHELL": "shelled", "VIRTUAL_ENV": str(self.env)})
        self.assertIn("already", again.stderr)
        self.assertEqual(again.stdout, "")
        other = BOX.venvfs("shell", "-n", "shelled", text='echo "$PATH"\n', env={
            "SHELL": "/bin/sh", "VIRTUAL_ENV": "/other", "PATH": "/other/bin:" + BOX.env["PATH"]})
        self.assertIn("/other was active", other.stderr)
        self.assertEqual(other.stdout.strip(), f"{self.env}/bin:{BOX.env['PATH']}")


if __name__ == "__main__":
    harness.main(needs_fuse=True)
