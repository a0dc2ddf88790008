#!/usr/bin/env python3
"""venvfs venv, virtualenv and pyvenv: the words of the tools they are named after, and what these do
with a folder, served by environments of venvfs."""
import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("fronts")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    harness.make_wheel(WHEELS, "thing", "1.0", {"thing.py": "", "thing-1.0.data/data/share/thing/x": "x"})
    for name, version in (("pip", "98.0"), ("pip", "99.0"), ("setuptools", "99.0"), ("wheel", "7.0")):
        harness.make_wheel(WHEELS, name, version, {f"{name}/__init__.py": f"v = {version!r}\n"})
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS))


class Front(unittest.TestCase):
    """Each test has a current folder of its own."""

    def setUp(self):
        self.cwd = BOX.root / self.id().split(".")[-1].replace("test_", "")[:40]
        self.cwd.mkdir()

    def venv(self, *words, **options):
        return BOX.venvfs("venv", *words, cwd=self.cwd, **options)

    def virtualenv(self, *words, python=None, **options):
        words = ("-p", python or harness.default_python(), *words) if python != "" else words
        return BOX.venvfs("virtualenv", *words, cwd=self.cwd, **options)

    def python(self, name, program):
        return harness.run([self.cwd / name / "bin" / "python", "-c", program], env=BOX.env).stdout.strip()

    def config(self, name):
        lines = (self.cwd / name / "pyvenv.cfg").read_text().splitlines()
        return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}

    def packages(self, name):
        rows = BOX.json("show", f"./{name}", cwd=self.cwd)["packages"]
        return {row["name"]: row["version"] for row in rows}

    def install(self, name, *words):
        harness.run([self.cwd / name / "bin" / "pip", "install", "-q", *words], env=BOX.env)

    def name_of(self, name):
        return BOX.json("show", f"./{name}", cwd=self.cwd)["name"]


