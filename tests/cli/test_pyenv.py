#!/usr/bin/env python3
"""pyenv's rules: what selects a version, what a name means, which program runs, in venvfs's words and
in pyenv's. Real interpreters where there are some, in a PYENV_ROOT of our own."""
import json
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ORACLE = harness.SOURCE.parent / "shared" / "oracles" / "pyenv.sh"
SEMANTICS = 129  # tests of pyenv's suite about what a selection means
REAL_PYENV = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")


def setUpModule():
    global FRONT
    FRONT = pathlib.Path(harness.run([harness.PROGRAM, "pyenv", "front"]).stdout.strip())


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Case(unittest.TestCase):
    """A home with a PYENV_ROOT; self.root has its versions."""
    root_name = "py env [x]"

    def setUp(self):
        self.box = harness.Sandbox("pyenv")
        self.addCleanup(self.box.close)
        self.root = self.box.root / self.root_name
        (self.root / "versions").mkdir(parents=True)
        self.project = self.box.project("project")
        self.tools = self.box.root / "tools"
        self.tools.mkdir()
        self.box.env = {name: value for name, value in self.box.env.items()
                        if not name.startswith(("PYENV_", "_PYENV_"))}
        clean = [folder for folder in self.box.env["PATH"].split(":") if "pyenv" not in folder]
        self.box.env.update(PYENV_ROOT=str(self.root), PATH=":".join([str(self.tools), *clean]),
                            SHELL="/bin/sh")

    def version(self, name, *programs, text=None):
        """A made-up version whose programs say its name."""
        (self.root / "versions" / name).mkdir(parents=True, exist_ok=True)
        for program in programs:
            write_program(self.root / "versions" / name / "bin" / program,
                          text or f"#!/bin/sh\necho '{name}' \"$@\"\n")
        return self.root / "versions" / name

    def real_versions(self):
        """Real interpreters under the names of their versions, the oldest first."""
        found = {}
        for python in harness.interpreters().values():
            facts = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.base_prefix)"
            name, prefix = harness.run([python, "-c", facts]).stdout.split("\n")[:2]
            if not os.access(f"{prefix}/bin/python", os.X_OK):
                continue
            (self.root / "versions" / name).symlink_to(prefix)
            found[name] = prefix
        return sorted(found, key=lambda name: [int(part) for part in name.split(".")])

    def python(self, *words, **options):
        options.setdefault("cwd", self.project)
        return self.box.venvfs("python", *words, **options)

    def pyenv(self, command, *words, status=0, env=None, cwd=None):
        return harness.run([FRONT / f"pyenv-{command}", *words], status=status,
                           env={**self.box.env, **(env or {})}, cwd=cwd or self.project)

    def write_local(self, text, folder=None):
        (folder or self.project).joinpath(".python-version").write_text(text)


