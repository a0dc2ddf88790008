#!/usr/bin/env python3
"""`venvfs adopt`: an existing venv becomes an environment of the store, with all that was edited in it
and all that no RECORD lists, and the venv stays as it was.

What is not the same on purpose: activation files are made anew; INSTALLER is venvfs; RECORD is
written as for wheels; bytecode is compiled anew; first lines of scripts name the new environment."""
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

# Files that differ, or are there in one of the two only.
OWN = re.compile(r"pyvenv\.cfg|\.gitignore|bin/(python[0-9.]*|[Aa]ctivate[^/]*)"
                 r"|lib/python3\.\d+/site-packages/_venvfs\.pth"
                 r"|.*/__pycache__(/.*)?"
                 r"|lib/python3\.\d+/site-packages/[^/]+\.dist-info/(INSTALLER|RECORD)")
LIST = ("import importlib.metadata as m, json; print(json.dumps(sorted("
        "(d.metadata['Name'], d.version, d.read_text('direct_url.json'),"
        " d.read_text('REQUESTED') is not None, sorted(map(str, d.entry_points)))"
        " for d in m.distributions())))")


def setUpModule():
    global BOX, WHEELS
    BOX = harness.Sandbox("adopt")
    unittest.addModuleCleanup(BOX.close)
    WHEELS = BOX.root / "wheels"
    WHEELS.mkdir()
    harness.make_wheel(
        WHEELS, "tool", "1.0",
        {"tool/__init__.py": "def main():\n    print('tool runs')\n", "tool/data.txt": "data\n",
         "tool/c.py": "c = 1\n", "tool-1.0.data/scripts/old-tool": "#!python\nprint('old runs')\n",
         "tool-1.0.data/scripts/sh-tool": "#!/bin/sh\necho sh runs\n",
         "tool-1.0.data/data/share/tool/x.cfg": "[x]\n", "tool-1.0.data/data/etc/tool.conf": "y\n",
         "tool-1.0.data/headers/tool.h": "#define TOOL\n"},
        entry_points="[console_scripts]\ntool = tool:main\ntool2 = tool:main\n",
        executable=("tool-1.0.data/scripts/sh-tool", "tool-1.0.data/scripts/old-tool"))
    harness.make_wheel(WHEELS, "space-a", "1.0", {"space/a.py": "a = 1\n", "both/x.py": "x = 1\n"})
    harness.make_wheel(WHEELS, "space-b", "1.0", {"space/b.py": "b = 1\n", "both/x.py": "x = 2\n"})
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS))


def make_venv(name, *packages, python=None):
    """A venv with these packages; returns its path."""
    venv = BOX.root / name
    harness.run([python or harness.default_python(), "-m", "venv", venv], env=BOX.env)
    if packages:
        pip(venv, "install", "-q", *packages)
    return venv


def pip(venv, *arguments, **options):
    return harness.run([venv / "bin" / "python", "-m", "pip", *arguments], env=BOX.env, **options)


def site(venv):
    return next(pathlib.Path(venv, "lib").glob("python3.*")) / "site-packages"


def metadata(env):
    return json.loads(harness.run([pathlib.Path(env, "bin/python"), "-c", LIST], env=BOX.env).stdout)


def adopt(*arguments, **options):
    return pathlib.Path(harness.one_line(BOX.venvfs("adopt", *arguments, **options).stdout))


def blobs():
    return BOX.json("store", "stats")["blobs"]


def snapshot(root):
    """Bytes, modes and times of all of a tree."""
    found = {}
    for folder, folders, files in os.walk(root):
        for path in [os.path.join(folder, name) for name in folders + files]:
            facts = os.lstat(path)
            digest = None
            if stat.S_ISREG(facts.st_mode):
                digest = pathlib.Path(path).read_bytes()
            found[path] = (facts.st_mode, facts.st_mtime_ns, digest)
    return found