class Folders(Front):
    def test_a_bare_word_is_a_link_into_the_hub(self):
        self.venv("warm")
        done = self.venv("env")
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        self.assertEqual(os.readlink(self.cwd / "env"), str(BOX.hub / self.name_of("env")))
        self.assertEqual(self.python("env", "import sys; print(sys.prefix)"), str(self.cwd / "env"))

    def test_folder_makes_a_folder_with_links(self):
        self.venv("--folder", "env")
        self.assertTrue((self.cwd / "env").is_dir() and not (self.cwd / "env").is_symlink())
        self.assertEqual(self.python("env", "import sys; print(sys.prefix)"), str(self.cwd / "env"))
        self.assertEqual(os.readlink(self.cwd / "env" / "bin"),
                         str(BOX.hub / self.name_of("env") / "bin"))
        self.assertEqual(os.readlink(self.cwd / "env" / "lib64"), "lib")
        self.assertEqual((self.cwd / "env" / ".gitignore").read_text(), "# Created by venvfs\n*\n")

    def test_pip_upgrades_and_uninstalls_what_is_in_it(self):
        for make in (self.venv, self.virtualenv):
            make("env")
            self.install("env", "thing==1.0")
            pip = self.cwd / "env" / "bin" / "pip"
            done = harness.run([pip, "install", "--force-reinstall", "thing"], env=BOX.env)
            self.assertIn("Successfully uninstalled thing-1.0", done.stdout)
            done = harness.run([pip, "uninstall", "-y", "thing"], env=BOX.env)
            self.assertIn("Successfully uninstalled thing-1.0", done.stdout)
            self.assertNotIn("thing", harness.run([pip, "freeze"], env=BOX.env).stdout)
            BOX.venvfs("remove", "./env", cwd=self.cwd)

    def test_several_folders_at_once(self):
        self.venv("a", "b/c", "--without-pip")
        for name in ("a", "b/c"):
            self.assertEqual(self.packages(name), {})

    def test_a_name_in_the_hub_is_an_environment_of_that_name(self):
        BOX.venvfs("up")
        BOX.venvfs("virtualenv", "-p", harness.default_python(), "inhub", cwd=BOX.hub)
        self.assertEqual(BOX.json("show", "inhub")["address"], str(BOX.hub / "inhub"))
        link = self.cwd / "way"
        link.symlink_to(BOX.hub)
        self.venv("way/other")
        self.assertEqual(BOX.json("show", "other")["address"], str(BOX.hub / "other"))
        self.assertFalse((BOX.hub / "other").is_symlink())
        self.assertIn("lies in environment", self.venv("way/other/lib/x", status=1).stderr)

    def test_an_empty_folder_of_the_hub_becomes_one(self):
        BOX.venvfs("up")
        (BOX.hub / "bymkdir").mkdir()
        BOX.venvfs("venv", "bymkdir", cwd=BOX.hub)
        self.assertTrue((BOX.hub / "bymkdir" / "bin" / "pip").exists())

    def test_an_empty_folder_becomes_a_link(self):
        (self.cwd / "empty").mkdir()
        self.venv("empty")
        self.assertTrue((self.cwd / "empty").is_symlink())
        self.assertTrue((self.cwd / "empty" / "bin" / "python").exists())

    def test_files_that_lie_there_stay(self):
        (self.cwd / "env" / "sub").mkdir(parents=True)
        (self.cwd / "env" / "sub" / "file").write_text("mine")
        self.venv("env")
        self.assertEqual((self.cwd / "env" / "sub" / "file").read_text(), "mine")
        BOX.venvfs("remove", "./env", cwd=self.cwd)
        self.assertEqual(sorted(os.listdir(self.cwd / "env")), ["sub"])

    def test_the_current_folder(self):
        (self.cwd / "here").mkdir()
        BOX.venvfs("venv", ".", cwd=self.cwd / "here")
        self.assertEqual(self.python("here", "import sys; print(sys.prefix)"), str(self.cwd / "here"))
        harness.run([harness.default_python(), "-m", "venv", "--without-pip", self.cwd / "there"])
        self.assertIn("folder you are in",
                      BOX.venvfs("venv", "--clear", ".", cwd=self.cwd / "there", status=1).stderr)

    def test_what_is_in_the_way_is_named_and_nothing_made(self):
        (self.cwd / "env" / "bin").mkdir(parents=True)
        before = BOX.venvfs("list", "--names").stdout
        done = self.venv("env", status=1)
        self.assertIn(f"{self.cwd}/env/bin is in the way", done.stderr)
        self.assertEqual(os.listdir(self.cwd / "env"), ["bin"])
        self.assertEqual(BOX.venvfs("list", "--names").stdout, before)

    def test_a_file_and_a_link_to_elsewhere_are_refused(self):
        (self.cwd / "file").touch()
        self.assertIn("is no folder", self.venv("file", status=1).stderr)
        (self.cwd / "link").symlink_to(BOX.home)
        self.assertIn("link to something else", self.venv("link", status=1).stderr)

    def test_a_path_that_PATH_cannot_name_is_refused(self):
        self.assertIn('PATH ends a name at ":"', self.venv("a:b", status=1).stderr)
        self.assertEqual(os.listdir(self.cwd), [])

    def test_another_tools_environment_is_replaced_by_clear_alone(self):
        harness.run([harness.default_python(), "-m", "venv", "--without-pip", self.cwd / "env"])
        self.assertIn("another tool made", self.venv("env", status=1).stderr)
        self.assertFalse((self.cwd / "env" / "bin").is_symlink())
        self.venv("--clear", "env")
        self.assertTrue((self.cwd / "env").is_symlink())

    def test_clear_removes_no_folder_that_is_no_environment(self):
        (self.cwd / "work").mkdir()
        (self.cwd / "work" / "thesis").write_text("x")
        self.assertIn("no environment", self.venv("--clear", "work", status=1).stderr)
        self.assertEqual(os.listdir(self.cwd / "work"), ["thesis"])

    def test_a_folder_and_its_dot_venv_are_two_environments(self):
        self.venv(".venv")
        self.venv(".")
        self.assertNotEqual(self.name_of(".venv"), self.name_of("../" + self.cwd.name))

    def test_without_scm_ignore_files(self):
        self.venv("--folder", "--without-scm-ignore-files", "env")
        self.assertFalse((self.cwd / "env" / ".gitignore").exists())


