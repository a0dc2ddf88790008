#!/usr/bin/env python3
"""Settling: what pip installed inside an environment becomes packages of its next generation, and the
order of changes from inside and outside does not matter."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MODULES = 40
DIFFERS = re.compile(r".*\.pyc|.*/RECORD|bin/[^/]*")  # made for the environment, or compiled anew


def thing(folder, version):
    files = {"thing/__init__.py": f"v = {version!r}\ndef main(): print(v)\n",
             "thing/data.txt": f"data of {version}\n" * 50,
             "thing/sub/__init__.py": "", "thing/sub/deep.py": f"deep = {version!r}\n"}
    files.update({f"thing/many/m{i}.py": f"n = {i}, {version!r}\n" for i in range(MODULES)})
    if version == "2.0":
        files["thing/newer.py"] = "is_new = True\n"
    return harness.make_wheel(folder, "thing", version, files, requires=("part",),
                              entry_points="[console_scripts]\nthing = thing:main\n")


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("settle")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    for version in ("1.0", "2.0"):
        thing(WHEELS, version)
    harness.make_wheel(WHEELS, "part", "1.0", {"part.py": "v = 1\n"})
    for name in ("one", "two"):
        harness.make_wheel(WHEELS, f"ns-{name}", "1.0", {f"ns/{name}.py": f"v = {name!r}\n"})
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_SETTLE="off")
    BOX.create("warm")
    BOX.venvfs("install", "-q", "-n", "warm", "thing==1.0")  # the store knows it, unlike 2.0


class Case(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rpartition(".")[2][:60]
        self.env = BOX.create(self.name)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.folder = BOX.venvfs_home / "envs" / self.name
        self.upper = self.folder / "upper"

    def pip(self, *words, **options):
        return harness.run([self.env / "bin" / "python", "-m", "pip", "-q", *words],
                           env=BOX.env, **options)

    def python(self, program, *words):
        return harness.run([self.env / "bin" / "python", "-c", program, *map(str, words)],
                           env=BOX.env).stdout.strip()

    def commit(self, *words, **options):
        return BOX.venvfs("commit", self.name, *words, **options)

    def tree(self):
        """What is shown, without what differs from one installation to the next."""
        return {path: digest for path, digest in harness.tree_digest(self.env).items()
                if not DIFFERS.fullmatch(path)}

    def kept(self):
        """Files that the upper layer holds on disk, marks included."""
        return sorted(str(path.relative_to(self.upper)) for path in self.upper.rglob("*")
                      if not path.is_dir() and ".wh..wh..orphans" not in path.parts)

    def packages(self):
        return {row["name"]: row["version"] for row in BOX.json("show", self.name)["packages"]
                if not row["seed"]}

    def edits(self):
        return [(row["kind"], row["path"].partition("site-packages/")[2] or row["path"])
                for row in BOX.json("diff", self.name)["from"]["edits"]]

    def generation(self):
        return BOX.json("show", self.name)["generation"]


class Commit(Case):
    def test_packages_of_a_new_generation(self):
        before = self.tree()
        self.pip("install", "thing==1.0")
        shown = self.tree()
        self.assertNotEqual(shown, before)
        done = BOX.json("commit", self.name)[0]
        self.assertTrue(done["committed"])
        self.assertEqual(self.packages(), {"thing": "1.0", "part": "1.0"})
        self.assertEqual(self.tree(), shown)
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.edits(), [])
        self.assertIn("by pip", BOX.venvfs("history", self.name).stdout)
        self.assertEqual((self.site / "thing-1.0.dist-info" / "INSTALLER").read_text(), "pip\n")
        self.assertEqual(self.python("import thing; thing.main()"), "1.0")
        self.assertEqual(harness.run([self.env / "bin" / "thing"], env=BOX.env).stdout, "1.0\n")
        self.pip("check")
        self.assertEqual(BOX.json("commit", self.name)[0]["committed"], False)
        # The bytecode is the store's, and it is used.
        program = ("import sys; seen = []\n"
                   "sys.addaudithook(lambda e, a: seen.append(a) if e == 'compile' else None)\n"
                   "import thing.sub.deep, thing.many.m3, part\nprint([a for a in seen if a[0]])")
        self.assertEqual(self.python(program), "[]")
        self.assertEqual(self.kept(), [])

    def test_a_second_environment_shares_them(self):
        self.pip("install", "thing==2.0")
        self.commit()
        store = harness.disk_bytes(BOX.venvfs_home / "store")
        other = BOX.create(self.name + "_b")
        harness.run([other / "bin" / "python", "-m", "pip", "-q", "install", "thing==2.0"], env=BOX.env)
        BOX.venvfs("commit", self.name + "_b")
        envs = BOX.venvfs_home / "envs"
        ids = [{row["name"]: row["image"] for row in
                json.loads((envs / name / "current").read_text())["packages"]}
               for name in (self.name, self.name + "_b")]
        self.assertEqual(ids[0], ids[1])
        self.assertEqual(harness.disk_bytes(BOX.venvfs_home / "store"), store)

    def test_what_is_open_stays_whole(self):
        """A process from before goes on: with open files, mappings, lazy imports, and its folder."""
        self.pip("install", "thing==1.0")
        program = (
            "import mmap, os, sys, thing\n"
            "os.chdir(os.path.dirname(thing.__file__))\n"
            "f = open('data.txt', 'r+b'); m = mmap.mmap(f.fileno(), 0)\n"
            "old = m[:]; record = open('../thing-1.0.dist-info/RECORD'); head = record.read(20)\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "assert m[:] == old and f.read() == old\n"
            "assert os.path.samefile('.', os.path.dirname(thing.__file__)), os.getcwd()\n"
            "import thing.sub.deep; assert thing.sub.deep.deep == '1.0'\n"
            "assert len(head + record.read()) > 200\n"
            "m[:4] = b'MINE'; m.flush()\n"
            "f.seek(0); assert f.read(4) == b'MINE'\n"
            "print('done')\n")
        with subprocess.Popen([self.env / "bin" / "python", "-c", program], env=BOX.env, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            self.commit()
            self.assertEqual(process.communicate("\n", timeout=60)[0], "done\n")
            self.assertEqual(process.returncode, 0)
        # The late write came up again, as an edit.
        self.assertEqual(self.edits(), [("M", "thing/data.txt")])
        self.assertTrue((self.site / "thing" / "data.txt").read_text().startswith("MINE of 1.0"))
        self.assertEqual(self.python("import thing; print(thing.v)"), "1.0")

    def test_edits_survive(self):
        self.pip("install", "thing==1.0")
        folder = self.site / "thing"
        with open(folder / "sub" / "deep.py", "a") as file:
            file.write("# mine\n")
        (folder / "data.txt").unlink()
        (folder / "own.txt").write_text("own\n")
        shown = self.tree()
        self.commit()
        self.assertEqual(self.tree(), shown)
        self.assertEqual(sorted(edit for edit in self.edits() if not edit[1].endswith(".pyc")),
                         [("A", "thing/own.txt"), ("D", "thing/data.txt"),
                          ("M", "thing/sub/deep.py")])
        self.assertFalse((folder / "data.txt").exists())
        BOX.venvfs("umount", "--all")  # and after a restart
        BOX.venvfs("mount", "-n", self.name, status=None)
        self.assertEqual(self.tree(), shown)

    def test_edits_of_what_the_store_never_saw(self):
        """Nobody has the bytes that were there before: the file is the environment's own."""
        harness.make_wheel(WHEELS, "rare", "1.0", {"rare.py": "v = 1\n", "rare.txt": "text\n"})
        self.pip("install", "rare")
        with open(self.site / "rare.py", "a") as file:
            file.write("# mine\n")
        os.chmod(self.site / "rare.txt", 0o600)
        shown = self.tree()
        self.commit()
        self.assertEqual(self.tree(), shown)
        self.assertEqual((self.site / "rare.txt").stat().st_mode & 0o777, 0o644,
                         "a umask is no edit")
        self.assertEqual([edit for edit in self.edits() if not edit[1].endswith(".pyc")],
                         [("A", "rare.py")])
        self.assertEqual(self.python("import rare; print(rare.v)"), "1")

    def test_modes_count_as_far_as_they_are_the_owners(self):
        self.pip("install", "thing==1.0")
        deep, module = self.site / "thing" / "sub" / "deep.py", self.site / "part.py"
        os.chmod(deep, 0o755)
        os.chmod(module, 0o444)
        self.commit()
        self.assertEqual(deep.stat().st_mode & 0o777, 0o755)
        self.assertEqual(module.stat().st_mode & 0o777, 0o444)
        self.assertEqual(self.python("import thing.sub.deep as d; print(d.deep)"), "1.0")

    def test_uninstalled_inside(self):
        self.pip("install", "thing==1.0", "ns-one")
        self.commit()
        plain = self.tree()
        self.pip("uninstall", "-y", "thing")
        self.assertEqual(self.packages()["thing"], "1.0")
        self.commit()
        self.assertEqual(self.packages(), {"part": "1.0", "ns-one": "1.0"})
        self.assertEqual(self.kept(), [], "no whiteout may hide what comes later")
        BOX.venvfs("rollback", "-n", self.name)
        self.assertEqual(self.tree(), plain)

    def test_upgraded_inside_and_seen_by_a_running_interpreter(self):
        self.pip("install", "thing==1.0")
        self.commit()
        program = ("import sys, thing\nprint(thing.v, flush=True)\nsys.stdin.readline()\n"
                   "import thing.newer; print(thing.newer.is_new)")
        with subprocess.Popen([self.env / "bin" / "python", "-c", program], env=BOX.env, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), "1.0\n")
            self.pip("install", "thing==2.0")
            self.commit()
            self.assertEqual(process.communicate("\n", timeout=60)[0], "True\n")
        self.assertEqual(self.packages()["thing"], "2.0")
        self.assertEqual(self.kept(), [])
        self.assertEqual(self.edits(), [])

    def test_an_opaque_namespace_folder(self):
        self.pip("install", "ns-one")
        self.commit()
        shutil.rmtree(self.site / "ns")
        self.pip("install", "ns-two")
        shown = self.tree()
        self.commit()
        self.assertEqual(self.tree(), shown)
        self.assertEqual(os.listdir(self.site / "ns")[:1] and
                         [n for n in os.listdir(self.site / "ns") if n.endswith(".py")], ["two.py"])
        self.assertIn(("D", "ns/one.py"), self.edits())

    def test_editable_installs_are_left_alone(self):
        project = BOX.root / "project"
        if not project.exists():
            harness.make_source(BOX.root, "project", files={"src_mod.py": "where = 'project'\n"})
        with open(os.path.join(os.fspath(self.site), "linked.pth"), "w") as file:
            file.write(f"{project}\n")
        info = self.site / "linked-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n")
        (info / "INSTALLER").write_text("pip\n")
        (info / "direct_url.json").write_text(
            '{"url": "file://%s", "dir_info": {"editable": true}}' % project)
        (info / "RECORD").write_text("linked.pth,,\nlinked-1.0.dist-info/RECORD,,\n")
        self.pip("install", "part")
        shown = self.tree()
        self.commit()
        self.assertEqual(self.packages(), {"part": "1.0"})
        self.assertEqual(self.tree(), shown)
        self.assertTrue(any("linked" in path for path in self.kept()))

    def test_an_unfinished_installation_is_left(self):
        self.pip("install", "thing==1.0")
        (self.site / "thing-1.0.dist-info" / "RECORD").rename(self.env / "RECORD")
        shown = self.tree()
        done = self.commit()
        self.assertIn("thing-1.0.dist-info", done.stderr)
        self.assertEqual(self.packages(), {"part": "1.0"})
        self.assertEqual(self.tree(), shown)
        (self.env / "RECORD").rename(self.site / "thing-1.0.dist-info" / "RECORD")
        self.commit()
        self.assertEqual(self.packages(), {"part": "1.0", "thing": "1.0"})

    def test_bytecode_that_pip_compiled_over_the_wheels_own(self):
        cache = self.python("import importlib.util; print(importlib.util.cache_from_source('shipped/mod.py'))")
        harness.make_wheel(WHEELS, "shipped", "1.0", {"shipped/__init__.py": "", "shipped/mod.py": "v = 1\n",
                                                      cache: "stale"})
        self.pip("install", "shipped")
        rows = (self.site / "shipped-1.0.dist-info" / "RECORD").read_text().splitlines()
        self.assertEqual(len([row for row in rows if row.startswith(cache)]), 2)  # what this is about
        self.commit()
        self.assertEqual(self.packages(), {"shipped": "1.0"})
        self.assertFalse([path for path in self.kept() if "shipped" in path])
        self.assertEqual(self.python("import shipped.mod as m; print(m.v)"), "1")

    def test_dry_run_changes_nothing(self):
        self.pip("install", "thing==1.0")
        kept, store = self.kept(), harness.tree_digest(BOX.venvfs_home / "store")
        facts = BOX.json("commit", self.name, "--dry-run")[0]
        self.assertEqual({row["name"] for row in facts["packages"]["added"]}, {"thing", "part"})
        self.assertEqual(self.kept(), kept)
        self.assertEqual(harness.tree_digest(BOX.venvfs_home / "store"), store)
        self.assertEqual(self.generation(), 1)

    def test_a_moved_folder_keeps_its_content_when_the_image_leaves(self):
        self.pip("install", "thing==1.0")
        self.commit()
        content = harness.tree_digest(self.site / "thing")
        os.rename(self.site / "thing", self.site / "old_thing")
        self.pip("uninstall", "-y", "thing")
        self.commit()
        self.assertNotIn("thing", self.packages())
        self.assertEqual(harness.tree_digest(self.site / "old_thing"), content)
        BOX.venvfs("umount", "--all")
        BOX.venvfs("commit", self.name)
        self.assertEqual(harness.tree_digest(self.site / "old_thing"), content)