class Adopted(unittest.TestCase):
    def compare(self, venv, env, extra=()):
        """All files but for those that differ on purpose; scripts by what they run."""
        ours, theirs = harness.tree_digest(env), harness.tree_digest(venv)
        scripts = {path for path in theirs if path.startswith("bin/")
                   and not os.path.islink(venv / path) and (venv / path).is_file()
                   and str(venv).encode() in (venv / path).read_bytes()[:500]}
        differ = {path for path in set(ours) | set(theirs) if ours.get(path) != theirs.get(path)
                  and not OWN.fullmatch(path)} - scripts - set(extra)
        self.assertEqual(differ, set())
        for path in theirs:
            if stat.S_ISREG(os.lstat(venv / path).st_mode) and not OWN.fullmatch(path):
                self.assertEqual(os.stat(venv / path).st_mode & 0o111,
                                 os.stat(env / path).st_mode & 0o111, path)
        for path in scripts:
            if OWN.fullmatch(path):
                continue
            first = (env / path).read_bytes().split(b"\n")[0].decode()
            self.assertRegex(first, rf"#!{re.escape(str(env))}/bin/python\S*\Z")
            self.assertNotIn(str(venv).encode(), (env / path).read_bytes())

    def test_an_environment_equals_its_venv(self):
        venv = make_venv("plain", "tool", "space-a")
        before = snapshot(venv)
        env = adopt(venv)
        self.assertEqual(env, BOX.hub / "plain")
        self.compare(venv, env)
        self.assertEqual(metadata(env), metadata(venv))
        self.assertEqual(pip(env, "list", "--format=json").stdout,
                         pip(venv, "list", "--format=json").stdout)
        for script in ("tool", "tool2", "old-tool", "sh-tool"):
            self.assertEqual(harness.run([env / "bin" / script], env=BOX.env).stdout,
                             harness.run([venv / "bin" / script], env=BOX.env).stdout)
        after = snapshot(venv)
        self.assertEqual(before, {path: after[path] for path in before})
        shown = {row["name"]: row for row in BOX.json("show", "plain")["packages"]}
        self.assertTrue(shown["tool"]["requested"])
        self.assertTrue(shown["pip"]["seed"])
        pip(env, "check")
        BOX.venvfs("store", "verify")

    def test_a_second_adopt_adds_no_blob(self):
        venv = make_venv("twice", "tool")
        adopt(venv, "first")
        before = blobs()
        report = BOX.json("adopt", venv, "second")
        self.assertEqual(blobs(), before)
        self.assertTrue(all(package["found"] for package in report["packages"]))
        self.assertEqual(harness.tree_digest(BOX.hub / "first" / "lib"),
                         harness.tree_digest(BOX.hub / "second" / "lib"))

    def test_packages_of_wheels_in_the_store_are_found(self):
        with harness.Sandbox("found") as box:
            box.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(WHEELS))
            lock = box.root / "lock.txt"
            lock.write_text(harness.lock_text(*sorted(WHEELS.glob("tool-*.whl"))))
            made = box.create("made", "-r", lock)
            before = box.json("store", "stats")["blobs"]
            venv = make_venv("found", "tool")
            report = box.json("adopt", venv, "again")
            self.assertEqual([p["name"] for p in report["packages"] if not p["found"]], [])
            self.assertEqual(box.json("store", "stats")["blobs"], before)
            images = [{p["name"]: p["wheel"] for p in box.json("show", name)["packages"]}
                      for name in ("made", "again")]
            self.assertEqual(images[0], images[1])
            self.assertTrue((made / "bin/tool").exists())

    def test_edits_and_leftovers_come_along(self):
        venv = make_venv("edited", "tool", "space-b")
        packages = site(venv)
        (packages / "tool/data.txt").write_text("edited\n")
        (packages / "tool/c.py").unlink()
        (venv / "bin/tool2").unlink()
        (venv / "bin/sh-tool").write_text("#!/bin/sh\necho mine\n")
        (venv / "share/tool/x.cfg").unlink()
        (venv / "share/tool/x.cfg").symlink_to("/etc/hostname")
        (packages / "mine.py").write_text("print('mine')\n")
        (packages / "mine.pth").write_text("/nowhere\n")
        (packages / "space/extra.py").write_text("extra = 1\n")
        (venv / "notes").mkdir(mode=0o750)
        (venv / "notes/to do.txt").write_text("adopt\n")
        (venv / "notes/to do.txt").chmod(0o400)
        os.utime(venv / "notes/to do.txt", (1000000000, 1000000000))
        (venv / "notes/link").symlink_to("to do.txt")
        script = f"#!{venv}/bin/python3\nimport sys; print(sys.prefix)\n"
        (venv / "bin/own").write_text(script)
        (venv / "bin/own").chmod(0o755)
        os.mkfifo(venv / "notes/fifo")
        before = snapshot(venv)
        env = adopt(venv)
        self.assertEqual(before, {path: facts for path, facts in snapshot(venv).items() if path in before})
        # The FIFO cannot come along.
        self.assertFalse((env / "notes/fifo").exists())
        os.unlink(venv / "notes/fifo")
        self.compare(venv, env)
        self.assertFalse((env / site(venv).relative_to(venv) / "tool/c.py").exists())
        self.assertFalse((env / "bin/tool2").exists())
        self.assertEqual(os.readlink(env / "share/tool/x.cfg"), "/etc/hostname")
        self.assertEqual(harness.run([env / "bin/sh-tool"]).stdout, "mine\n")
        self.assertEqual(harness.run([env / "bin/own"]).stdout, f"{env}\n")
        notes = os.stat(env / "notes/to do.txt")
        self.assertEqual((notes.st_mode & 0o777, notes.st_mtime), (0o400, 1000000000))
        self.assertEqual(os.stat(env / "notes").st_mode & 0o777, 0o750)
        self.assertEqual(harness.run([env / "bin/python", "-c", "import mine, space.b, space.extra"],
                                     env=BOX.env).stdout, "mine\n")
        # In the layer itself they are plain files.
        upper = BOX.venvfs_home / "envs/edited/upper"
        self.assertEqual((upper / "notes/to do.txt").read_text(), "adopt\n")
        self.assertTrue((upper / "bin/.wh.tool2").exists())
        self.assertFalse(list(upper.rglob("tool.h")))

    def test_the_report_names_what_is_special(self):
        venv = make_venv("report", "tool")
        packages = site(venv)
        (packages / "tool/data.txt").write_text("edited\n")
        (packages / "mine.py").write_text("")
        bad = packages / "bad-1.0.dist-info"
        bad.mkdir()
        (bad / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
        (bad / "RECORD").write_text("../../../../../../../../etc/passwd,,\n")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(venv / "s"))
        for arguments in (("--dry-run",), ()):
            done = BOX.venvfs("adopt", venv, "--json", *arguments)
            report = json.loads(done.stdout)
            self.assertEqual(report["dry_run"], bool(arguments))
            self.assertEqual([(edit["path"], edit["kind"]) for edit in report["edits"]],
                             [(str((packages / "tool/data.txt").relative_to(venv)), "changed")])
            self.assertEqual([row["dist_info"] for row in report["refused"]], ["bad-1.0.dist-info"])
            self.assertIn("etc/passwd, which lies outside", report["refused"][0]["error"])
            self.assertIn("etc/passwd, which lies outside", done.stderr)
            left = {row["path"]: row["bytes"] for row in report["leftovers"]}
            self.assertEqual(left[str((packages / "mine.py").relative_to(venv))], 0)
            self.assertIn(str((bad / "RECORD").relative_to(venv)), left)
            self.assertEqual(report["skipped"], [{"path": "s", "problem": "is a socket"}])
            self.assertEqual((BOX.hub / "report").exists() and "report" in
                             BOX.venvfs("list", "--names").stdout.split(), not arguments)
        self.assertIn(["bad", "1.0"], [row[:2] for row in metadata(BOX.hub / "report")])

    def test_without_leftovers(self):
        venv = make_venv("lean", "tool")
        (site(venv) / "mine.py").write_text("")
        (site(venv) / "tool/data.txt").write_text("edited\n")
        env = adopt(venv, "--no-leftovers")
        self.assertFalse((env / site(venv).relative_to(venv) / "mine.py").exists())
        self.assertEqual((env / site(venv).relative_to(venv) / "tool/data.txt").read_text(), "edited\n")

    def test_an_editable_install_stays_one(self):
        venv = make_venv("editable", "tool")
        source = BOX.root / "source"
        source.mkdir()
        (source / "proj.py").write_text("def main():\n    print('proj', __file__)\n")
        wheel = harness.make_wheel(WHEELS, "proj", "0.1", {"__editable__.proj.pth": f"{source}\n"},
                                   entry_points="[console_scripts]\nproj = proj:main\n")
        pip(venv, "install", "-q", wheel)
        info = site(venv) / "proj-0.1.dist-info"
        (info / "direct_url.json").write_text(
            json.dumps({"dir_info": {"editable": True}, "url": f"file://{source}"}))
        report = BOX.json("adopt", venv)
        env = BOX.hub / "editable"
        self.assertEqual(report["editable"], [{"name": "proj", "version": "0.1"}])
        self.assertNotIn("proj", BOX.venvfs("store", "ls").stdout)
        self.assertEqual(metadata(env), metadata(venv))
        self.assertEqual(harness.run([env / "bin/proj"], env=BOX.env).stdout,
                         f"proj {source}/proj.py\n")
        first = (env / "bin/proj").read_text().splitlines()[0]
        self.assertTrue(first.startswith(f"#!{env}/bin/python"), first)

    def test_two_packages_with_one_file_show_what_was_there(self):
        for order in (("space-a", "space-b"), ("space-b", "space-a")):
            venv = make_venv("clash-" + order[0])
            for package in order:
                pip(venv, "install", "-q", package)
            report = BOX.json("adopt", venv)
            env = BOX.hub / venv.name
            name = site(venv).relative_to(venv) / "both/x.py"
            self.assertEqual((env / name).read_text(), (venv / name).read_text(), order)
            self.assertEqual(metadata(env), metadata(venv))
            self.assertLessEqual(len(report["edits"]), 1)

    def test_a_direct_url_is_kept(self):
        venv = make_venv("direct", WHEELS / "tool-1.0-py3-none-any.whl")
        env = adopt(venv)
        rows = {row[0]: row for row in metadata(env)}
        self.assertIn("tool-1.0-py3-none-any.whl", rows["tool"][2])
        self.assertEqual(metadata(env), metadata(venv))


