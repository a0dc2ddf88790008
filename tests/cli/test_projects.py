#!/usr/bin/env python3
"""What `venvfs mount PROJECT` decides, and run: each line of the design a test, on a real mount."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def setUpModule():
    global BOX, WHEELS, ONE, TWO
    BOX = harness.Sandbox("projects")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    ONE, TWO = (harness.lock_text(harness.make_wheel(WHEELS, "thing", version, {
        "thing/__init__.py": f"v = {version!r}\n"},
        entry_points="[console_scripts]\nthing = thing:run\n")) for version in ("1.0", "2.0"))
    for name in ("dev-thing", "lint-thing", "extra-thing"):
        harness.make_wheel(WHEELS, name, "1.0", {})
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS))


class Case(unittest.TestCase):
    def folder(self, lock="", name=None):
        """A project named after the test, with thing 1.0 as its lock unless told otherwise."""
        return BOX.project(name or self.id().rpartition(".")[2], ONE if lock == "" else lock)

    def mount(self, *arguments, **options):
        """Mounts a project; returns (path printed, what was said)."""
        done = BOX.venvfs("mount", "-p", harness.default_python(), *arguments, **options)
        return pathlib.Path(harness.one_line(done.stdout)), done.stderr

    def mount_env(self, *arguments, **options):
        """The same of an environment."""
        done = BOX.venvfs("mount", *arguments, **options)
        return pathlib.Path(harness.one_line(done.stdout)), done.stderr

    def version(self, env):
        program = "import thing; print(thing.v)"
        return harness.run([env / "bin" / "python", "-c", program], env=BOX.env).stdout.strip()

    def packages(self, folder):
        return {row["name"] for row in BOX.json("show", str(folder))["packages"] if not row["seed"]}

    def name(self, folder):
        return os.path.basename(os.readlink(folder / ".venv"))


class Which(Case):
    def test_the_current_folder_is_the_default(self):
        folder = self.folder()
        below = folder / "src" / "deep"
        below.mkdir(parents=True)
        self.assertEqual(self.mount(cwd=below)[0], folder / ".venv")
        self.assertEqual(self.mount(cwd=folder)[0], folder / ".venv")

    def test_a_bare_word_may_be_a_folder(self):
        folder = self.folder()
        self.assertEqual(self.mount(folder.name, cwd=folder.parent)[0], folder / ".venv")

    def test_a_bare_word_may_be_an_environment(self):
        path = BOX.create("word")
        self.assertEqual(self.mount_env("word")[0], path)

    def test_a_word_that_is_both_is_wrong_usage(self):
        folder = self.folder(name="both")
        BOX.create("both")
        done = BOX.venvfs("mount", "both", cwd=folder.parent, status=2)
        self.assertIn("./both", done.stderr)
        self.assertIn("-n both", done.stderr)
        self.assertEqual(self.mount("./both", cwd=folder.parent)[0], folder / ".venv")
        self.assertEqual(self.mount_env("-n", "both", cwd=folder.parent)[0], BOX.hub / "both")

    def test_a_word_that_is_both_is_wrong_usage_everywhere(self):
        folder = self.folder(name="twofold")
        env, _ = self.mount(folder)
        path = BOX.create("twofold", "--without-pip")
        for command in (["show"], ["umount"], ["remove"], ["mount"]):
            said = BOX.venvfs(*command, "twofold", cwd=folder.parent, status=2).stderr
            self.assertIn("hint: write ./twofold for the one, -n twofold for the other", said)
        out = lambda *words: BOX.venvfs(*words, cwd=folder.parent).stdout.strip()
        self.assertEqual(out("show", "./twofold").splitlines()[0], self.name(folder))
        self.assertEqual(out("show", "-n", "twofold").splitlines()[0], "twofold")
        self.assertEqual(out("run", "-n", "twofold", "sh", "-c", "echo $VIRTUAL_ENV"), str(path))
        out("umount", "-n", "twofold")
        self.assertEqual((os.path.lexists(path), (env / "bin").exists()), (False, True))
        out("remove", "-n", "twofold")
        # Now the word is the folder's alone, with -n as well.
        self.assertEqual(out("show", "twofold").splitlines()[0], self.name(folder))
        self.assertEqual(out("show", "-n", "twofold").splitlines()[0], self.name(folder))
        self.assertEqual(out("run", "-n", "twofold", "sh", "-c", "echo $VIRTUAL_ENV"), str(env))
        out("umount", "twofold")
        self.assertFalse((env / "bin").exists())
        out("remove", "twofold")
        self.assertEqual(os.listdir(folder), ["requirements.txt"])

    def test_a_link_into_the_hub_is_its_environment(self):
        link = BOX.root / "linked"
        BOX.create(link, "--without-pip")
        self.assertEqual(self.mount_env(link)[0], link)
        self.assertEqual(self.mount_env("linked", cwd=BOX.root)[0], link)
        self.assertEqual(self.mount_env(BOX.hub / os.path.basename(os.readlink(link)))[0], link)

    def test_options_for_projects_are_wrong_usage_with_an_environment(self):
        BOX.create("plain-word", "--without-pip")
        for option in (["--lock", "x"], ["--locked"], ["--refresh"], ["--group", "g"], ["-p", "3.11"],
                       ["--extra", "e"], ["--no-dev"], ["--no-project"], ["--no-link"]):
            for which in (["-n", "plain-word"], ["plain-word"]):
                with self.subTest(option=option, which=which):
                    done = BOX.venvfs("mount", *which, *option, status=2)
                    self.assertIn("is for projects, and plain-word is an environment", done.stderr)
        BOX.venvfs("mount", "-n", "plain-word", "--fallback")  # there is FUSE: it changes nothing
        BOX.venvfs("mount", "-n", "plain-word", BOX.root / "dir", "--fallback", status=2)

    def test_a_word_that_is_neither(self):
        self.assertIn("neither", BOX.venvfs("mount", "nothing-here", status=1).stderr)

    def test_the_name_is_the_folders_and_six_digits(self):
        folder = self.folder()
        self.mount(folder)
        self.assertRegex(self.name(folder), rf"^{folder.name}-[0-9a-f]{{6}}$")


class Locks(Case):
    def test_the_first_of_several_locks_is_used_and_the_others_are_named(self):
        folder = self.folder(TWO)
        wheel = next(WHEELS.glob("thing-1.0*.whl"))
        digest = harness.hashlib.sha256(wheel.read_bytes()).hexdigest()
        (folder / "pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "thing"\n'
            f'version = "1.0"\n[[packages.wheels]]\nname = "{wheel.name}"\npath = "{wheel}"\n'
            f'hashes = {{ sha256 = "{digest}" }}\n')
        env, said = self.mount(folder)
        self.assertEqual(self.version(env), "1.0")
        self.assertIn("requirements.txt", said)
        env, _ = self.mount(folder, "--lock", folder / "requirements.txt")
        self.assertEqual(self.version(env), "2.0")

    def test_a_lock_of_another_tool_alone_is_refused_with_the_export(self):
        folder = self.folder(None)
        (folder / "poetry.lock").write_text("")
        done = BOX.venvfs("mount", folder, status=1)
        self.assertIn("poetry export", done.stderr)
        self.assertFalse(os.path.lexists(folder / ".venv"))

    def test_nothing_at_all_is_an_empty_environment_and_said(self):
        folder = self.folder(None)
        env, said = self.mount(folder)
        self.assertIn("empty environment", said)
        harness.run([env / "bin" / "python", "-m", "pip", "--version"], env=BOX.env)

    def test_a_pyproject_without_a_lock_is_resolved_and_groups_are_remembered(self):
        folder = self.folder(None)
        (folder / "pyproject.toml").write_text(
            '[project]\nname = "app"\nversion = "1"\ndependencies = ["thing<2"]\n'
            '[project.optional-dependencies]\nmore = ["extra-thing"]\n'
            '[dependency-groups]\ndev = ["dev-thing", {include-group = "lint"}]\nlint = ["lint-thing"]\n')
        env, said = self.mount(folder)
        self.assertIn("pyproject.toml is not fully pinned", said)
        self.assertEqual(self.version(env), "1.0")
        self.assertEqual(self.packages(folder), {"thing", "dev-thing", "lint-thing"})
        _, said = self.mount(folder, "--no-dev", "--extra", "more")
        self.assertEqual(self.packages(folder), {"thing", "extra-thing"})
        self.mount(folder)
        self.assertEqual(self.packages(folder), {"thing", "extra-thing"})
        done = BOX.venvfs("mount", folder, "--extra", "none", status=1)
        self.assertIn("it has: more", done.stderr)

    def test_a_pyproject_for_another_python_is_refused(self):
        folder = self.folder(None)
        (folder / "pyproject.toml").write_text(
            '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.99"\n')
        done = BOX.venvfs("mount", folder, status=1)
        self.assertIn(">=3.99", done.stderr)

    def test_a_changed_lock_makes_a_generation_and_a_difference(self):
        folder = self.folder()
        env, _ = self.mount(folder)
        (folder / "requirements.txt").write_text(TWO)
        done = BOX.venvfs("mount", folder, "--locked", status=1)
        self.assertIn("--locked", done.stderr)
        self.assertEqual(self.version(env), "1.0")
        _, said = self.mount(folder)
        self.assertRegex(said, r"(?m)^~ thing 1\.0 -> 2\.0$")
        self.assertEqual(self.version(env), "2.0")
        self.assertEqual(BOX.json("show", str(folder))["generation"], 2)

    def test_what_is_not_pinned_writes_nothing_in_the_project(self):
        folder = self.folder("thing\n")
        env, said = self.mount(folder)
        self.assertIn("not fully pinned", said)
        self.assertEqual(self.version(env), "2.0")
        self.assertEqual(sorted(os.listdir(folder)), [".venv", "requirements.txt"])


    def test_what_is_not_pinned_is_resolved_again_only_when_asked(self):
        wheels = BOX.root / "refreshed"
        wheels.mkdir()
        harness.make_wheel(wheels, "fresh", "1.0", {"fresh.py": "v = 1\n"})
        folder = self.folder(f"--no-index\n--find-links {wheels}\nfresh\n")

        def version(*options):
            env, _ = self.mount(folder, *options)
            return harness.run([env / "bin" / "python", "-c", "import fresh; print(fresh.v)"]).stdout.strip()
        self.assertEqual(version(), "1")
        harness.make_wheel(wheels, "fresh", "2.0", {"fresh.py": "v = 2\n"})
        self.assertEqual(version(), "1")
        self.assertEqual(version("--refresh"), "2")


class Folders(Case):
    """What a lock says of folders: its relative paths, and what resolving leaves in them."""

    def test_relative_paths_start_at_the_lock_wherever_mount_is_called(self):
        folder = self.folder("./lib\n")
        harness.make_source(folder / "lib", "part", files={"part.py": "v = 1\n"})
        for place in (folder, BOX.home, folder / "lib"):
            env, _ = self.mount(folder, cwd=place)
            self.assertEqual(self.packages(folder), {"part"})
        harness.run([env / "bin" / "python", "-c", "import part"])
        BOX.venvfs("sync", "-n", self.name(folder), cwd=BOX.home)
        self.assertEqual(self.packages(folder), {"part"})

    def test_resolving_and_building_write_nothing_in_a_folder(self):
        folder = self.folder("-e .\n./lib\n")
        log = BOX.root / "built-in"
        harness.make_source(folder, "app", files={"app.py": ""}, requires=["thing<2"])
        harness.make_source(folder / "lib", "part", files={"part.py": "v = 1\n"})
        (folder / "lib" / "far").symlink_to("../README")
        before = harness.tree_digest(folder)
        env = BOX.create("clean", "-r", folder / "requirements.txt", cwd=folder,
                         env={"BACKEND_LOG": str(log)})
        self.assertEqual(harness.tree_digest(folder), before)
        self.assertEqual({row["name"]: row.get("direct_url", {}).get("url")
                          for row in BOX.json("show", "clean")["packages"] if not row["seed"]},
                         {"app": None, "part": f"file://{folder}/lib", "thing": None})
        self.assertEqual(self.version(env), "1.0")
        resolved = (BOX.venvfs_home / "envs" / "clean" / "resolved.txt").read_text()
        self.assertNotIn(str(BOX.venvfs_home), resolved)
        self.assertEqual(os.listdir(BOX.venvfs_home / "tmp") if (BOX.venvfs_home / "tmp").exists() else [], [])

    def test_what_a_build_says_names_the_folder_and_not_its_copy(self):
        folder = self.folder("./lib\n")
        (folder / "lib").mkdir()
        said = BOX.venvfs("mount", folder, status=1).stderr
        self.assertIn(f"{folder}/lib", said)
        self.assertNotIn("src-0", said)

    def test_for_create_they_start_at_the_current_folder_as_for_pip(self):
        folder = self.folder("./lib\n")
        harness.make_source(folder / "lib", "part", files={"part.py": "v = 1\n"})
        lock = folder / "requirements.txt"
        done = BOX.venvfs("create", "as-pip", "-r", lock, cwd=BOX.home, status=1)
        self.assertIn(f"{BOX.home}/lib", done.stderr)
        BOX.create("as-pip", "-r", lock, cwd=folder)
        BOX.venvfs("sync", "-n", "as-pip", cwd=BOX.home)
        self.assertEqual([p["name"] for p in BOX.json("show", "as-pip")["packages"] if not p["seed"]],
                         ["part"])


class Editable(Case):
    """The project itself, and other folders that its lock wants editable."""

    SCRIPT = "[console_scripts]\napp-run = app:main\n"
    CODE = "v = 'first'\ndef main():\n    import sys\n    print(v, sys.prefix)\n"

    def source(self, name="app", lock="", **options):
        folder = self.folder(lock)
        options.setdefault("files", {f"{name}.py": self.CODE})
        return harness.make_source(folder, name, entry_points=self.SCRIPT, **options)

    def run_in(self, env, program, *arguments):
        return harness.run([env / "bin" / "python", "-c", program, *arguments],
                           env=BOX.env, cwd=BOX.home).stdout.strip()

    def builds(self):
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def setUp(self):
        self.log = BOX.root / f"log-{self.id().rpartition('.')[2]}"
        BOX.env["BACKEND_LOG"] = str(self.log)

    def test_a_project_with_a_build_system_is_installed_editable(self):
        folder = self.source()
        before = harness.tree_digest(folder)
        env, said = self.mount(folder)
        self.assertIn(f"app 1.0 is installed editable from {folder}", said)
        self.assertEqual(self.run_in(env, "import app; print(app.__file__)"), f"{folder}/src/app.py")
        (folder / "src" / "app.py").write_text(self.CODE.replace("first", "second"))
        self.assertEqual(harness.run([env / "bin" / "app-run"]).stdout, f"second {env}\n")
        (folder / "src" / "app.py").write_text(self.CODE)
        (folder / ".venv").unlink()
        shutil.rmtree(folder / "src" / "__pycache__")
        self.assertEqual(harness.tree_digest(folder), before, "the build left something")

    def test_python_and_pip_see_an_editable_install(self):
        folder = self.source(name="the-app", files={"app.py": ""})
        env, _ = self.mount(folder)
        rows = json.loads(harness.run([env / "bin" / "python", "-m", "pip", "list", "--format=json"],
                                      env=BOX.env).stdout)
        self.assertEqual([row.get("editable_project_location") for row in rows
                          if row["name"] == "the-app"], [str(folder)])
        program = ("import importlib.metadata as m, hashlib, base64, json\n"
                   "d = m.distribution('the-app')\n"
                   "for f in d.files:\n"
                   "    data = f.locate().read_bytes()\n"
                   "    if f.hash:\n"
                   "        h = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()\n"
                   "        assert (f.hash.value, f.size) == (h, len(data)), f\n"
                   "print(json.dumps([d.read_text('INSTALLER'), json.loads(d.read_text('direct_url.json')), "
                   "sorted(str(f) for f in d.files if not f.hash)]))")
        installer, url, unhashed = json.loads(self.run_in(env, program))
        self.assertEqual(installer.strip(), "venvfs")
        self.assertEqual(url, {"url": f"file://{folder}", "dir_info": {"editable": True}})
        self.assertEqual(unhashed, ["../../../bin/app-run", "the_app-1.0.dist-info/RECORD"])
        row = [r for r in BOX.json("show", str(folder))["packages"] if r["name"] == "the-app"]
        self.assertEqual([r["editable"] for r in row], [str(folder)])
        self.assertIn(f"editable {folder}", BOX.venvfs("show", str(folder)).stdout)

    def test_it_is_built_again_only_when_its_settings_change(self):
        folder = self.source()
        self.mount(folder)
        first = self.builds()
        _, said = self.mount(folder)
        self.assertEqual((self.builds(), said), (first, ""))
        (folder / "src" / "new.py").write_text("")
        self.mount(folder)
        self.assertEqual(self.builds(), first)
        text = (folder / "backend.py").read_text()
        (folder / "backend.py").write_text(text.replace('"1.0", ', '"1.1", '))
        (folder / "pyproject.toml").write_text((folder / "pyproject.toml").read_text() + "# changed\n")
        env, said = self.mount(folder, "--locked")
        self.assertRegex(said, r"(?m)^~ app 1\.0 -> 1\.1$")
        self.assertEqual(self.run_in(env, "import importlib.metadata as m; print(m.version('app'))"), "1.1")

    def test_the_warm_mount_starts_no_program(self):
        folder = self.source(lock="-e .\n", requires=["thing<2"])
        env, _ = self.mount(folder)
        self.assertEqual(self.version(env), "1.0")
        first = self.builds()
        # Without pip's folders nothing but what is remembered can answer.
        shutil.move(BOX.venvfs_home / "tools", BOX.root / "tools-away")
        try:
            self.assertEqual(self.mount(folder)[0], env)
            self.assertEqual(list((BOX.venvfs_home / "tools").iterdir()), [])
        finally:
            shutil.rmtree(BOX.venvfs_home / "tools", ignore_errors=True)
            shutil.move(BOX.root / "tools-away", BOX.venvfs_home / "tools")
        self.assertEqual(self.builds(), first)

    def test_what_an_editable_needs_is_resolved_again_when_it_changes(self):
        folder = self.source(lock="-e .\n", requires=["thing<2"])
        self.mount(folder)
        text = (folder / "backend.py").read_text()
        (folder / "backend.py").write_text(text.replace("thing<2", "thing>=2"))
        (folder / "pyproject.toml").write_text((folder / "pyproject.toml").read_text() + "# changed\n")
        self.assertEqual(self.version(self.mount(folder)[0]), "2.0")

    def test_two_worktrees_share_packages_and_each_has_its_own_project(self):
        parts = [harness.make_source(BOX.project(f"tree-{n}", ONE), "app", files={"app.py": f"v = {n}\n"})
                 for n in (1, 2)]
        envs = [self.mount(folder)[0] for folder in parts]
        shown = [BOX.json("show", str(folder)) for folder in parts]
        self.assertEqual(*[[(p["name"], p.get("wheel")) for p in one["packages"]] for one in shown])
        for n, (folder, env) in enumerate(zip(parts, envs), 1):
            self.assertEqual(self.run_in(env, "import app, thing; print(app.v, app.__file__)"),
                             f"{n} {folder}/src/app.py")
        (parts[0] / "src" / "app.py").write_text("v = 'edited'\n")
        self.assertEqual([self.run_in(env, "import app; print(app.v)") for env in envs], ["edited", "2"])
        for path in (BOX.venvfs_home / "store").rglob("*"):
            if path.is_file() and "catalog" not in path.name:
                self.assertFalse(str(parts[0]).encode() in path.read_bytes(), path)

    def test_moved_and_copied_folders_get_their_own(self):
        folder = self.source()
        self.mount(folder)
        copy, moved = folder.with_name("copied"), folder.with_name("moved")
        shutil.copytree(folder, copy, symlinks=True)
        copied, said = self.mount(copy)
        self.assertIn("cloned", said)
        folder.rename(moved)
        env, _ = self.mount(moved)
        for place, its in ((copy, copied), (moved, env)):
            self.assertEqual(self.run_in(its, "import app; print(app.__file__)"), f"{place}/src/app.py")
            self.assertEqual(harness.run([its / "bin" / "app-run"]).stdout, f"first {place}/.venv\n")

    def test_no_project_leaves_it_out_and_is_remembered(self):
        folder = self.source()
        self.mount(folder)
        for options, there in ((["--no-project"], False), ([], False), (["--project"], True), ([], True)):
            env, _ = self.mount(folder, *options)
            found = self.run_in(env, "import importlib.util as u; print(u.find_spec('app') is not None)")
            self.assertEqual(found, str(there), options)

    def test_a_lock_may_want_other_folders_editable(self):
        folder = self.folder(ONE + "-e ./lib\n-e .\n")
        harness.make_source(folder, "app", files={"app.py": ""})
        harness.make_source(folder / "lib", "part", files={"part.py": ""})
        env, _ = self.mount(folder)
        self.assertEqual(self.packages(folder), {"app", "part", "thing"})
        self.assertEqual(self.run_in(env, "import part; print(part.__file__)"), f"{folder}/lib/src/part.py")
        self.mount(folder, "--no-project")
        self.assertEqual(self.packages(folder), {"part", "thing"})
        (folder / "requirements.txt").write_text(ONE)
        self.mount(folder)
        self.assertEqual(self.packages(folder), {"thing"})

    def test_uv_and_pylock_say_it_too(self):
        for name, lock in (
                ("uv.lock", 'version = 1\nrequires-python = ">=3.8"\n[[package]]\nname = "app"\nversion = "1.0"\n'
                            'source = { editable = "." }\n'),
                ("pylock.toml", 'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "app"\n'
                                'directory = { path = ".", editable = true }\n')):
            folder = BOX.project(f"by-{name}")
            harness.make_source(folder, "app", files={"app.py": self.CODE})
            text = (folder / "pyproject.toml").read_text()
            (folder / name).write_text(lock)
            env, _ = self.mount(folder)
            self.assertEqual(self.run_in(env, "import app; print(app.v)"), "first", name)
            self.assertEqual((folder / "pyproject.toml").read_text(), text)

    def test_a_folder_that_is_no_editable_stays_a_package(self):
        folder = self.source(lock=".\n")
        env, _ = self.mount(folder)
        self.assertIn("site-packages", self.run_in(env, "import app; print(app.__file__)"))

    def test_a_failed_build_says_what_pip_said_and_leaves_nothing(self):
        folder = self.source()
        (folder / "fail").write_text("")
        before = harness.tree_digest(folder)
        said = BOX.venvfs("mount", folder, status=1).stderr
        self.assertIn(f"{folder} cannot be installed editable", said)
        self.assertIn("the backend of app gives up", said)
        self.assertIn("--no-project", said)
        self.assertEqual(harness.tree_digest(folder), before)
        self.assertFalse((BOX.venvfs_home / "tmp").exists())
        self.mount(folder, "--no-project")

    def test_what_is_no_text_is_refused(self):
        folder = self.source()
        text = (folder / "backend.py").read_text()
        (folder / "backend.py").write_text(text.replace('os.path.abspath("src") + "\\n"', '"a\\0b"'))
        said = BOX.venvfs("mount", folder, status=1).stderr
        self.assertIn("__editable__.app.pth", said)

    def test_sync_create_and_uninstall_know_it(self):
        folder = self.source(lock=ONE + "-e .\n")
        env = BOX.create("ed", "-r", folder / "requirements.txt", cwd=folder)
        self.assertEqual(self.run_in(env, "import app; print(app.v)"), "first")
        BOX.venvfs("uninstall", "-n", "ed", "app")
        self.assertEqual(self.run_in(env, "import importlib.util as u; print(u.find_spec('app'))"), "None")
        BOX.venvfs("sync", "-n", "ed")
        self.assertEqual(self.run_in(env, "import app; print(app.v)"), "first")
        harness.run([env / "bin" / "python", "-m", "pip", "check"], env=BOX.env)

    def test_plain_files_have_it_too(self):
        folder = self.source()
        self.mount(folder)
        plain = BOX.root / "plain-editable"
        BOX.venvfs("materialize", "-n", str(folder), plain)
        self.assertEqual(harness.run([plain / "bin" / "app-run"]).stdout, f"first {plain}\n")

    def test_dynamic_dependencies_are_asked_of_a_build(self):
        folder = self.folder(None)
        harness.make_source(folder, "app", files={"app.py": ""}, requires=["thing<2"],
                            project='dynamic = ["dependencies"]')
        env, _ = self.mount(folder)
        self.assertEqual(self.version(env), "1.0")
        self.assertEqual(self.packages(folder), {"app", "thing"})


class Messages(Case):
    def test_a_wrong_hash_is_one_line_with_both_hashes(self):
        good = ONE.rpartition("sha256:")[2].strip()
        folder = self.folder(ONE.replace(good, "0" * 64))
        said = BOX.venvfs("mount", folder, status=1).stderr
        self.assertEqual(said.splitlines()[0], f"venvfs: thing 1.0 (thing-1.0-py3-none-any.whl): the lock "
                         f"wants sha256 {'0' * 64}, the download has sha256 {good}")
        self.assertNotIn(str(BOX.venvfs_home), said)
        (folder / "requirements.txt").write_text(ONE.replace(f"sha256:{good}", f"sha256:{'0' * 64} "
                                                 f"--hash=sha256:{'1' * 64} --hash=sha384:{'2' * 96}"))
        self.assertIn("or one of 1 more, the download has sha256", BOX.venvfs("mount", folder, status=1).stderr)


class Python(Case):
    def test_python_version_file_is_followed(self):
        others = [path for version, path in harness.interpreters().items()
                  if version in ("3.8", "3.9", "3.10", "3.12")]
        if not others:
            self.skipTest("no second interpreter")
        version = harness.run([others[0], "-c", "import platform; print(platform.python_version())"]
                              ).stdout.strip()
        folder = self.folder()
        (folder / ".python-version").write_text(version + "\n")
        done = BOX.venvfs("mount", folder)
        env = pathlib.Path(harness.one_line(done.stdout))
        out = harness.run([env / "bin" / "python", "-c",
                           "import platform, thing, pip; print(platform.python_version())"])
        self.assertEqual(out.stdout.strip(), version)

    def test_python_version_file_that_clashes_with_requires_python(self):
        text = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.99,<4"\n'
        for name, lock in (("requirements.txt", ONE), (None, None),
                           ("uv.lock", 'version = 1\nrequires-python = ">=3.8"\n')):
            folder = BOX.project(f"clash-{name}", lock, name or "requirements.txt")
            (folder / "pyproject.toml").write_text(text)
            (folder / ".python-version").write_text("3\n")
            done = BOX.venvfs("mount", folder, status=1)
            self.assertIn(f"{folder}/.python-version asks for Python 3, and {folder}/pyproject.toml "
                          "requires >=3.99,<4", done.stderr)
            self.assertFalse(os.path.lexists(folder / ".venv"))
            done = BOX.venvfs("mount", folder, "-p", harness.default_python(), status=1)
            self.assertIn("the interpreter is", done.stderr)
        (folder / "pyproject.toml").write_text(text.replace("3.99,<4", "3.6"))
        (folder / ".python-version").unlink()
        env, _ = self.mount(folder)
        # The answer is remembered: without the helper's folder nothing can be asked.
        shutil.rmtree(BOX.venvfs_home / "tools")
        self.assertEqual(self.mount(folder)[0], env)
        self.assertEqual(list((BOX.venvfs_home / "tools").iterdir()), [])

    def test_python_version_file_that_asks_for_what_is_not_there(self):
        folder = self.folder()
        (folder / ".python-version").write_text("3.99\n")
        done = BOX.venvfs("mount", folder, status=1)
        self.assertIn(".python-version", done.stderr)
        self.assertFalse(os.path.lexists(folder / ".venv"))


class Accelerator(Case):
    def test_it_can_be_left_out_which_is_remembered(self):
        folder = self.folder()
        version = harness.run([harness.default_python(), "-c", "import sys; print(sys.version_info[:2])"])
        there = [] if version.stdout.strip() == "(3, 14)" else ["_venvfs.pth"]
        for options, expected in (([], there), (["--no-accelerator"], []), ([], [])):
            env, _ = self.mount(folder, *options)
            found = env.glob("lib/python*/site-packages/_venvfs*")
            self.assertEqual([path.name for path in found], expected)
        self.assertEqual(self.version(env), "1.0")


class Places(Case):
    def test_a_moved_folder_takes_its_environment_along(self):
        folder = self.folder()
        self.mount(folder)
        name = self.name(folder)
        moved = folder.with_name(folder.name + "-there")
        folder.rename(moved)
        env, said = self.mount(moved)
        self.assertEqual((env, self.name(moved)), (moved / ".venv", name))
        self.assertIn("moved", said)
        self.assertEqual(self.version(env), "1.0")
        out = harness.run([env / "bin" / "python", "-c", "import sys; print(sys.prefix)"]).stdout
        self.assertEqual(out.strip(), str(moved / ".venv"))
        self.assertIn(str(moved), (env / "bin" / "pip").read_text())
        # A new folder in the old place gets an environment of its own.
        again = self.folder(TWO)
        self.assertEqual(self.version(self.mount(again)[0]), "2.0")
        self.assertEqual(self.version(self.mount(moved)[0]), "1.0")

    def test_a_moved_folder_is_told_of_before_anything_changes(self):
        folder = self.folder()
        self.mount(folder)
        moved = folder.with_name(folder.name + " there")
        folder.rename(moved)
        name = self.name(moved)
        commands = (["install", "-n", name, "thing==2.0"], ["uninstall", "-n", name, "thing"],
                    ["sync", "-n", name], ["run", "-n", name, "true"], ["mount", "-n", name])
        for command in commands:
            said = BOX.venvfs(*command, status=1).stderr
            self.assertIn("its folder moved\nhint: venvfs mount DIR", said)
            said = BOX.venvfs(*command, cwd=moved, status=1).stderr
            self.assertIn(f"its folder moved\nhint: venvfs mount '{moved}'", said)
        self.assertEqual(BOX.json("show", name)["generation"], 1)
        self.mount(moved)
        BOX.venvfs("install", "-n", name, "thing==2.0")
        self.assertEqual(self.version(moved / ".venv"), "2.0")

    def test_a_link_that_is_gone_is_told_of_and_made_again(self):
        folder = self.folder()
        env, _ = self.mount(folder)
        name = self.name(folder)
        env.unlink()
        said = BOX.venvfs("install", "-n", name, "thing==2.0", status=1).stderr
        self.assertIn(f"{env}, the way to environment {name}, is missing", said)
        self.assertIn(f"hint: venvfs mount {folder} makes it again", said)
        self.assertEqual(self.mount_env("-n", name)[0], env)
        self.assertEqual(self.version(env), "1.0")
        env.unlink()
        env.mkdir()
        said = BOX.venvfs("run", "-n", name, "true", status=1).stderr
        self.assertIn("does not lead to environment", said)
        self.assertIn("hint: move it away; then", said)
        # One that has no project: its folder is made again with it.
        place = BOX.root / "far" / "away"
        BOX.create(place, "--without-pip")
        name = os.path.basename(os.readlink(place))
        shutil.rmtree(place.parent)
        said = BOX.venvfs("run", "-n", name, "true", status=1).stderr
        self.assertIn(f"hint: venvfs mount -n {name} makes it again", said)
        self.assertEqual(self.mount_env("-n", name)[0], place)
        BOX.venvfs("run", "-n", name, "python", "-c", "")

    def test_a_copied_folder_gets_a_clone(self):
        folder = self.folder()
        self.mount(folder)
        copy = folder.with_name(folder.name + "-copy")
        shutil.copytree(folder, copy, symlinks=True)
        env, said = self.mount(copy)
        self.assertNotEqual(self.name(copy), self.name(folder))
        self.assertEqual(self.version(env), "1.0")
        self.assertEqual(self.mount(folder)[0], folder / ".venv")

    def test_a_copied_folder_follows_its_own_python_version(self):
        others = [path for version, path in harness.interpreters().items()
                  if version in ("3.8", "3.9", "3.10", "3.12") and path != harness.default_python()]
        if not others:
            self.skipTest("no second interpreter")
        program = "import platform; print(platform.python_version())"
        other = harness.run([others[0], "-c", program]).stdout.strip()
        folder = self.folder()
        self.mount(folder)
        asked, written = (folder.with_name(f"{folder.name}-{i}") for i in "ab")
        for copy in (asked, written):
            shutil.copytree(folder, copy, symlinks=True)
        (written / ".python-version").write_text(other + "\n")
        BOX.venvfs("mount", asked, "-p", others[0])
        BOX.venvfs("mount", written)
        for copy in (asked, written):
            out = harness.run([copy / ".venv" / "bin" / "python", "-c",
                               f"import thing, pip; {program}"], env=BOX.env).stdout
            self.assertEqual(out.strip(), other)

    def test_a_foreign_venv_stays_and_no_link_goes_around_it(self):
        folder = self.folder()
        (folder / ".venv").mkdir()
        self.assertIn("--no-link", BOX.venvfs("mount", folder, status=1).stderr)
        env, _ = self.mount(folder, "--no-link")
        self.assertEqual(env.parent, BOX.hub)
        self.assertEqual(self.version(env), "1.0")
        self.assertEqual(os.listdir(folder / ".venv"), [])

    def test_a_git_checkout_does_not_see_the_link(self):
        if not shutil.which("git"):
            self.skipTest("no git")
        folder = self.folder()
        harness.run(["git", "init", "-q", folder], env=BOX.env)
        self.mount(folder)
        out = harness.run(["git", "-C", folder, "status", "--porcelain"], env=BOX.env).stdout
        self.assertNotIn(".venv", out)

    def test_a_git_checkout_that_cannot_be_written_to_is_a_warning(self):
        if not shutil.which("git"):
            self.skipTest("no git")
        folder = self.folder()
        harness.run(["git", "init", "-q", folder], env=BOX.env)
        exclude = folder / ".git" / "info" / "exclude"
        exclude.unlink(missing_ok=True)
        exclude.mkdir(parents=True)  # unwritable for root as well
        env, said = self.mount(folder)
        self.assertRegex(said, "warning: .*info/exclude")
        self.assertEqual(self.version(env), "1.0")

    def test_create_and_mount_of_dot_venv_mean_one_environment(self):
        folder = self.folder()
        BOX.create(folder / ".venv")
        name = self.name(folder)
        env, _ = self.mount(folder)
        self.assertEqual(self.name(folder), name)
        self.assertEqual(self.version(env), "1.0")

    def test_a_failed_mount_leaves_nothing_behind(self):
        folder = self.folder("no-such-thing==1.0\n")
        before = sorted(os.listdir(BOX.venvfs_home / "envs"))
        BOX.venvfs("mount", folder, status=1)
        self.assertEqual(os.listdir(folder), ["requirements.txt"])
        self.assertEqual(sorted(os.listdir(BOX.venvfs_home / "envs")), before)

    def test_four_at_once_make_one_environment(self):
        folder = self.folder()
        command = [harness.PROGRAM, "mount", "-p", harness.default_python(), folder]
        started = [subprocess.Popen(command, env=BOX.env, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True) for _ in range(4)]
        for process in started:
            out, said = process.communicate(timeout=120)
            self.assertEqual((process.returncode, out), (0, f"{folder}/.venv\n"), said)
        names = BOX.venvfs("list", "--names").stdout.split()
        self.assertEqual(len([name for name in names if name.startswith(folder.name)]), 1)

    def test_remove_takes_the_link_away(self):
        folder = self.folder()
        self.mount(folder)
        BOX.venvfs("remove", str(folder))
        self.assertEqual(os.listdir(folder), ["requirements.txt"])

    def test_umount_and_mount_again(self):
        folder = self.folder()
        env, _ = self.mount(folder)
        BOX.venvfs("umount", str(folder))
        self.assertFalse((env / "pyvenv.cfg").exists())
        self.mount(folder)
        self.assertEqual(self.version(env), "1.0")


class Explicit(Case):
    def test_a_generation_at_a_folder(self):
        folder = self.folder()
        self.mount(folder)
        place = BOX.root / "place"
        env, _ = self.mount_env("-n", self.name(folder), place)
        self.assertEqual(env, place)
        self.assertEqual(self.version(place), "1.0")
        BOX.venvfs("umount", place)
        self.assertFalse((place / "pyvenv.cfg").exists())


    def test_a_folder_in_the_hub_is_refused_and_not_made(self):
        path = BOX.create("inner")
        for place in (BOX.hub / "inner" / "deep", BOX.hub / "no-env" / "deep"):
            BOX.venvfs("umount", "--all")
            done = BOX.venvfs("mount", "-n", "inner", place, status=1)
            self.assertIn("in the hub", done.stderr)
            self.assertFalse(os.path.lexists(place))
        BOX.venvfs("umount", "--all")
        self.assertFalse((BOX.hub / "no-env").exists())
        self.assertFalse((BOX.venvfs_home / "edits").exists())  # nothing had to be moved away
        self.assertEqual(sorted(os.listdir(path)), ["bin"])  # stubs alone


class Run(Case):
    def test_run_is_as_activated(self):
        folder = self.folder()
        env, _ = self.mount(folder)
        program = ("import os, sys, shutil; print(os.environ['VIRTUAL_ENV'], shutil.which('python'), "
                   "sys.prefix, os.environ['UV_LINK_MODE'], 'PYTHONHOME' in os.environ)")
        done = BOX.venvfs("run", "python", "-c", program, cwd=folder, env={"PYTHONHOME": "/nowhere"})
        self.assertEqual(done.stdout.split(), [str(env), f"{env}/bin/python", str(env), "copy", "False"])

    def test_run_gives_the_commands_own_exit_code(self):
        folder = self.folder()
        self.mount(folder)
        BOX.venvfs("run", "--", "python", "-c", "raise SystemExit(7)", cwd=folder, status=7)
        BOX.venvfs("run", "no-such-command", cwd=folder, status=127)

    def test_run_takes_a_python_file_and_the_commands_own_options(self):
        folder = self.folder()
        self.mount(folder)
        (folder / "script.py").write_text("import sys, thing; print(thing.v, sys.argv[1:])\n")
        done = BOX.venvfs("run", "script.py", "--help", "-n", cwd=folder)
        self.assertEqual(done.stdout, "1.0 ['--help', '-n']\n")

    def test_run_starts_the_daemon(self):
        folder = self.folder()
        self.mount(folder)
        BOX.venvfs("umount", "--all")
        self.assertEqual(BOX.venvfs("run", "python", "-c", "import thing; print(thing.v)",
                                    cwd=folder).stdout, "1.0\n")


if __name__ == "__main__":
    harness.main()