class Again(Front):
    def test_packages_stay_and_options_are_the_new_ones(self):
        self.venv("env", "--prompt", "one")
        self.install("env", "thing")
        self.venv("env", "--system-site-packages")
        self.assertEqual(self.packages("env")["thing"], "1.0")
        config = self.config("env")
        self.assertEqual(config["include-system-site-packages"], "true")
        self.assertNotIn("prompt", config)

    def test_clear_empties_it_and_a_rollback_brings_it_back(self):
        self.venv("env")
        self.install("env", "thing")
        (self.cwd / "env" / "bin" / "mine").write_text("x")
        self.venv("--clear", "env")
        self.assertNotIn("thing", self.packages("env"))
        self.assertFalse((self.cwd / "env" / "bin" / "mine").exists())
        BOX.venvfs("rollback", "-n", self.name_of("env"), "2")
        self.assertEqual(self.packages("env")["thing"], "1.0")
        self.assertEqual(self.python("env", "import thing; print(1)"), "1")

    def test_a_removed_folder_is_made_anew_and_empty(self):
        for link in ((), ("--folder",)):
            self.venv("env", *link)
            self.install("env", "thing")
            harness.run(["rm", "-rf", self.cwd / "env"])
            self.venv("env", *link)
            self.assertNotIn("thing", self.packages("env"))
            self.assertEqual(self.python("env", "import pip; print(1)"), "1")
            BOX.venvfs("remove", "./env", cwd=self.cwd)

    def test_a_folder_whose_content_was_removed_is_made_anew(self):
        for link in ((), ("--folder",)):
            self.venv("env", *link)
            self.install("env", "thing")
            (self.cwd / "env" / "own").write_text("x")
            for entry in (self.cwd / "env").iterdir():
                if entry.name != "own":
                    harness.run(["rm", "-rf", entry])
            self.venv("env", *link)
            self.assertNotIn("thing", self.packages("env"))
            self.assertEqual(self.python("env", "import pip; print(1)"), "1")
            harness.run(["rm", "-rf", self.cwd / "env"])

    def test_rmtree_removes_a_linked_folder_and_not_the_environment_behind_it(self):
        self.venv("--folder", "env")
        name = self.name_of("env")
        shutil.rmtree(self.cwd / "env")
        self.assertTrue((BOX.hub / name / "bin" / "python").exists())

    def test_another_python_takes_packages_of_its_own(self):
        both = [path for _, path in sorted(harness.interpreters().items())][:2]
        if len(both) < 2:
            self.skipTest("only one Python here")
        self.venv("--folder", "-p", both[0], "env")
        self.venv("-p", both[1], "env")
        self.assertEqual(self.python("env", "import sys; print('%d.%d' % sys.version_info[:2])"),
                         pathlib.Path(both[1]).name.replace("python", ""))
        self.assertEqual([entry.name for entry in (self.cwd / "env" / "lib").iterdir()],
                         [pathlib.Path(both[1]).name])

    def test_upgrade_needs_one_and_keeps_all(self):
        self.assertIn("no environment to upgrade", self.venv("--upgrade", "env", status=1).stderr)
        self.venv("env", "--prompt", "one", "--without-pip")
        self.venv("env", "--upgrade")
        self.assertEqual(self.config("env")["prompt"], "'one'")
        self.assertEqual(self.packages("env"), {})
        self.venv("--upgrade", "--clear", "env", status=2)

    def test_rename_and_remove_follow_the_folder(self):
        self.venv("--folder", "env")
        BOX.venvfs("rename", "./env", "renamed", cwd=self.cwd)
        self.assertEqual(os.readlink(self.cwd / "env" / "bin"), str(BOX.hub / "renamed" / "bin"))
        self.assertEqual(self.python("env", "import pip; print(1)"), "1")
        BOX.venvfs("remove", "./env", cwd=self.cwd)
        self.assertFalse(os.path.lexists(self.cwd / "env"))

    def test_data_files_go_through_the_folder(self):
        self.venv("--folder", "env")
        self.install("env", "thing")
        self.assertEqual((self.cwd / "env" / "share" / "thing" / "x").read_text(), "x")
        BOX.venvfs("commit", "-n", "./env", cwd=self.cwd)
        self.assertEqual(self.packages("env")["thing"], "1.0")
        self.assertEqual((self.cwd / "env" / "share" / "thing" / "x").read_text(), "x")

    def test_mount_takes_a_projects_linked_folder_for_its_own(self):
        (self.cwd / "requirements.txt").write_text(harness.lock_text(WHEELS / "thing-1.0-py3-none-any.whl"))
        self.venv("--folder", ".venv")
        BOX.venvfs("mount", cwd=self.cwd)
        self.assertTrue((self.cwd / ".venv" / "bin").is_symlink())
        self.assertEqual(self.python(".venv", "import thing; print(1)"), "1")
        copy = self.cwd.with_name(self.cwd.name + "2")
        shutil.copytree(self.cwd, copy, symlinks=True)
        BOX.venvfs("mount", cwd=copy)
        self.assertNotEqual(os.readlink(copy / ".venv" / "bin"), os.readlink(self.cwd / ".venv" / "bin"))