class Orders(Case):
    """From inside, from outside, and back, in any order: each step leaves what it promised."""

    def test_in_every_order(self):
        self.pip("install", "part")
        self.commit()
        plain = {}
        for version in ("1.0", "2.0"):
            BOX.venvfs("install", "-q", "-n", self.name, f"thing=={version}")
            plain[version] = self.by_package()
        steps = ("inside", "outside", "back", "uninstall inside", "uninstall outside")
        rng = random.Random(int(os.environ.get("VENVFS_TEST_SEED", "7")))
        trees = {self.generation(): (self.by_package(), self.packages())}
        for i in range(25):
            step = rng.choice(steps)
            version = rng.choice(("1.0", "2.0"))
            has = "thing" in self.packages_inside()
            if step == "inside":
                self.pip("install", f"thing=={version}")
            elif step == "outside":
                BOX.venvfs("install", "-q", "-n", self.name, f"thing=={version}")
            elif step == "uninstall inside" and has:
                self.pip("uninstall", "-y", "thing")
            elif step == "uninstall outside" and has:
                BOX.venvfs("uninstall", "-q", "-n", self.name, "thing")
            elif step == "back":
                number = rng.choice(sorted(trees))
                BOX.venvfs("rollback", "-q", "-n", self.name, str(number))
                with self.subTest(i=i, step=step, number=number):
                    self.assertEqual(self.by_package(), trees[number][0])
                    self.assertEqual(self.packages(), trees[number][1])
            if rng.random() < 0.5:
                BOX.venvfs("commit", "-q", self.name)
            with self.subTest(i=i, step=step, version=version):
                if step in ("inside", "outside"):
                    self.assertEqual(self.by_package(), plain[version])
                    self.assertEqual(self.python("import thing; print(thing.v)"), version)
                elif step.startswith("uninstall"):
                    self.assertFalse((self.site / "thing").exists())
            BOX.venvfs("commit", "-q", self.name)
            self.assertEqual(self.kept(), [], step)
            trees[self.generation()] = self.by_package(), self.packages()

    def by_package(self):
        return {path: digest for path, digest in self.tree().items()
                if "thing" in path and not path.endswith(("INSTALLER", "REQUESTED", "__pycache__"))}

    def packages_inside(self):
        return {path.name.partition("-")[0] for path in self.site.glob("*.dist-info")}

    def test_edits_go_with_their_package_and_come_back(self):
        self.pip("install", "thing==1.0")
        self.commit()
        number = self.generation()
        folder = self.site / "thing"
        (folder / "data.txt").write_text("mine\n")
        (folder / "sub" / "deep.py").unlink()
        (folder / "own.py").write_text("own = 1\n")
        (folder / "newer.py").write_text("mine = 1\n")  # 2.0 has a file of this name
        edited = self.tree()
        done = BOX.venvfs("install", "-n", self.name, "thing==2.0")
        self.assertIn(f"edits/{number}", done.stderr)
        self.assertEqual(self.edits(), [("A", "thing/own.py")])
        self.assertEqual((folder / "newer.py").read_text(), "is_new = True\n")
        self.assertTrue((folder / "sub" / "deep.py").exists())
        aside = self.folder / "edits" / str(number)
        self.assertEqual((next(aside.rglob("data.txt"))).read_text(), "mine\n")
        BOX.venvfs("rollback", "-n", self.name, str(number))
        self.assertEqual(self.tree(), edited)

    def test_a_killed_switch_brings_edits_back(self):
        self.pip("install", "thing==1.0")
        self.commit()
        aside = self.folder / "edits" / str(self.generation())
        place = aside / (self.site / "thing").relative_to(self.env)
        place.mkdir(parents=True)
        (place / "data.txt").write_text("mine\n")  # as if the command had died behind this
        BOX.venvfs("install", "-n", self.name, "ns-one")
        self.assertEqual((self.site / "thing" / "data.txt").read_text(), "mine\n")
        self.assertIn(("M", "thing/data.txt"), self.edits())
        self.assertFalse(aside.exists())

    def test_clone_settles_first(self):
        self.pip("install", "thing==1.0")
        (self.site / "thing" / "data.txt").write_text("mine\n")
        BOX.venvfs("clone", self.name, self.name + "_b")
        other = BOX.hub / (self.name + "_b")
        self.assertEqual({row["name"] for row in BOX.json("show", self.name + "_b")["packages"]
                          if not row["seed"]}, {"thing", "part"})
        self.assertEqual(next(other.rglob("thing/data.txt")).read_text(), "mine\n")


