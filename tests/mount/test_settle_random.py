#!/usr/bin/env python3
"""Random installations, edits, moves and removals of packages, settled at any moment, against a plain
folder that is treated in the same way and never settled: both show the same."""
import hashlib
import os
import pathlib
import random
import shutil
import stat
import sys
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

STEPS = int(os.environ.get("VENVFS_TEST_STEPS", "600"))
SEED = int(os.environ.get("VENVFS_TEST_SEED", "1"))
NAMES = ("alpha", "beta", "gamma", "ns-one", "ns-two")
VERSIONS = ("1.0", "2.0", "3.0")


def make(folder, name, version):
    """Wheels that share files between versions, and a namespace between two packages."""
    top = name.partition("-")[0]
    if top == "ns":
        files = {f"ns/{name[3:]}/__init__.py": f"v = {version!r}\n",
                 f"ns/{name[3:]}/same.py": "same = 1\n",
                 f"ns/common_{name[3:]}.txt": version + "\n"}
    else:
        files = {f"{top}/__init__.py": f"v = {version!r}\n", f"{top}/same.py": "same = 1\n",
                 f"{top}/data/{version}.txt": "data\n", f"{top}/data/deep/er/x.txt": version,
                 f"{top}/empty.txt": "", f"{top}_lone.py": f"lone = {version!r}\n"}
    return harness.make_wheel(folder, name, version, files)