class Options(Front):
    def test_prompt_dot_is_the_current_folder(self):
        self.venv("env", "--prompt", ".", "--without-pip")
        self.assertEqual(self.config("env")["prompt"], repr(self.cwd.name))

    def test_upgrade_deps_takes_the_newest(self):
        self.venv("env", "--upgrade-deps")
        self.assertEqual(self.packages("env")["pip"], "99.0")

    def test_links_and_copies_exclude_each_other(self):
        self.venv("env", "--copies", "--symlinks", status=2)
        self.venv("env", "--copies", "--without-pip")
        self.assertTrue((self.cwd / "env" / "bin" / "python").is_symlink())

    def test_the_first_python_that_is_found_counts(self):
        version = ".".join(self.python_version())
        self.virtualenv("-p", "3.99", "-p", version, "env", "--no-seed", python="")
        self.assertTrue(self.config("env")["version"].startswith(version + "."))
        self.assertIn("3.98", self.virtualenv("-p", "3.99", "-p", "3.98", "x", python="", status=1).stderr)

    def python_version(self):
        return harness.run([harness.default_python(), "-c", "import sys; print('%d %d' % sys.version_info[:2])"]
                           ).stdout.split()

    def test_specs_say_the_machine(self):
        version = ".".join(self.python_version())
        bits = 64 if sys.maxsize > 2 ** 32 else 32
        self.virtualenv("-p", f"cpython{version}-{bits}", "env", "--no-seed", python="")
        self.virtualenv("-p", f"cpython{version}-{96 - bits}", "other", python="", status=1)
        self.assertIn("CPython", self.virtualenv("-p", "pypy3", "other", python="", status=1).stderr)

    def test_a_shim_of_pyenv_is_the_newest_of_its_versions(self):
        root = BOX.root / "pyenv"
        _, minor = self.python_version()
        (root / "shims").mkdir(parents=True)
        (root / "versions" / f"3.{minor}.99").mkdir(parents=True)
        shim = root / "shims" / f"python3.{minor}"
        shim.write_text("#!/bin/sh\necho a shim was started >&2; exit 1\n")
        shim.chmod(0o755)
        (root / "versions" / f"3.{minor}.99" / "bin").symlink_to(
            pathlib.Path(harness.default_python()).parent)
        self.virtualenv("-p", shim, "env", "--no-seed", python="", env={"PYENV_ROOT": str(root)})
        self.assertEqual(self.config("env")["base-executable"],
                         os.path.realpath(harness.default_python()))

    def test_try_first_with(self):
        self.virtualenv("--try-first-with", harness.default_python(), "env", "--no-seed", python="",
                        env={"PATH": "/nonexistent:/usr/bin:/bin"})
        self.assertEqual(self.config("env")["base-executable"], os.path.realpath(harness.default_python()))

    def test_versions_of_seeds(self):
        self.virtualenv("env", "--pip", "98.0", "--setuptools", "99.0", "--wheel", "7.0")
        self.assertEqual(self.packages("env"), {"pip": "98.0", "setuptools": "99.0", "wheel": "7.0"})
        self.virtualenv("none", "--pip", "none", "--no-setuptools")
        self.assertEqual(self.packages("none"), {})
        self.virtualenv("new", "--download", "--no-setuptools")
        self.assertEqual(self.packages("new"), {"pip": "99.0"})

    def test_extra_search_dir(self):
        more = self.cwd / "more wheels"
        more.mkdir()
        harness.make_wheel(more, "pip", "99.5", {"pip/__init__.py": ""})
        self.virtualenv("env", "--download", "--no-setuptools", "--extra-search-dir", more)
        self.assertEqual(self.packages("env"), {"pip": "99.5"})

    def test_pyvenv_cfg_says_what_virtualenv_says(self):
        self.virtualenv("env", "--no-seed")
        config = self.config("env")
        self.assertEqual(config["virtualenv"], "20+venvfs")
        self.assertEqual(config["implementation"], "CPython")
        self.assertTrue(os.access(config["base-executable"], os.X_OK))
        self.venv("env")
        self.assertNotIn("virtualenv", self.config("env"))

    def test_activators(self):
        self.virtualenv("env", "--no-seed", "--activators", "bash,fish")
        there = {name for name in os.listdir(self.cwd / "env" / "bin") if name.lower().startswith("activate")}
        self.assertEqual(there, {"activate", "activate.fish"})
        self.virtualenv("env2", "--activators", "tcl", status=2)

    def test_what_nobody_stands_in_for_is_wrong_usage(self):
        for words in (["--creator", "other"], ["--seeder", "other"], ["--discovery", "other"],
                      ["--venv-redirect"], ["--upgrade-embed-wheels"]):
            with self.subTest(words=words):
                self.virtualenv("env", *words, status=2)
        self.virtualenv(status=2)
        self.virtualenv("a", "b", status=2)

    def test_what_has_nothing_to_do_is_taken(self):
        self.virtualenv("env", "--no-seed", "--creator", "venv", "--seeder", "pip", "--discovery",
                        "builtin", "--app-data", "/x", "--reset-app-data", "--read-only-app-data",
                        "--symlink-app-data", "--no-periodic-update", "--always-copy",
                        "--with-traceback", "-v", "--no-venv-redirect", "--never-download")

    def test_says_what_it_made(self):
        self.assertRegex(self.virtualenv("env").stdout,
                         r"\Acreated virtual environment CPython3\.\d+\.\d+-64 in .*/env\n\Z")
        self.assertEqual(self.virtualenv("-q", "env").stdout, "")


