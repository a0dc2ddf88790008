#!/usr/bin/env python3
"""`venvfs materialize` writes what is mounted: packages with all that was changed over them, as plain
files that work at their own path."""
import os
import pathlib
import shutil
import stat
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness


def setUpModule():
    global BOX, LOCK
    BOX = harness.Sandbox("plain")
    unittest.addModuleCleanup(BOX.close)
    wheels = BOX.root / "wheels"
    wheels.mkdir()
    made = []
    for name in ("one", "two"):
        files = {f"{name}/__init__.py": f"v = {name!r}\n", f"{name}/data.bin": os.urandom(300_000),
                 f"{name}/sub/__init__.py": "", f"{name}/sub/deep/mod.py": "d = 1\n",
                 f"ns/{name}/__init__.py": "", f"ns/{name}.py": "n = 1\n"}
        files.update({f"{name}/many/f{i}.txt": f"{i}\n" for i in range(20)})
        made.append(harness.make_wheel(wheels, name, "1.0", files,
                                       entry_points=f"[console_scripts]\nrun-{name} = {name}:v.strip\n"))
    harness.make_wheel(wheels, "later", "1.0", {"later.py": "def main(): print('later runs')\n"},
                       entry_points="[console_scripts]\nlater = later:main\n")
    LOCK = BOX.root / "lock.txt"
    LOCK.write_text(harness.lock_text(*made))
    BOX.env.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels), PIP_ROOT_USER_ACTION="ignore")


def tree(root):
    """{path: what it is}; times of folders are left out."""
    found = {}
    for path, digest in harness.tree_digest(root).items():
        facts = os.lstat(os.path.join(root, path))
        kind = stat.S_IFMT(facts.st_mode)
        found[path] = (digest, oct(facts.st_mode) if kind != stat.S_IFLNK else None, facts.st_uid, facts.st_gid,
                       facts.st_mtime_ns if kind == stat.S_IFREG else None)
    return found


class Materialize(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rpartition(".")[2][5:45].replace("_", "-")
        self.env = BOX.create(self.name, "-r", LOCK)
        self.site = next(self.env.glob("lib/python3*/site-packages"))
        self.target = BOX.root / f"{self.name}-out"

    def written(self):
        """The plain files; they are what is mounted, but for what names its own path and what only a
        mount needs."""
        done = BOX.venvfs("materialize", "-n", self.name, self.target)
        self.assertEqual(harness.one_line(done.stdout), str(self.target))
        ours, theirs = tree(self.target), tree(self.env)
        hook = [path for path in theirs if os.path.basename(path).startswith("_venvfs")]
        self.assertTrue(all(path not in ours for path in hook))
        wrong = {}
        for path in sorted({*ours, *theirs} - {*hook}):
            if path.startswith("bin/") or path == "pyvenv.cfg":
                self.assertEqual(path in ours, path in theirs, path)
            elif ours.get(path) != theirs.get(path):
                wrong[path] = ours.get(path), theirs.get(path)
        self.assertEqual(wrong, {})
        return self.target

    def runs(self, *command):
        return harness.run(command, env=BOX.env, cwd=BOX.home).stdout.strip()

    def test_nothing_changed(self):
        folder = self.written()
        self.assertEqual(self.runs(folder / "bin" / "python", "-c", "import one, sys; print(one.v, sys.prefix)"),
                         f"one {folder}")

    def test_edits_whiteouts_and_attributes(self):
        site = self.site
        (site / "one" / "__init__.py").write_text("v = 'edited'\n")
        (site / "one" / "new").mkdir(mode=0o750)
        (site / "one" / "new" / "file").write_text("new\n")
        os.chmod(site / "one" / "new" / "file", 0o440)
        (site / "one" / "link").symlink_to("data.bin")
        os.unlink(site / "one" / "many" / "f1.txt")
        shutil.rmtree(site / "two" / "many")
        os.chmod(site / "two" / "__init__.py", 0o600)
        os.utime(site / "two" / "data.bin", (1_000_000, 2_000_000.5))
        os.chmod(site / "two" / "sub", 0o700)
        if os.getuid() == 0:
            os.chown(site / "ns" / "two.py", 12, 34)
            os.chown(site / "one" / "new" / "file", 56, 78)
            os.chown(site / "one" / "new", 56, 78)
            os.chown(site / "one" / "sub", 12, 34)  # which has nothing of its own in the layer
        folder = self.written()
        self.assertEqual(self.runs(folder / "bin" / "python", "-c", "import one; print(one.v)"), "edited")

    def test_renames_and_folders_made_again(self):
        site = self.site
        os.rename(site / "one" / "sub", site / "one" / "renamed")
        (site / "one" / "renamed" / "deep" / "mod.py").write_text("d = 2\n")
        os.rename(site / "one", site / "uno")
        os.rename(site / "ns", site / "merged")  # of two packages
        shutil.rmtree(site / "two" / "sub")
        (site / "two" / "sub").mkdir()
        (site / "two" / "sub" / "only.py").write_text("")
        shutil.rmtree(site / "two" / "many")
        (site / "two" / "many").write_text("a file now\n")
        os.unlink(site / "two" / "data.bin")
        (site / "two" / "data.bin").mkdir()
        folder = self.written()
        self.assertEqual(self.runs(folder / "bin" / "python", "-c",
                                   "import uno.renamed.deep.mod as m, merged.two; print(m.d)"), "2")

    def test_what_pip_did(self):
        """Its scripts name the environment's interpreter; those that are written name their own."""
        self.runs(self.env / "bin" / "python", "-m", "pip", "install", "-q", "later")
        self.runs(self.env / "bin" / "python", "-m", "pip", "uninstall", "-q", "-y", "two")
        (self.env / "bin" / "mine").write_text(f"#!{self.env}/bin/python\nimport sys; print(sys.prefix)\n")
        (self.env / "bin" / "mine").chmod(0o755)
        folder = self.written()
        BOX.venvfs("umount", "--all")
        self.assertEqual(self.runs(folder / "bin" / "later"), "later runs")
        self.assertEqual(self.runs(folder / "bin" / "mine"), str(folder))
        self.assertFalse((folder / "bin" / "run-two").exists())
        for path in (folder / "bin").iterdir():
            if not path.is_symlink():
                self.assertNotIn(str(self.env).encode(), path.read_bytes(), path)

    def test_without_a_daemon(self):
        """As where there is no FUSE any more: the layer is read from its folder."""
        (self.site / "one" / "__init__.py").write_text("v = 'edited'\n")
        os.unlink(self.site / "two" / "__init__.py")
        BOX.venvfs("umount", "--all")
        BOX.venvfs("materialize", "-n", self.name, self.target)
        self.assertIsNone(BOX.daemon_pid())
        site = next(self.target.glob("lib/python3*/site-packages"))
        self.assertEqual((site / "one" / "__init__.py").read_text(), "v = 'edited'\n")
        self.assertFalse((site / "two" / "__init__.py").exists())


if __name__ == "__main__":
    harness.main()