def spread(wheel, site):
    """What an installer does with a simple wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = site / info.filename
            if not path.parent.is_dir():
                if path.parent.is_symlink() or path.parent.exists():
                    path.parent.unlink()
                path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or path.exists():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            path.write_bytes(archive.read(info))
        info_dir = next(n for n in archive.namelist() if n.endswith("/METADATA")).rpartition("/")[0]
    (site / info_dir / "INSTALLER").write_text("pip\n")
    record = site / info_dir / "RECORD"
    record.write_text(f"{info_dir}/INSTALLER,,\n" + record.read_text())


def take_out(name, site, rows):
    """What an uninstaller does: the files that RECORD lists, then folders that are empty."""
    folders = set()
    for row in rows:
        path = site / row
        if "__pycache__" in row or not os.path.lexists(path):
            continue
        if not path.is_dir() or path.is_symlink():
            path.unlink()
        folders.update(p for p in path.parents if site in p.parents)
    for folder in sorted(folders, key=lambda p: -len(p.parts)):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        try:
            folder.rmdir()
        except OSError:
            pass


def facts(root):
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [n for n in folders if n != "__pycache__"]
        for name in folders + files:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, root)
            if name == "RECORD" or name.endswith(".pyc"):  # these are the environment's own
                continue
            st = os.lstat(path)
            if stat.S_ISLNK(st.st_mode):
                found[key] = "link " + os.readlink(path)
            elif stat.S_ISDIR(st.st_mode):
                found[key] = f"folder {st.st_mode & 0o700:o}"
            else:
                with open(path, "rb") as file:
                    found[key] = f"{st.st_mode & 0o700:o} {hashlib.sha256(file.read()).hexdigest()}"
    return found


class RandomSettling(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(SEED)
        self.box = harness.Sandbox("rsettle")
        self.addCleanup(self.box.close)
        wheels = self.box.root / "wheels"
        wheels.mkdir()
        self.wheels = {(name, version): make(wheels, name, version)
                       for name in NAMES for version in VERSIONS}
        env = self.box.create("e", "--without-pip", "--no-accelerator")
        self.env = next(env.glob("lib/python3*/site-packages"))
        self.model = self.box.root / "model"
        self.model.mkdir()
        self.log = []

    # ---- operations: each on one folder, so that both are treated alike ----

    def both(self, what, act, *words):
        self.log.append((what, *map(str, words)))
        results = []
        for site in (self.env, self.model):
            try:
                act(site)
                results.append(None)
            except OSError as error:
                results.append(error)
        errnos = [result and result.errno for result in results]
        self.assertEqual(errnos[0], errnos[1], (results, self.log[-8:]))

    def rows(self, dist_info):
        return [line.rpartition(",")[0].rpartition(",")[0].strip('"')
                for line in (self.model / dist_info / "RECORD").read_text().splitlines()]

    def install(self):
        name, version = self.rng.choice(NAMES), self.rng.choice(VERSIONS)
        if self.rng.random() < 0.8:
            self.uninstall(name)
        self.both("install", lambda site: spread(self.wheels[name, version], site))
        self.log[-1] += (name, version)

    def uninstall(self, name=None):
        name = name or self.rng.choice(NAMES)
        for folder in list(self.model.glob(f"{name.replace('-', '_')}-*.dist-info")):
            try:
                rows = self.rows(folder.name)
            except OSError:
                continue
            self.both("uninstall", lambda site: take_out(name, site, rows), folder.name)

    def some(self, folders=False):
        """A path of the model, from its root; or None."""
        paths = [p for p in self.model.rglob("*") if folders == (p.is_dir() and not p.is_symlink())]
        return self.rng.choice(sorted(paths)).relative_to(self.model) if paths else None

    def edit(self):
        path = self.some()
        if path is None:
            return
        data = str(self.rng.random()) + "\n"
        mode = self.rng.choice(("append", "write", "replace", "truncate"))

        def act(site):
            if (site / path).is_symlink():
                return
            if mode == "append":
                with open(site / path, "a") as file:
                    file.write(data)
            elif mode == "write":
                (site / path).write_text(data)
            elif mode == "truncate":
                os.truncate(site / path, 1)
            else:
                (site / "tmp-file").write_text(data)
                os.replace(site / "tmp-file", site / path)
        if not str(path).endswith(("RECORD", "INSTALLER")):
            self.both("edit " + mode, act, path)

    def remove(self):
        path = self.some(folders=self.rng.random() < 0.25)
        if path is not None:
            self.both("remove", lambda site: shutil.rmtree(site / path)
                      if (site / path).is_dir() and not (site / path).is_symlink()
                      else os.unlink(site / path), path)

    def move(self):
        path = self.some(folders=self.rng.random() < 0.6)
        if path is None or str(path).endswith("RECORD"):
            return
        where = self.some(folders=True) if self.rng.random() < 0.5 else path.parent
        target = (where or path.parent) / f"moved{self.rng.randrange(6)}"
        if path == target or path in target.parents:
            return
        self.both("move", lambda site: os.rename(site / path, site / target), path, target)

    def move_back(self):
        moved = sorted(p for p in self.model.rglob("moved*") if p.is_dir())
        if moved:
            path = self.rng.choice(moved).relative_to(self.model)
            target = path.parent / self.rng.choice(("alpha", "beta", "gamma", "ns"))
            self.both("move back", lambda site: os.rename(site / path, site / target), path, target)

    def add(self):
        folder = self.some(folders=True) or pathlib.Path(".")
        name = f"own{self.rng.randrange(8)}"
        kind = self.rng.choice(("file", "folder", "link", "hard"))
        source = self.some()

        def act(site):
            path = site / folder / name
            if kind == "file":
                path.write_text(name)
            elif kind == "folder":
                path.mkdir()
            elif kind == "link":
                path.symlink_to("anywhere")
            elif source is not None and source.name != "RECORD" and not (site / source).is_symlink():
                os.link(site / source, path)
        self.both("add " + kind, act, folder / name, source)

    def change_mode(self):
        path = self.some(folders=self.rng.random() < 0.2)
        mode = self.rng.choice((0o644, 0o755, 0o600))
        if path is None or (self.model / path).is_dir():
            mode = 0o755
        if path is not None and not (self.model / path).is_symlink():
            self.both("chmod", lambda site: os.chmod(site / path, mode), path, f"{mode:o}")

    # ---- what must not show ----

    def commit(self):
        self.log.append(("commit",))
        self.box.venvfs("commit", "-q", "e")
        self.compare()

    def restart(self):
        self.log.append(("restart",))
        self.box.venvfs("umount", "--all")
        self.box.venvfs("mount", "-n", "e")
        self.compare()

    def compare(self):
        ours, theirs = facts(self.env), facts(self.model)
        if ours != theirs:
            paths = sorted(p for p in ours.keys() | theirs.keys() if ours.get(p) != theirs.get(p))
            self.fail(f"seed {SEED}: " + "; ".join(
                f"{p}: {ours.get(p)} for {theirs.get(p)}" for p in paths[:6]) +
                f"\nlast: {self.log[-14:]}")

    def test_against_a_plain_folder(self):
        operations = ((self.install, 14), (self.uninstall, 4), (self.edit, 14), (self.remove, 8),
                      (self.move, 6), (self.move_back, 3), (self.add, 8), (self.change_mode, 4),
                      (self.commit, 10), (self.restart, 2))
        acts, weights = zip(*operations)
        for _ in range(STEPS):
            self.rng.choices(acts, weights)[0]()
        self.commit()
        self.restart()
        self.box.venvfs("store", "verify")
        self.assertGreater(self.box.json("show", "e")["generation"], STEPS // 40)


if __name__ == "__main__":
    harness.main()