class Alone(unittest.TestCase):
    """By itself, after a quiet time."""

    def test_after_a_quiet_time(self):
        with harness.Sandbox("alone") as box:
            box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_SETTLE="1")
            env = box.create("e")
            harness.run([env / "bin" / "python", "-m", "pip", "-q", "install", "thing==1.0"],
                        env=box.env)
            upper = box.venvfs_home / "envs" / "e" / "upper"

            def settled():
                rows = box.json("show", "e")["packages"]
                return "thing" in {row["name"] for row in rows} and not list(upper.rglob("*.py"))
            self.assertTrue(harness.wait_until(settled, 30))
            (next(env.glob("lib/python3*/site-packages")) / "own.py").write_text("x = 1\n")
            time.sleep(2.5)  # nothing that concerns packages: no generation
            self.assertEqual(box.json("show", "e")["generation"], 2)
            # An installation under way is left alone, for as long as it takes; then it is settled.
            site = next(env.glob("lib/python3*/site-packages"))
            harness.run([env / "bin" / "python", "-m", "pip", "-q", "install", "ns-one"], env=box.env)
            (site / "ns" / "one.py").rename(env / "one.py")
            time.sleep(4)
            self.assertEqual(box.json("show", "e")["generation"], 2)
            self.assertTrue(box.json("show", "e")["unsettled"])
            (env / "one.py").rename(site / "ns" / "one.py")
            self.assertTrue(harness.wait_until(lambda: box.json("show", "e")["generation"] == 3, 30))

    def test_what_a_daemon_left_is_settled_by_the_next(self):
        with harness.Sandbox("alonenext") as box:
            box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_SETTLE="off")
            env = box.create("e")
            self.assertFalse(box.json("show", "e")["unsettled"])
            harness.run([env / "bin" / "python", "-m", "pip", "-q", "install", "part"], env=box.env)
            self.assertTrue(box.json("show", "e")["unsettled"])
            box.venvfs("umount", "--all")
            self.assertTrue(box.json("show", "e")["unsettled"])  # no daemon says so
            box.env["VENVFS_SETTLE"] = "1"
            harness.run([env / "bin" / "python", "-c", "pass"], env=box.env)  # starts the daemon
            current = box.venvfs_home / "envs" / "e" / "current"
            self.assertTrue(harness.wait_until(lambda: os.readlink(current) == "2.json", 30))
            self.assertFalse(box.json("show", "e")["unsettled"])

    def test_a_list_that_stays_wrong_keeps_nobody_waiting(self):
        with harness.Sandbox("alonebad") as box:
            box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_SETTLE="off")
            env = box.create("e")
            harness.run([env / "bin" / "python", "-m", "pip", "-q", "install", "part", "ns-one"], env=box.env)
            site = next(env.glob("lib/python3*/site-packages"))
            with open(site / "ns_one-1.0.dist-info" / "RECORD", "a") as file:
                file.write("ns/one.py,sha256=short,5\n")
            box.venvfs("umount", "--all")
            box.env["VENVFS_SETTLE"] = "1"
            harness.run([env / "bin" / "python", "-c", "pass"], env=box.env)  # starts the daemon
            self.assertTrue(harness.wait_until(
                lambda: "part" in {row["name"] for row in box.json("show", "e")["packages"]}, 30))
            self.assertTrue((site / "ns" / "one.py").exists())

    def test_off(self):
        with harness.Sandbox("aloneoff") as box:
            box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_SETTLE="off")
            env = box.create("e")
            harness.run([env / "bin" / "python", "-m", "pip", "-q", "install", "part"], env=box.env)
            time.sleep(1.5)
            self.assertEqual(box.json("show", "e")["generation"], 1)


