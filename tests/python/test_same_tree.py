#!/usr/bin/env python3
"""The view of a real package set equals `python -m venv` plus `pip install` of the same lock, file by
file. Every difference that is allowed is checked here, and listed in docs/differences.md."""
import concurrent.futures
import configparser
import csv
import json
import os
import pathlib
import re
import stat
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

# Files of the view alone, in bin/: activation for shells that venv does not serve (virtualenv does).
EXTRA_ACTIVATION = {"bin/activate.nu", "bin/activate.xsh", "bin/activate_this.py"}
# The view's own .pth (design 7) and its module.
OWN_FILES = re.compile(r"lib/python3\.\d+/site-packages/_?venvfs[^/]*\Z"
                       r"|lib/python3\.\d+/site-packages/__pycache__/_?venvfs[^/]*\.pyc\Z")
# Written for the address: the texts are venvfs's own, behaviour is tested in test_it_runs.
OWN_TEXT = {"pyvenv.cfg", "bin/activate", "bin/activate.csh", "bin/activate.fish",
            "bin/Activate.ps1"}
# pip compiles a script that a wheel brings as bin/NAME.py, though Python never looks for bytecode of
# the file it runs. Its text is made for the address, so no image has a pyc of it.
COMPILED_SCRIPT = re.compile(r"(?:\.\./\.\./\.\./)?bin/__pycache__(?:/[^/]+\.pyc)?\Z")
# What venvfs itself installed; packages may bring others below their own folders.
OWN_DIST_INFO = re.compile(r"lib/python3\.\d+/site-packages/[^/]+\.dist-info/")
# A plain venv below 3.13 has no .gitignore, from 3.13 on it has.
OPTIONAL = {".gitignore"}