class Guide(Case):
    """What a guide for beginners does."""

    def test_versions_local_global_and_exec(self):
        names = self.real_versions()
        for name in ("9.1.2", "9.2.0")[len(names):]:
            self.version(name, "python")
            names.append(name)
        old, *_, new = names
        (self.project / "main.py").write_text("import sys; print('%d.%d.%d' % sys.version_info[:3])")
        runs = lambda **options: self.python("exec", "python", "main.py", **options).stdout.split()[0]
        listed = self.python("versions", "--bare").stdout.split()
        self.assertLessEqual({old, new}, set(listed))
        self.python("global", new)
        self.assertEqual((self.root / "version").read_text(), f"{new}\n")
        self.assertEqual(runs(), new)
        self.python("local", old)
        self.assertEqual((self.project / ".python-version").read_text(), f"{old}\n")
        self.assertEqual(runs(), old)
        self.assertEqual(self.python("local").stdout.strip(), old)
        self.assertEqual(self.python("global").stdout.strip(), new)
        self.assertEqual(runs(env={"PYENV_VERSION": new}), new)
        inner = self.project / "src" / "deep"
        inner.mkdir(parents=True)
        (inner / "main.py").write_text((self.project / "main.py").read_text())
        self.assertEqual(runs(cwd=inner), old)
        self.assertRegex(self.python("versions").stdout, rf"(?m)^\* {re.escape(old)} ")
        self.assertEqual(self.python("version").stdout,
                         f"{old} (set by {self.project}/.python-version)\n")
        self.python("local", "--unset")
        self.assertFalse((self.project / ".python-version").exists())
        self.assertEqual(runs(), new)

    def test_shell_selects_for_one_shell(self):
        self.version("3.1.4", "python")
        self.version("3.2.0", "python")
        (self.tools / "venvfs").symlink_to(harness.PROGRAM)
        script = ("venvfs python shell 3.1\nvenvfs python exec python\nvenvfs python shell 3.2.0\n"
                  "venvfs python exec python\nvenvfs python shell -\nvenvfs python version-name\n"
                  "venvfs python shell\nvenvfs python shell --unset\nvenvfs python version-name\n"
                  "venvfs python shell 3.9 2>&1 | head -n 1\n")
        shells = {"bash": ["--norc", "-c", 'eval "$(venvfs shell-init bash)"\n' + script],
                  "zsh": ["-f", "-c", 'eval "$(venvfs shell-init zsh)"\n' + script],
                  "fish": ["--no-config", "-c", "venvfs shell-init fish | source\n" + script]}
        for shell, words in shells.items():
            if not shutil.which(shell):
                continue
            with self.subTest(shell=shell):
                said = harness.run([shell, *words], env=self.box.env, cwd=self.project).stdout
                self.assertEqual(said.splitlines(),
                                 ["3.1.4", "3.2.0", "3.1.4", "3.1", "system",
                                  "venvfs: version `3.9' not installed"])

    def test_without_the_function_shell_says_what_is_missing(self):
        done = self.python("shell", "3.1", status=1)
        self.assertIn("shell-init", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_init_sets_up_shells(self):
        self.version("3.1.4", "python")
        script = "pyenv local 3.1.4\npython\npyenv shell system\npyenv version-name\n"
        env = {**self.box.env, "PATH": f"{FRONT}:{self.box.env['PATH']}"}
        shells = {"bash": ["--norc", "-c", 'eval "$(pyenv init - bash)"\n' + script],
                  "zsh": ["-f", "-c", 'eval "$(pyenv init - zsh)"\n' + script],
                  "dash": ["-c", 'eval "$(pyenv init - sh)"\n' + script],
                  "fish": ["--no-config", "-c", "pyenv init - fish | source\n" + script]}
        for shell, words in shells.items():
            if not shutil.which(shell):
                continue
            with self.subTest(shell=shell):
                said = harness.run([shell, *words], env=env, cwd=self.project)
                self.assertEqual((said.stdout, said.stderr), ("3.1.4\nsystem\n", ""))

    def test_init_puts_the_shims_first_once(self):
        shims = str(self.root / "shims")
        for before in (f"{shims}:/usr/bin:/bin", f"/usr/bin:{shims}:{shims}:/bin",
                       f"/usr/bin:/bin:{shims}", "/usr/bin:/bin"):
            text = harness.run([FRONT / "pyenv", "init", "-", "--no-rehash", "bash"],
                               env=self.box.env).stdout
            said = harness.run(["/bin/bash", "--norc", "-c", f'{text}\necho "$PATH"'],
                               env={**self.box.env, "PATH": before}).stdout
            self.assertEqual(said.strip(), f"{shims}:/usr/bin:/bin", before)


class Rules(Case):
    def test_what_comes_first(self):
        for name in ("3.1.0", "3.2.0", "3.3.0"):
            self.version(name)
        name_of = lambda **options: self.python("version-name", **options).stdout.strip()
        self.assertEqual(name_of(), "system")
        (self.root / "version").write_text("3.1.0\n")
        self.assertEqual(name_of(), "3.1.0")
        self.write_local("3.2.0\n")
        self.assertEqual(name_of(), "3.2.0")
        elsewhere = self.box.project("elsewhere")
        self.write_local("3.3\n", elsewhere)
        self.assertEqual(name_of(env={"PYENV_DIR": str(elsewhere)}), "3.3.0")
        self.assertEqual(name_of(env={"PYENV_DIR": "/"}), "3.2.0")  # no file there: the current one
        self.assertEqual(name_of(env={"PYENV_DIR": str(elsewhere), "PYENV_VERSION": "3.1"}), "3.1.0")
        self.assertEqual(self.python("version-origin").stdout, f"{self.project}/.python-version\n")
        self.assertEqual(self.python("version-origin", env={"PYENV_VERSION": "x"}).stdout,
                         "PYENV_VERSION environment variable\n")

    def test_several_versions_are_searched_in_their_order(self):
        self.version("3.1.0", "python", "python3.1")
        self.version("3.2.0", "python", "python3.2")
        self.python("local", "3.2", "3.1.0")
        self.assertEqual((self.project / ".python-version").read_text(), "3.2\n3.1.0\n")
        self.assertEqual(self.python("version-name").stdout, "3.2.0:3.1.0\n")
        self.assertEqual(self.python("exec", "python").stdout, "3.2.0\n")
        self.assertEqual(self.python("exec", "python3.1", "a b").stdout, "3.1.0 a b\n")
        self.assertEqual(self.python("prefix").stdout,
                         f"{self.root}/versions/3.2.0:{self.root}/versions/3.1.0\n")

    def test_a_missing_version_is_named_with_what_asks_and_how_to_get_it(self):
        self.version("3.1.0", "python")
        self.write_local("3.9.9\n3.1\n")
        done = self.python("version-name", status=1)
        self.assertEqual(done.stdout, "3.1.0\n")
        self.assertEqual(done.stderr.splitlines(),
                         [f"venvfs: version `3.9.9' is not installed (set by {self.project}/"
                          ".python-version)", "hint: venvfs python install 3.9.9"])
        self.assertEqual(self.python("exec", "python").stdout, "3.1.0\n")
        done = self.python("local", "3.8", status=1)
        self.assertIn("`3.8' not installed", done.stderr)
        self.assertEqual((self.project / ".python-version").read_text(), "3.9.9\n3.1\n")
        self.python("local", "--force", "3.8")
        self.assertEqual((self.project / ".python-version").read_text(), "3.8\n")

    def test_a_program_that_other_versions_have(self):
        self.version("3.1.0", "python")
        self.version("3.2.0", "pytest")
        self.python("local", "3.1.0")
        done = self.python("which", "pytest", status=127)
        self.assertIn("  3.2.0\n", done.stderr)
        self.assertEqual(self.python("whence", "pytest").stdout, "3.2.0\n")
        self.assertEqual(self.python("whence", "--path", "pytest").stdout,
                         f"{self.root}/versions/3.2.0/bin/pytest\n")
        self.python("whence", "nothing-has-this", status=1)
        write_program(self.tools / "only-there", "#!/bin/sh\necho system\n")
        self.assertEqual(self.python("which", "only-there").stdout, f"{self.tools}/only-there\n")
        self.python("which", "only-there", "--nosystem", status=127)

    def test_a_file_of_a_project_cannot_lead_out_of_the_versions(self):
        write_program(self.box.root / "evil" / "bin" / "python", "#!/bin/sh\necho evil\n")
        self.write_local(f"../../evil\n{self.box.root}/evil\n..\n")
        done = self.python("version-name")
        self.assertEqual(done.stdout, "system\n")
        self.assertEqual(done.stderr.count("invalid version"), 3)
        self.assertNotIn("evil\n", self.python("exec", "sh", "-c", "echo fine").stdout)

    def test_control_characters_of_a_file_do_not_reach_the_terminal(self):
        self.write_local("3\033[31m\n")
        done = self.python("version-name", status=1)
        self.assertNotIn("\033", done.stdout + done.stderr)

    def test_a_file_that_cannot_be_read_is_an_error(self):
        self.write_local("x" * 100000)
        self.assertIn(".python-version", self.python("version-name", status=1).stderr)

    def test_a_name_with_signs_of_a_shell_is_only_a_name(self):
        name = "we$(touch got)ird `x` \"y\" \\z"
        self.version(name, "python")
        for shell in ("bash", "fish"):
            if not shutil.which(shell):
                continue
            text = self.pyenv("sh-shell", name, env={"PYENV_SHELL": shell}).stdout
            show = "\nenv | grep ^PYENV_VERSION="
            said = harness.run([shell, "-c", text + show], env=self.box.env, cwd=self.project).stdout
            self.assertEqual(said.strip(), f"PYENV_VERSION={name}")
        self.assertFalse((self.project / "got").exists())

    def test_wrong_usage(self):
        for words in (["exec"], ["which"], ["whence"], ["latest"], ["versions", "--wrong"],
                      ["local", "--wrong"], ["global", "--wrong"], ["uninstall"], ["install"]):
            done = self.python(*words, status=2)
            self.assertTrue(done.stderr.startswith(f"Usage: venvfs python {words[0]}"), words)
            self.assertEqual(done.stdout, "")

    def test_json(self):
        self.version("3.1.0")
        self.write_local("3.1\n")
        facts = json.loads(self.python("versions", "--json").stdout)
        row = next(row for row in facts["versions"] if row["name"] == "3.1.0")
        self.assertEqual(row, {"name": "3.1.0", "kind": "pyenv", "selected": True,
                               "prefix": f"{self.root}/versions/3.1.0"})
        self.assertEqual(facts["origin"], f"{self.project}/.python-version")


class OneImplementation(Case):
    """What `exec` runs is what `create`, `mount` and `python find` take."""

    def test_a_project_s_file_means_the_same_everywhere(self):
        names = self.real_versions()
        if not names:
            self.skipTest("no interpreter here has a bin/python of its own")
        for word in [*names, *(name.rpartition(".")[0] for name in names), f"python-{names[0]}"]:
            with self.subTest(word=word):
                self.write_local(f"{word}\n")
                found = json.loads(self.python("find", "--json").stdout)["version"]
                ran = self.python("exec", "python", "-c",
                                  "import sys; print('%d.%d.%d' % sys.version_info[:3])").stdout
                self.assertEqual(found, ran.strip())

    def test_uv_s_installations_are_versions(self):
        python = harness.default_python()
        folder = self.box.root / "uv"
        env = {"UV_PYTHON_INSTALL_DIR": str(folder)}
        write_program(folder / "cpython-3.88.4-linux-x86_64-gnu" / "bin" / "python", "#!/bin/sh\necho uv\n")
        (folder / "cpython-3.88-linux-x86_64-gnu").symlink_to("cpython-3.88.4-linux-x86_64-gnu")
        write_program(folder / "cpython-3.89.0+freethreaded-linux-x86_64-gnu" / "bin" / "python", "x")
        write_program(folder / "pypy-3.10.1-linux-x86_64-gnu" / "bin" / "python", "x")
        self.version("3.88.2", "python")
        self.assertEqual(self.python("versions", "--bare", env=env).stdout.split(),
                         ["3.88.2", "3.88.4", "3.89.0t"])
        self.assertIn(f"  3.88.4 --> {folder}/cpython-3.88.4-linux-x86_64-gnu\n",
                      self.python("versions", env=env).stdout)
        self.python("local", "3.88.4", env=env)
        self.assertEqual(self.python("exec", "python", env=env).stdout, "uv\n")
        self.python("local", "3.88", env=env)  # pyenv's own come first
        self.assertEqual(self.python("exec", "python", env=env).stdout, "3.88.2\n")
        self.assertTrue(python)

    def test_an_environment_is_a_version(self):
        self.box.create("web", "--without-pip", env={"VENVFS_NO_DAEMON": "1"})
        self.assertIn(f"  web --> {self.box.hub}/web\n", self.python("versions").stdout)
        self.assertNotIn("web", self.python("versions", "--bare", "--skip-envs").stdout)
        self.python("local", "web")
        self.assertEqual(self.python("version-name").stdout, "web\n")
        self.assertEqual(self.python("prefix").stdout, f"{self.box.hub}/web\n")
        of_web = self.box.json("show", "web")["python"]
        self.assertEqual(json.loads(self.python("find", "--json").stdout)["version"], of_web)

    def test_exec_brings_an_environment_into_view(self):
        if harness.fuse_problem():
            self.skipTest(harness.fuse_problem())
        self.box.create("web", "--without-pip", env={"VENVFS_NO_DAEMON": "1"})
        self.python("local", "web")
        for run in (self.python, self.pyenv):
            self.box.venvfs("umount", "--all")
            said = run("exec", "python", "-c", "import sys; print(sys.prefix)").stdout
            self.assertEqual(said.strip(), f"{self.box.hub}/web")


class Shims(Case):
    def test_a_shim_runs_the_selected_version(self):
        self.version("3.1.0", "python", "fab")
        self.version("3.2.0", "python")
        self.pyenv("rehash")
        shim = self.root / "shims" / "python"
        self.assertEqual(sorted(os.listdir(shim.parent)), ["fab", "python"])
        for name in ("3.1.0", "3.2.0"):
            self.write_local(name)
            said = harness.run([shim, "a b"], env=self.box.env, cwd=self.project).stdout
            self.assertEqual(said, f"{name} a b\n")
        self.assertEqual(self.python("shims").stdout, f"{shim.parent}/fab\n{shim}\n")
        self.assertEqual(self.python("shims", "--short").stdout, "fab\npython\n")
        shutil.rmtree(self.root / "versions" / "3.1.0")
        self.python("rehash")
        self.assertEqual(os.listdir(shim.parent), ["python"])

    def test_a_shim_never_finds_itself(self):
        write_program(self.tools / "python", "#!/bin/sh\necho system\n")
        self.version("3.1.0", "python")
        self.pyenv("rehash")
        shims = self.root / "shims"
        linked = self.box.root / "elsewhere"
        linked.mkdir()
        (linked / "python").symlink_to(shims / "python")
        path = f"{linked}:{shims}:{self.box.env['PATH']}"
        said = harness.run([linked / "python"], env={**self.box.env, "PATH": path},
                           cwd=self.project, timeout=20).stdout
        self.assertEqual(said, "system\n")

    def test_pyenv_s_shims_stay_pyenv_s_unless_they_are_to_be_replaced(self):
        text = "#!/usr/bin/env bash\nprogram=\"${0##*/}\"\nexec \"/x/pyenv\" exec \"$program\" \"$@\"\n"
        self.version("3.1.0", "python", "fab")
        write_program(self.root / "shims" / "python", text)
        self.python("rehash")
        self.assertEqual((self.root / "shims" / "fab").read_text(), text)
        self.assertEqual((self.root / "shims" / "python").read_text(), text)
        self.python("rehash", "--replace")
        for name in ("fab", "python"):
            self.assertIn(str(FRONT), (self.root / "shims" / name).read_text())

    def test_what_pip_installs_has_a_shim(self):
        folder = self.version("3.1.0", "python")
        write_program(folder / "bin" / "pip", "#!/bin/sh\nfor last; do :; done\n"
                      f"cd '{folder}/bin' && printf '#!/bin/sh\\necho new\\n' >$last\n"
                      "chmod +x $last\nexit 7\n")
        self.write_local("3.1.0")
        self.pyenv("rehash")
        shims = self.root / "shims"
        done = harness.run([shims / "pip", "install", "brand-new"], env=self.box.env,
                           cwd=self.project, status=7)
        self.assertEqual(harness.run([shims / "brand-new"], env=self.box.env, cwd=self.project).stdout,
                         "new\n", done.stderr)

    def test_conda_s_own_tools_do_not_hide_the_system_s(self):
        folder = self.version("miniconda3-24.1", "python", "conda", "ls", "of-conda-alone")
        (folder / "conda-meta").mkdir()
        self.pyenv("rehash")
        self.assertEqual(sorted(os.listdir(self.root / "shims")), ["conda", "of-conda-alone", "python"])

    def test_somebody_else_s_rehash_is_waited_for(self):
        self.version("3.1.0", "python")
        (self.root / "shims").mkdir()
        lock = self.root / "shims" / ".pyenv-shim"
        lock.touch()
        done = self.pyenv("rehash", env={"PYENV_REHASH_TIMEOUT": "0"}, status=1)
        self.assertIn("couldn't acquire lock", done.stderr)
        self.assertTrue(lock.exists())
        self.assertFalse((self.root / "shims" / "python").exists())


class Installing(Case):
    def fake(self, path):
        """A program that writes down how it was called."""
        write_program(path, "#!/bin/sh\n{ echo \"$0\"; printf '%s\\n' \"$@\"; "
                      f"echo \"root $PYENV_ROOT\"; command -v pyenv-rehash; }} >{self.box.root}/called\n")

    def called(self):
        return (self.box.root / "called").read_text().splitlines()

    def without_uv(self):
        kept = [folder for folder in self.box.env["PATH"].split(":")
                if not os.path.exists(f"{folder}/uv")]
        self.box.env["PATH"] = ":".join(kept)

    def test_pyenv_s_own_installs(self):
        builder = self.root / "plugins" / "python-build" / "bin" / "pyenv-install"
        self.fake(builder)
        self.fake(self.tools / "uv")
        self.python("install", "-s", "3.1.4", "--keep")
        self.assertEqual(self.called(), [str(builder), "-s", "3.1.4", "--keep", f"root {self.root}",
                                         str(FRONT / "pyenv-rehash")])

    def test_uv_installs_where_pyenv_is_not(self):
        self.without_uv()
        self.box.env["PATH"] = f"{self.box.env['PATH']}:{self.box.root / 'uv-bin'}"
        self.fake(self.box.root / "uv-bin" / "uv")
        self.python("install", "-s", "-f", "3.12")
        self.assertEqual(self.called()[1:5], ["python", "install", "--reinstall", "3.12"])
        self.python("install", "--list")
        self.assertEqual(self.called()[1:4], ["python", "list", "--all-versions"])

    def test_without_both_it_says_how(self):
        self.without_uv()
        done = self.python("install", "3.12", status=1)
        self.assertIn("uv", done.stderr)
        self.assertIn("hint: install pyenv", done.stderr)

    def test_latest_of_what_can_be_installed(self):
        write_program(self.root / "plugins" / "python-build" / "bin" / "python-build",
                      "#!/bin/sh\nprintf '%s\\n' 3.9.9 3.10.1 3.10.12 3.10-dev 3.11.0rc1 pypy3.10-7.3.9 "
                      "pypy3.10-7.3.17\n")
        for prefix, newest in (("3", "3.10.12"), ("3.9", "3.9.9"), ("pypy3.10", "pypy3.10-7.3.17")):
            self.assertEqual(self.python("latest", "-k", prefix).stdout, f"{newest}\n")
        self.assertIn("no known versions", self.python("latest", "-k", "3.11", status=1).stderr)

    def test_uninstall(self):
        self.without_uv()
        self.version("3.1.4", "python")
        self.version("3.2.0", "python")
        self.pyenv("rehash")
        done = self.python("uninstall", "3.1.4", status=1)  # nobody there to ask
        self.assertIn("-f", done.stderr)
        self.assertIn("`3.1.4' is", self.python("uninstall", "-f", "3.1", status=1).stderr)
        self.python("uninstall", "-f", "3.1.4")
        self.assertFalse((self.root / "versions" / "3.1.4").exists())
        self.python("uninstall", "-f", "system", status=1)
        self.python("uninstall", "3.1.4", status=1)

    def test_what_environments_use_is_not_removed_unasked(self):
        self.box.env["VENVFS_NO_DAEMON"] = "1"
        prefix = harness.run([harness.default_python(), "-c", "import sys; print(sys.base_prefix)"])
        link = self.root / "versions" / "9.9.9"
        link.symlink_to(prefix.stdout.strip())
        self.box.create("uses-it", "--without-pip")
        done = self.python("uninstall", "9.9.9", status=1)
        self.assertIn("the environment uses-it uses ", done.stderr)
        self.assertTrue(link.is_symlink())
        self.without_uv()
        self.python("uninstall", "-f", "9.9.9")
        self.assertFalse(link.is_symlink())
        self.assertTrue(os.path.exists(harness.default_python()))  # only the link went

    def test_an_environment_is_removed_otherwise(self):
        self.box.env["VENVFS_NO_DAEMON"] = "1"
        self.box.create("web", "--without-pip")
        self.assertIn("venvfs remove web", self.python("uninstall", "-f", "web", status=1).stderr)


class Plugins(Case):
    def test_a_plugin_s_command_is_passed_on(self):
        write_program(self.root / "plugins" / "greet" / "bin" / "pyenv-greet",
                      "#!/bin/sh\necho \"$1\" \"$(pyenv-version-name)\" \"$PYENV_ROOT\"\n")
        self.version("3.1.0")
        self.write_local("3.1")
        said = harness.run([FRONT / "pyenv", "greet", "hello"], env=self.box.env, cwd=self.project)
        self.assertEqual(said.stdout, f"hello 3.1.0 {self.root}\n")

    def test_unknown_commands(self):
        said = harness.run([FRONT / "pyenv", "nonsense"], env=self.box.env, status=1)
        self.assertEqual(said.stderr, "pyenv: no such command `nonsense'\n")
        self.assertIn("did you mean python versions?", self.python("verions", status=2).stderr)


@unittest.skipUnless((REAL_PYENV / "libexec" / "pyenv-which").exists(), "no pyenv here")
class AsPyenvItself(Case):
    """Its own scripts and ours say the same, in roots made at random."""
    root_name = "pyenv"  # its scripts know of no other signs
    WORDS = ["3.1.0", "3.1.10", "3.1.9", "3.2.0rc1", "3.2.0", "3.2.1t", "3.3-dev", "2.7.18", "mini-4.5.6",
             "mini-4.10.1", ".hidden", "python-3.4.1"]
    ASKED = WORDS + ["3.1", "3.2", "3", "3.2t", "3.3", "2", "mini", "python-3.1", "python-3.4", "system",
                     "nothing", "..", "3.1.0/envs/web", "web"]
    COMMANDS = [["version-name"], ["version-name", "-f"], ["version"], ["version", "--bare"],
                ["version-origin"], ["version-file"], ["versions"], ["versions", "--bare"],
                ["versions", "--bare", "--skip-aliases"], ["versions", "--skip-envs"], ["prefix"],
                ["which", "python"], ["which", "fab"], ["which", "fab", "--nosystem"],
                ["which", "absent-1", "--skip-advice"], ["whence", "fab"], ["whence", "--path", "python"],
                ["local"], ["global"], ["root"], ["exec", "fab", "a b"], ["shims"]]

    def populate(self, chance):
        shutil.rmtree(self.root)
        self.root.mkdir()
        (self.project / ".python-version").unlink(missing_ok=True)
        there = chance.sample(self.WORDS, chance.randrange(1, len(self.WORDS)))
        for name in there:
            self.version(name, *chance.sample(["python", "fab", "python3"], chance.randrange(1, 4)))
        if chance.random() < 0.5:
            self.version(f"{there[0]}/envs/web", "python")
            (self.root / "versions" / "web").symlink_to(f"{there[0]}/envs/web")
        if chance.random() < 0.5:
            (self.root / "version").write_text("\n".join(chance.choices(self.ASKED, k=2)) + "\n")
        if chance.random() < 0.5:
            blank = chance.choice(["\n", "\n# 3.9\n\n", " rest\n", "\r\n"])
            self.write_local("".join(word + blank for word in chance.choices(self.ASKED, k=2)))
        env = {"PYENV_DIR": str(self.project)}
        if chance.random() < 0.4:
            asked = [word for word in self.ASKED if word != ".." and not word.startswith("python-")]
            env["PYENV_VERSION"] = ":".join(chance.choices(asked, k=chance.randrange(1, 3)))
        return env

    def answer(self, programs, words, env):
        path = f"{programs}:/usr/local/bin:/usr/bin:/bin"
        done = harness.run([programs / f"pyenv-{words[0]}", *words[1:]], status=None, cwd=self.project,
                           env={**self.box.env, **env, "PATH": path})
        return done.returncode, done.stdout, done.stderr

    @staticmethod
    def words_of(said):
        """pyenv repeats lines, and takes the t off 3.2t where that is missing."""
        return set(re.sub(r"(\dt?)t'", r"\1'", said).split())

    def test_the_same_answers(self):
        chance = random.Random(20)
        compared = 0
        for _ in range(8):
            env = self.populate(chance)
            there = sorted(os.listdir(self.root / "versions"))
            for words in self.COMMANDS + [["latest", chance.choice(self.ASKED).replace("..", "3.1")],
                                          ["prefix", chance.choice(self.WORDS).rstrip("t")]]:
                theirs = self.answer(REAL_PYENV / "libexec", words, env)
                ours = self.answer(FRONT, words, env)
                with self.subTest(words=words, env=env, there=there):
                    self.assertEqual(ours[:2], theirs[:2], f"{ours[2]}\n{theirs[2]}")
                    if "--nosystem" not in words:  # its own names a version ""
                        self.assertEqual(self.words_of(ours[2]), self.words_of(theirs[2]))
                compared += 1
        self.assertGreater(compared, 150)


class Oracle(unittest.TestCase):
    def test_pyenv_s_own_suite(self):
        if not ORACLE.exists():
            self.skipTest(f"{ORACLE} is not here")
        if not shutil.which("bats") or not (REAL_PYENV / "test" / "test_helper.bash").exists():
            self.skipTest("no bats, or no tests of pyenv")
        with tempfile.TemporaryDirectory(prefix="vf-oracle-") as temporary:
            done = harness.run(["bash", ORACLE, "--semantics"], status=None,
                               env={**os.environ, "PYENV_SUBST_DIR": str(FRONT), "TMPDIR": temporary,
                                    "PYENV_TESTS": str(REAL_PYENV / "test")})
        self.assertEqual(done.stdout.strip().splitlines()[-1], f"{SEMANTICS} passed, 0 failed",
                         done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    harness.main(needs_fuse=False)