class Killed(unittest.TestCase):
    """The daemon or the command ends at any moment: nothing shown changes, and it can be done again."""

    KILLS = int(os.environ.get("VENVFS_TEST_KILLS", "12"))

    def test_kill_at_any_moment(self):
        rng = random.Random(int(os.environ.get("VENVFS_TEST_SEED", "3")))
        with harness.Sandbox("settlekill") as box:
            box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS), VENVFS_SETTLE="off")
            env = box.create("e")
            pip = [env / "bin" / "python", "-m", "pip", "-q"]

            def tree():
                return {path: digest for path, digest in harness.tree_digest(env).items()
                        if not DIFFERS.fullmatch(path) and "__pycache__" not in path}
            for i in range(self.KILLS):
                version = ("1.0", "2.0")[i % 2]
                harness.run([*pip, "install", f"thing=={version}"], env=box.env)
                shown = tree()
                victim = rng.choice(("command", "daemon"))
                with subprocess.Popen([harness.PROGRAM, "commit", "-q", "e"], env=box.env,
                                      stderr=subprocess.DEVNULL) as process:
                    time.sleep(rng.uniform(0.0, 0.12))
                    os.kill(process.pid if victim == "command" else box.daemon_pid(), signal.SIGKILL)
                    process.wait(timeout=60)
                box.venvfs("status")  # heals
                box.venvfs("mount", "-n", "e", status=None)
                with self.subTest(i=i, victim=victim):
                    self.assertEqual(tree(), shown)
                    box.venvfs("commit", "-q", "e")
                    self.assertEqual(tree(), shown)
                    rows = {row["name"]: row["version"] for row in box.json("show", "e")["packages"]}
                    self.assertEqual(rows["thing"], version)
                    upper = box.venvfs_home / "envs" / "e" / "upper"
                    self.assertEqual([str(p) for p in upper.rglob("*") if p.is_file()
                                      and ".wh..wh..orphans" not in p.parts], [])
            box.venvfs("store", "verify")


if __name__ == "__main__":
    harness.main()