class Variables(Front):
    def test_variables_count_where_no_option_does(self):
        self.virtualenv("env", python="", env={"VIRTUALENV_PYTHON": f"3.99,{harness.default_python()}",
                                               "VIRTUALENV_NO_SEED": "1", "VIRTUALENV_PROMPT": "vp"})
        self.assertEqual(self.packages("env"), {})
        self.assertEqual(self.config("env")["prompt"], "'vp'")
        self.virtualenv("env2", "--prompt", "mine", env={"VIRTUALENV_PROMPT": "vp"})
        self.assertEqual(self.config("env2")["prompt"], "'mine'")

    def test_a_range_in_a_variable_is_one_word(self):
        self.virtualenv("env", "--no-seed", python="", env={"VIRTUALENV_PYTHON": ">=3.98,<3.99,>=3.6"},
                        status=1)
        self.virtualenv("env", "--no-seed", python="", env={"VIRTUALENV_PYTHON": "3.99\n>=3.6,<4"})

    def test_a_flag_that_is_no_flag_is_said_and_does_not_count(self):
        done = self.virtualenv("env", env={"VIRTUALENV_NO_PIP": "perhaps"})
        self.assertIn("VIRTUALENV_NO_PIP", done.stderr)
        self.assertIn("pip", self.packages("env"))

    def test_an_option_beats_the_variable_of_its_opposite(self):
        self.virtualenv("env", "--no-download", env={"VIRTUALENV_DOWNLOAD": "1"})
        self.assertNotEqual(self.packages("env")["pip"], "99.0")

    def test_the_file(self):
        file = self.cwd / "virtualenv.ini"
        file.write_text("; words\n[other]\nprompt = no\n[virtualenv]\n# more\nno_seed = true\n"
                        f"prompt: of the file\npython =\n    3.99\n    {harness.default_python()}\n")
        named = {"VIRTUALENV_CONFIG_FILE": str(file)}
        self.virtualenv("env", python="", env=named)
        self.assertEqual(self.config("env")["prompt"], "'of the file'")
        self.assertEqual(self.packages("env"), {})
        self.virtualenv("env2", python="", env={**named, "VIRTUALENV_PROMPT": "of the variable"})
        self.assertEqual(self.config("env2")["prompt"], "'of the variable'")
        config = self.cwd / "config" / "virtualenv"
        config.mkdir(parents=True)
        file.rename(config / "virtualenv.ini")
        self.virtualenv("env3", env={"XDG_CONFIG_HOME": str(self.cwd / "config")})
        self.assertEqual(self.packages("env3"), {})


class Names(Front):
    def test_pyvenv_warns_and_works(self):
        done = BOX.venvfs("pyvenv", "env", cwd=self.cwd)
        self.assertIn("deprecated", done.stderr)
        self.assertEqual(self.python("env", "import pip; print(1)"), "1")

    def test_a_program_called_after_a_command_is_that_command(self):
        for command in ("venv", "virtualenv", "pyvenv"):
            program = self.cwd / f"venvfs-{command}"
            program.symlink_to(harness.PROGRAM)
            harness.run([program, f"of-{command}"], env=BOX.env, cwd=self.cwd)
            self.assertTrue((self.cwd / f"of-{command}" / "bin" / "python").exists())
        program = self.cwd / "venvfs-virtualen"
        program.symlink_to(harness.PROGRAM)
        done = harness.run([program, "x"], env=BOX.env, cwd=self.cwd, status=2)
        self.assertIn("did you mean virtualenv", done.stderr)


if __name__ == "__main__":
    harness.main()