class Broken(unittest.TestCase):
    def test_a_moved_venv(self):
        venv = make_venv("moved-from", "tool")
        moved = BOX.root / "moved-to"
        os.rename(venv, moved)
        report = BOX.json("adopt", moved, "moved")
        self.assertEqual(report["edits"], [])
        self.assertEqual(report["leftovers"], [])
        env = BOX.hub / "moved"
        for script, says in (("tool", "tool runs\n"), ("old-tool", "old runs\n")):
            self.assertEqual(harness.run([env / "bin" / script], env=BOX.env).stdout, says)

    def test_a_venv_whose_interpreter_is_gone(self):
        venv = make_venv("gone", "tool")
        for link in ("python", "python3", *(p.name for p in (venv / "bin").glob("python3.*"))):
            if (venv / "bin" / link).is_symlink():
                (venv / "bin" / link).unlink()
                (venv / "bin" / link).symlink_to("/nowhere/bin/python3")
        config = (venv / "pyvenv.cfg").read_text()
        (venv / "pyvenv.cfg").write_text(re.sub(r"(home|executable|command) = .*", r"\1 = /nowhere/bin",
                                                config))
        default = pathlib.Path(harness.default_python())
        search = {"PATH": f"{default.parent}:{os.environ['PATH']}"}
        done = BOX.venvfs("adopt", venv, env=search)
        self.assertIn("is not where it was", done.stderr)
        env = BOX.hub / "gone"
        self.assertEqual(harness.run([env / "bin/tool"], env=BOX.env).stdout, "tool runs\n")
        report = BOX.json("adopt", venv, "gone2", "-p", default)
        self.assertEqual(report["python"], BOX.json("show", "gone")["python"])

    def test_a_venv_without_its_configuration(self):
        venv = make_venv("bare", "tool")
        (venv / "pyvenv.cfg").unlink()
        env = adopt(venv, "-p", harness.default_python())
        self.assertEqual(harness.run([env / "bin/tool"], env=BOX.env).stdout, "tool runs\n")

    def test_what_is_no_venv_is_refused(self):
        folder = BOX.root / "no-venv"
        folder.mkdir()
        conda = BOX.root / "conda"
        (conda / "conda-meta").mkdir(parents=True)
        for path, says in ((folder, "has no lib/pythonX.Y/site-packages"), (conda, "conda"),
                           (BOX.root / "nowhere", "No such file"), (WHEELS / "tool-1.0-py3-none-any.whl", "Not a directory")):
            done = BOX.venvfs("adopt", path, "x", status=1)
            self.assertIn(says, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertNotIn("x", BOX.venvfs("list", "--names").stdout.split())

    def test_names(self):
        project = BOX.root / "proj dir"
        project.mkdir()
        venv = make_venv("proj dir/.venv", "tool")
        env = adopt(venv)
        self.assertEqual(env.name, "proj dir")
        done = BOX.venvfs("adopt", venv, status=1)
        self.assertIn("exists already", done.stderr)
        self.assertIn("takes another name", done.stderr)
        self.assertIn("cannot be the name", BOX.venvfs("adopt", venv, "a/b", status=1).stderr)
        self.assertEqual(harness.run([env / "bin/tool"], env=BOX.env).stdout, "tool runs\n")

    def test_another_minor_version_is_refused(self):
        others = [path for version, path in harness.interpreters().items()
                  if version != "3." + str(sys.version_info[1])
                  and f"python{version}" not in harness.default_python()]
        venv = make_venv("minor", "tool")
        others = [path for path in others if site(venv).parent.name != pathlib.Path(path).name]
        if not others:
            self.skipTest("only one interpreter here")
        done = BOX.venvfs("adopt", venv, "-p", others[0], status=1)
        self.assertIn("has packages for", done.stderr)


class Versions(unittest.TestCase):
    def test_old_and_new_interpreters(self):
        found = harness.interpreters()
        names = sorted(found, key=lambda version: int(version.split(".")[1]))
        for version in {names[0], names[-1], *({"3.8"} & set(names))}:
            if version in ("3.6", "3.7"):
                continue
            with self.subTest(version):
                venv = make_venv(f"py{version}", "tool", python=found[version])
                env = adopt(venv)
                self.assertEqual(metadata(env), metadata(venv))
                self.assertEqual(harness.run([env / "bin/tool"], env=BOX.env).stdout, "tool runs\n")
                Adopted.compare(self, venv, env)
                before = blobs()
                BOX.venvfs("adopt", venv, f"again-{version}")
                self.assertEqual(blobs(), before)


class Index(unittest.TestCase):
    def test_a_real_package(self):
        """Where an index answers."""
        venv = make_venv("real")
        env = {name: value for name, value in BOX.env.items() if name not in ("PIP_NO_INDEX",
                                                                              "PIP_FIND_LINKS")}
        done = harness.run([venv / "bin/python", "-m", "pip", "install", "-q", "--timeout", "5",
                            "--retries", "0", "itsdangerous==2.2.0"], env=env, status=None)
        if done.returncode:
            self.skipTest("no index answers")
        report = BOX.json("adopt", venv)
        self.assertEqual((report["edits"], report["leftovers"], report["refused"]), ([], [], []))
        adopted = BOX.hub / "real"
        Adopted.compare(self, venv, adopted)
        self.assertEqual(metadata(adopted), metadata(venv))
        sign = "from itsdangerous import Signer; print(Signer('k').sign('v').decode())"
        self.assertEqual(*(harness.run([root / "bin/python", "-c", sign], env=BOX.env).stdout
                           for root in (venv, adopted)))


if __name__ == "__main__":
    harness.main()