def walk(root):
    """{path: lstat} of everything below root; lib64 and other links are not followed."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = os.lstat(path)
    return found


def read(root, path):
    return pathlib.Path(root, path).read_bytes()


class SameTree:
    """The tests; one class below for each set."""
    set_name = ""

    @classmethod
    def setUpClass(cls):
        cls.view = harness.sets().path[cls.set_name]
        cls.twin = harness.sets().twin(cls.set_name)
        cls.ours, cls.theirs = walk(cls.view), walk(cls.twin)
        cls.theirs.pop(".complete")
        cls.both = sorted(set(cls.ours) & set(cls.theirs))
        cls.scripts = cls.script_names()

    @classmethod
    def script_names(cls):
        """bin/ files that an installer generates: entry points and #!python scripts."""
        names = set()
        for name in os.listdir(cls.twin / "bin"):
            path = cls.twin / "bin" / name
            if path.is_file() and not path.is_symlink():
                first = path.open("rb").readline()
                if first.startswith(b"#!") and str(cls.twin).encode() in first:
                    names.add(f"bin/{name}")
        return names

    def files(self):
        return [path for path in self.both if stat.S_ISREG(self.theirs[path].st_mode)]

    def differing(self, paths):
        return [path for path in paths if read(self.view, path) != read(self.twin, path)]

    def test_paths_are_the_same(self):
        extra = {path for path in set(self.ours) - set(self.theirs)
                 if not OWN_FILES.match(path)} - EXTRA_ACTIVATION - OPTIONAL
        lacking = {path for path in set(self.theirs) - set(self.ours)
                   if not COMPILED_SCRIPT.match(path)} - OPTIONAL
        self.assertEqual((sorted(extra)[:20], sorted(lacking)[:20]), ([], []))

    def test_types_and_permissions_are_the_same(self):
        wrong = []
        for path in self.both:
            ours, theirs = self.ours[path].st_mode, self.theirs[path].st_mode
            if stat.S_IFMT(ours) != stat.S_IFMT(theirs):
                wrong.append((path, "type"))
            elif stat.S_ISREG(ours) and path not in OWN_TEXT and (ours ^ theirs) & 0o111:
                wrong.append((path, oct(ours), oct(theirs)))
        self.assertEqual(wrong[:20], [])

    def test_symlinks_are_the_same(self):
        links = [path for path in self.both if stat.S_ISLNK(self.theirs[path].st_mode)]
        self.assertIn("bin/python", links)
        for path in links:
            self.assertEqual(os.path.realpath(self.view / path).replace(str(self.view), "ENV"),
                             os.path.realpath(self.twin / path).replace(str(self.twin), "ENV"))

    def test_bytes_are_the_same(self):
        special = self.scripts | OWN_TEXT
        plain = [path for path in self.files() if path not in special and not path.endswith(".pyc")
                 and not re.fullmatch(OWN_DIST_INFO.pattern + "(INSTALLER|RECORD)", path)]
        self.assertGreater(len(plain), 200)
        self.assertEqual(self.differing(plain)[:20], [])

    def test_installer_is_venvfs(self):
        """Allowed difference: INSTALLER."""
        installers = [path for path in self.files()
                      if re.fullmatch(OWN_DIST_INFO.pattern + "INSTALLER", path)]
        self.assertGreater(len(installers), 5)
        for path in installers:
            self.assertEqual(read(self.view, path), b"venvfs\n", path)

    def test_record_names_the_same_files(self):
        """Allowed differences: hash and size of generated scripts and of INSTALLER, order, rows of
        bytecode of scripts."""
        for path in self.files():
            if not re.fullmatch(OWN_DIST_INFO.pattern + "RECORD", path):
                continue
            ours, theirs = ({row[0]: row[1:] for row in
                             csv.reader(read(root, path).decode().splitlines())}
                            for root in (self.view, self.twin))
            self.assertEqual(set(ours) - set(theirs), set(), path)
            self.assertEqual({name for name in set(theirs) - set(ours)
                              if not COMPILED_SCRIPT.match(name)}, set(), path)
            for name, row in ours.items():
                script = "bin/" + name.rpartition("/")[2]
                free = name.endswith((".pyc", "/INSTALLER")) or script in self.scripts
                if not free:
                    self.assertEqual(row, theirs[name], f"{path}: {name}")
                if row[0]:
                    data = read(self.view, os.path.join(os.path.dirname(os.path.dirname(path)), name))
                    self.assertEqual(row, [harness.record_hash(data), str(len(data))],
                                     f"{path}: {name}")

    def test_scripts_differ_in_the_shebang_only(self):
        """Allowed difference: the path in the first line."""
        for path in sorted(self.scripts):
            ours, theirs = read(self.view, path), read(self.twin, path)
            self.assertIn(f"{self.view}/bin/python".encode(), ours.split(b"import", 1)[0], path)
            body = [re.sub(rb"\A#!.*\n(''''?exec.*\n' '''\n)?", b"", text) for text in (ours, theirs)]
            if body[0] != body[1]:
                # pip's wrapper and ours need not be one text: what they call is.
                called = [re.findall(rb"^from ([\w.]+) import (\w+)", text, re.M) for text in body]
                self.assertTrue(called[0], path)
                self.assertEqual(called[0], called[1], path)

    def test_bytecode_is_the_same_code(self):
        """Allowed differences: the time stamp and the file name in it."""
        compiled = [path for path in self.files() if path.endswith(".pyc")]
        self.assertGreater(len(compiled), 100)
        pairs = "".join(f"{self.view}/{path}\t{self.twin}/{path}\n" for path in compiled)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare_bytecode.py")
        done = harness.run([self.twin / "bin" / "python", "-I", script], text=pairs)
        self.assertEqual(done.stdout.splitlines()[:20], [])

    def test_each_pyc_belongs_to_its_source(self):
        """A time stamp that differs from the source's would have Python compile it again."""
        wrong = []
        for path in (path for path in self.ours if path.endswith(".pyc")):
            header = pathlib.Path(self.view, path).open("rb").read(16)
            source = os.path.join(os.path.dirname(os.path.dirname(path)),
                                  os.path.basename(path).split(".")[0] + ".py")
            facts = self.ours.get(source)
            if facts is None:
                continue
            want = (0, int(facts.st_mtime) & 0xffffffff, facts.st_size & 0xffffffff)
            if tuple(int.from_bytes(header[i:i + 4], "little") for i in (4, 8, 12)) != want:
                wrong.append(path)
        self.assertEqual(wrong[:20], [])

    def test_pyvenv_cfg_says_the_same(self):
        def facts(root):
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string("[x]\n" + read(root, "pyvenv.cfg").decode())
            return dict(parser["x"])
        ours, theirs = facts(self.view), facts(self.twin)
        for key in ("home", "include-system-site-packages", "version"):
            self.assertEqual(ours[key], theirs[key], key)

    # ---- what tools see ----

    def pip(self, root, *arguments, status=0):
        done = harness.run([root / "bin" / "python", "-m", "pip", *arguments], status=None,
                           env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        text = done.stdout.replace(str(root), "ENV").replace(str(root.resolve()), "ENV")
        return done.returncode, text

    def test_pip_list_freeze_and_check_agree(self):
        for command in (["list", "--format=json"], ["freeze", "--all"], ["check"]):
            self.assertEqual(self.pip(self.view, *command), self.pip(self.twin, *command), command)

    def test_pip_show_files_agrees(self):
        names = [row["name"] for row in json.loads(self.pip(self.twin, "list", "--format=json")[1])]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:  # pip takes a minute for a big set
            told = pool.map(lambda root: self.pip(root, "show", "-f", *names)[1],
                            (self.view, self.twin))
        ours, theirs = (text.split("\n---\nName: ") for text in told)
        self.assertEqual(len(ours), len(names))
        self.assertEqual(len(theirs), len(names))
        for left, right in zip(ours, theirs):
            self.assertEqual(self.without_installer(left), self.without_installer(right))

    @staticmethod
    def without_installer(text):
        lines = re.sub(r"^Installer: \w+$", "", text, flags=re.M).splitlines()
        return sorted(line for line in lines if not COMPILED_SCRIPT.match(line.strip()))

    def test_pip_inspect_agrees(self):
        def facts(root):
            report = json.loads(self.pip(root, "inspect", "--local")[1])
            for entry in report["installed"]:
                entry.pop("installer", None)
            return sorted(report["installed"], key=lambda entry: entry["metadata"]["name"])
        self.assertEqual(facts(self.view), facts(self.twin))

    def test_importlib_metadata_agrees(self):
        program = """if True:
            import importlib.metadata as m, json, sys
            out = {}
            for d in m.distributions():
                files = sorted(str(f) for f in d.files or ()
                               if not str(f).startswith("../../../bin/__pycache__/"))
                entry_points = sorted((e.group, e.name, e.value) for e in d.entry_points)
                missing = [f for f in files if not d.locate_file(f).exists()]
                out[d.metadata["Name"]] = [d.version, files, entry_points, missing, d.requires]
            json.dump(out, sys.stdout)"""
        ours, theirs = (json.loads(harness.run([root / "bin" / "python", "-Ic", program]).stdout)
                        for root in (self.view, self.twin))
        self.assertEqual(sorted(ours), sorted(theirs))
        for name, facts in ours.items():
            self.assertEqual(facts, theirs[name], name)


class Data(SameTree, unittest.TestCase):
    set_name = "data"


class Web(SameTree, unittest.TestCase):
    set_name = "web"


class Tools(SameTree, unittest.TestCase):
    set_name = "tools"


if __name__ == "__main__":
    harness.main()
