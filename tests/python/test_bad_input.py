#!/usr/bin/env python3
"""Hostile and broken input: each gets one clear line that names it and exit 1, and the store stays
byte for byte as it was."""
import os
import pathlib
import re
import struct
import sys
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

NAME = "bad-1.0-py3-none-any.whl"
GOOD = {"bad/__init__.py": "x = 1\n", "bad/data.txt": "some text that is long enough\n" * 20}


def clear_line(said):
    """The one line that standard error holds; a line with a hint may follow it, and nothing else."""
    lines = said.splitlines()
    if len(lines) != 1 and not (len(lines) == 2 and lines[1].startswith("hint: ")):
        raise harness.Failed(f"one line, and at most a hint after it, was expected: {said!r}")
    return lines[0]


def changes(before, after):
    """Paths that differ between two harness.tree_digest()s."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def info(path, mode=0o100644):
    entry = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
    entry.external_attr = mode << 16
    return entry


def python_folder():
    """The "python3.11" of lib/python3.11 of the interpreter that tests use."""
    return harness.run([harness.default_python(), "-c",
                        "import sys; print('python%d.%d' % sys.version_info[:2])"]).stdout.strip()


class BadWheels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("bad")
        cls.addClassCleanup(cls.box.close)
        cls.wheels = cls.box.root / "wheels"
        cls.wheels.mkdir()
        # Something is in the store, so that there is something to be damaged.
        good = harness.make_wheel(cls.wheels, "fine", "1.0", {"fine.py": "x = 1\n"})
        cls.box.venvfs("store", "add", "-p", harness.default_python(), good)
        cls.store = pathlib.Path(harness.one_line(cls.box.venvfs("store", "path").stdout))

    def setUp(self):
        self.before = harness.tree_digest(self.store)

    def refuse(self, wheel, *words, status=1):
        """`store add` of the wheel fails with one line that names it and holds one of the words."""
        done = self.box.venvfs("store", "add", "-p", harness.default_python(), wheel, status=status)
        said = clear_line(done.stderr)
        self.assertIn(pathlib.Path(wheel).name, said)
        self.assertNotRegex(done.stderr, "[\x00-\x09\x0b-\x1f\x7f]", "control bytes")
        if words:
            self.assertTrue(any(word.lower() in said.lower() for word in words), said)
        self.unchanged()
        return said

    def unchanged(self):
        self.assertEqual(changes(self.before, harness.tree_digest(self.store)), set(),
                         "the store was changed")

    def write(self, members, name=NAME, **options):
        return harness.write_wheel(self.wheels, name, members, **options)

    def with_member(self, path, data=b"x = 1\n", mode=0o100644, record=True, **options):
        """A correct wheel with one member more, listed in RECORD when it can be."""
        text = data if isinstance(data, bytes) else data.encode()
        row = f'"{path}",{harness.record_hash(text)},{len(text)}'
        members = harness.wheel_members(
            "bad", "1.0", GOOD, record=(lambda rows: [row, *rows]) if record else None, **options)
        return self.write([(info(path, mode), text), *members])

    # ---- the archive ----

    def test_no_zip_at_all(self):
        path = self.wheels / NAME
        path.write_bytes(b"this is no zip file" * 100)
        self.refuse(path)

    def test_empty_file(self):
        path = self.wheels / NAME
        path.write_bytes(b"")
        self.refuse(path)

    def test_truncated_zip(self):
        path = self.write(harness.wheel_members("bad", "1.0", GOOD))
        whole = path.read_bytes()
        for part in (0.2, 0.5, 0.9, 0.99):
            with self.subTest(part=part):
                path.write_bytes(whole[:int(len(whole) * part)])
                self.refuse(path)

    def test_wrong_crc(self):
        path = self.write(harness.wheel_members("bad", "1.0", GOOD), compression=zipfile.ZIP_STORED)
        data = bytearray(path.read_bytes())
        at = data.index(b"some text that is long")
        data[at] ^= 1
        path.write_bytes(data)
        self.refuse(path, "crc", "checksum", "damaged", "hash")

    def test_damaged_deflate_stream(self):
        path = self.write(harness.wheel_members("bad", "1.0", GOOD))
        data = bytearray(path.read_bytes())
        at = data.index(b"bad/data.txt") + len(b"bad/data.txt")
        data[at + 2:at + 6] = b"\xff\xff\xff\xff"
        path.write_bytes(data)
        self.refuse(path)

    def test_zip_bomb(self):
        path = self.with_member("bad/bomb.bin", b"\0" * (300 << 20))
        self.refuse(path, "bomb", "ratio", "compress", "too big", "too large")

    def test_size_in_the_header_is_a_lie(self):
        path = self.write(harness.wheel_members("bad", "1.0", GOOD))
        data = bytearray(path.read_bytes())
        central = data.rindex(b"PK\1\2", 0, data.rindex(b"bad/data.txt"))
        struct.pack_into("<I", data, central + 24, 7)
        path.write_bytes(data)
        self.refuse(path)

    def test_symlink_member(self):
        self.refuse(self.with_member("bad/link", b"/etc/passwd", 0o120777), "link")

    def test_device_member(self):
        self.refuse(self.with_member("bad/device", b"", 0o020666), "device", "regular", "type",
                    "special")

    def test_duplicate_member(self):
        members = harness.wheel_members("bad", "1.0", GOOD)
        self.refuse(self.write([*members[:1], (info("bad/__init__.py"), b"x = 2\n"), *members[1:]]),
                    "twice", "duplicate")

    def test_encrypted_member(self):
        path = self.write(harness.wheel_members("bad", "1.0", GOOD))
        data = bytearray(path.read_bytes())
        for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            at = data.index(magic)
            data[at + offset] |= 1
        path.write_bytes(data)
        self.refuse(path)

    # ---- names ----

    def test_names_that_leave_the_tree(self):
        for path in ("../escape.py", "bad/../../escape.py", "/etc/escape.py", "bad//x.py", "./x.py",
                     "bad/./x.py", "C:/x.py", "bad\\x.py", "..", "bad/.."):
            with self.subTest(path=path):
                self.refuse(self.with_member(path))

    def test_names_with_control_bytes(self):
        self.refuse(self.with_member("bad/new\nline.py"))
        path = self.with_member("bad/nul?.py")
        path.write_bytes(path.read_bytes().replace(b"bad/nul?.py", b"bad/nul\0.py"))
        self.refuse(path)

    def test_name_that_is_too_long(self):
        self.refuse(self.with_member("bad/" + "x" * 300 + ".py"))

    def test_file_where_a_folder_is_needed(self):
        self.refuse(self.with_member("bad/data.txt/inner.py"))

    # ---- RECORD and metadata ----

    def test_wrong_hash_in_record(self):
        wrong = "sha256=" + "A" * 43
        members = harness.wheel_members("bad", "1.0", GOOD, record=lambda rows: [
            f"bad/data.txt,{wrong},{len(GOOD['bad/data.txt'])}" if row.startswith("bad/data") else row
            for row in rows])
        said = self.refuse(self.write(members), "sha-256", "sha256", "hash")
        self.assertIn("bad/data.txt", said)

    def test_weak_hash_in_record(self):
        members = harness.wheel_members("bad", "1.0", GOOD, record=lambda rows: [
            "bad/data.txt,md5=AAAAAAAAAAAAAAAAAAAAAA,600" if row.startswith("bad/data") else row
            for row in rows])
        self.refuse(self.write(members))

    def test_file_missing_from_record(self):
        self.assertIn("bad/extra.py",
                      self.refuse(self.with_member("bad/extra.py", record=False), "record"))

    def test_record_names_a_file_that_is_not_there(self):
        members = harness.wheel_members("bad", "1.0", GOOD, record=lambda rows: [
            f"bad/ghost.py,{harness.record_hash(b'')},0", *rows])
        self.assertIn("bad/ghost.py", self.refuse(self.write(members)))

    def test_record_with_control_bytes(self):
        """What a wheel says may neither look like a line of ours nor command the terminal."""
        weak = "md5=AAAAAAAAAAAAAAAAAAAAAA"
        for row, shown in (
                (f'"bad/\nvenvfs: all is well",{weak},1', "bad/\\x0avenvfs: all is well"),
                (f"bad/\x1b]0;owned\x07\x7f\u009b2J.py,{weak},1",
                 "bad/\\x1b]0;owned\\x07\\x7f\\xc2\\x9b2J.py"),
                ("bad/x.py,\x1b[31msha256=A,1", "\\x1b[31msha256")):
            with self.subTest(row=row):
                members = harness.wheel_members("bad", "1.0", GOOD, record=lambda rows: [row, *rows])
                self.assertIn(shown, self.refuse(self.write(members)))

    def test_entry_points_with_control_bytes(self):
        for line, shown in (("no equals \x1b[2J here", "no equals \\x1b[2J here"),
                            ("x\x1b[2J = bad:", "x\\x1b[2J")):
            with self.subTest(line=line):
                members = harness.wheel_members("bad", "1.0", GOOD,
                                                entry_points=f"[console_scripts]\n{line}\n")
                self.assertIn(shown, self.refuse(self.write(members)))

    def test_metadata_files_missing(self):
        for lacking in ("METADATA", "WHEEL", "RECORD"):
            with self.subTest(lacking=lacking):
                members = harness.wheel_members("bad", "1.0", GOOD, drop=[f"{{info}}/{lacking}"])
                self.assertIn(lacking, self.refuse(self.write(members)))

    def test_two_dist_infos(self):
        self.refuse(self.with_member("other-2.0.dist-info/METADATA", b"Name: other\nVersion: 2.0\n"))

    def test_newer_major_wheel_version(self):
        members = harness.wheel_members("bad", "1.0", GOOD, wheel_version="2.0")
        self.refuse(self.write(members), "wheel-version", "2.0")

    def test_newer_minor_wheel_version_is_a_warning(self):
        members = harness.wheel_members("minor", "1.0", {"minor.py": ""}, wheel_version="1.9")
        path = self.write(members, "minor-1.0-py3-none-any.whl")
        done = self.box.venvfs("store", "add", "-p", harness.default_python(), path)
        self.assertIn("1.9", done.stderr)

    def test_tag_of_another_python(self):
        name = "bad-1.0-cp27-cp27mu-manylinux1_x86_64.whl"
        members = harness.wheel_members("bad", "1.0", GOOD, tag="cp27-cp27mu-manylinux1_x86_64")
        self.refuse(self.write(members, name), "cp27")

    def test_file_name_that_is_no_wheels(self):
        members = harness.wheel_members("bad", "1.0", GOOD)
        self.refuse(self.write(members, "bad.whl"))

    # ---- what would replace the environment's own files ----

    def test_entry_points_with_bad_names(self):
        for name in ("../x", "python", "python3", "activate", "a/b", ".."):
            with self.subTest(name=name):
                members = harness.wheel_members(
                    "bad", "1.0", GOOD, entry_points=f"[console_scripts]\n{name} = bad:x\n")
                self.assertIn(name, self.refuse(self.write(members)))

    def test_data_members_that_replace_the_environments_files(self):
        for path in ("data/pyvenv.cfg", "data/bin/python", "data/bin/activate", "data/lib64",
                     "data/lib64/x.py", "scripts/python", "scripts/python3", "scripts/activate",
                     "data/bin/activate.fish", "data/bin/Activate.ps1", "data/lib"):
            with self.subTest(path=path):
                self.refuse(self.with_member(f"bad-1.0.data/{path}", b"#!/bin/sh\n"))

    def test_files_where_the_environment_has_folders(self):
        folder = python_folder()
        for path in (f"include/{folder}", f"lib/{folder}", f"lib/{folder}/site-packages", "include"):
            with self.subTest(path=path):
                self.assertIn(f"{path}/", self.refuse(
                    self.with_member(f"bad-1.0.data/data/{path}", b"x"), "environment's own"))

    def test_members_that_replace_venvfs_own_view_files(self):
        site = f"lib/{python_folder()}/site-packages"
        for path in ("_venvfs.pth", "_venvfs_later.pth", "_venvfs/__init__.py",
                     "bad-1.0.data/purelib/_venvfs.pth", "bad-1.0.data/platlib/_venvfs.py",
                     f"bad-1.0.data/data/{site}/_venvfs.pth"):
            with self.subTest(path=path):
                self.assertIn(path, self.refuse(self.with_member(path, b"import os\n"),
                                                "venvfs's own"))

    def test_unknown_data_key(self):
        self.refuse(self.with_member("bad-1.0.data/nonsense/file", b""), "nonsense")

    def test_data_of_another_distribution_is_placed_as_pip_does(self):
        """The standard speaks of the wheel's own NAME-VERSION.data; pip (18.1, 23.2, 24.2 tried)
        spreads any top folder that ends in .data, and what pip makes of a wheel is what people have."""
        for i, (member, place) in enumerate((("scripts/other", "bin/other"),
                                             ("purelib/other.py", "{site}/other.py"),
                                             ("data/share/other", "share/other"))):
            with self.subTest(member=member):
                wheel = self.with_member(f"other-1.0.data/{member}", b"#!python\n")
                lock = self.box.root / "lock.txt"
                lock.write_text(harness.lock_text(wheel))
                root = self.box.create(f"data{i}", "-r", lock, "--without-pip")
                site = next(root.glob("lib/python3*/site-packages"))
                place = place.format(site=site.relative_to(root))
                found = [path for path in harness.tree_digest(root)
                         if "other" in path and not path.endswith(".pyc")]
                self.assertEqual(found, [place])
                record = (site / "bad-1.0.dist-info" / "RECORD").read_text()
                self.assertRegex(record, f"(?m)^{re.escape(os.path.relpath(root / place, site))},")

    def test_one_bad_wheel_of_three_leaves_the_store_as_it_was(self):
        good = [harness.make_wheel(self.wheels, f"good{i}", "1.0", {f"good{i}.py": f"x = {i}\n"})
                for i in range(2)]
        bad = self.with_member("bad/extra.py", record=False)
        done = self.box.venvfs("store", "add", "-p", harness.default_python(), good[0], bad, good[1],
                               status=1)
        self.assertIn("bad/extra.py", done.stderr)
        self.unchanged()


class ManyMembers(unittest.TestCase):
    def test_zip64_with_over_65535_members_is_taken(self):
        with harness.Sandbox("zip64") as box:
            wheels = box.root / "wheels"
            wheels.mkdir()
            files = {f"big/d{i % 97}/f{i}.txt": b"" for i in range(65600)}
            files["big/__init__.py"] = b"x = 1\n"
            wheel = harness.make_wheel(wheels, "big", "1.0", files)
            box.venvfs("store", "add", "-p", harness.default_python(), wheel)
            self.assertEqual(box.json("store", "stats")["images"], 1)
            box.venvfs("store", "verify")


class BadLocks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("badlock")
        cls.addClassCleanup(cls.box.close)
        cls.wheels = cls.box.root / "wheels"
        cls.wheels.mkdir()
        cls.good = harness.make_wheel(cls.wheels, "fine", "1.0", {"fine.py": "x = 1\n"})
        cls.box.venvfs("store", "add", "-p", harness.default_python(), cls.good)
        cls.box.create("first")  # seeds and helpers are there
        cls.store = pathlib.Path(harness.one_line(cls.box.venvfs("store", "path").stdout))

    def refuse(self, text, *words, name="requirements.txt", env=None):
        """`create -r` of the lock fails with one line that holds all of the words."""
        lock = self.box.root / name
        lock.write_text(text)
        before = harness.tree_digest(self.store)
        environments = self.box.venvfs("list").stdout
        done = self.box.venvfs("create", "bad", "-p", harness.default_python(), "-r", lock,
                               status=1, env=env)
        self.assertEqual(done.stdout, "")
        said = clear_line(done.stderr).lower()
        for word in words:
            self.assertIn(word.lower(), said)
        self.assertEqual(changes(before, harness.tree_digest(self.store)), set(),
                         "the store was changed")
        self.assertEqual(self.box.venvfs("list").stdout, environments, "no half environment")

    def test_unknown_package(self):
        self.refuse(f"--no-index\n--find-links {self.wheels}\nnosuchpackage==1.0 "
                    f"--hash=sha256:{'0' * 64}\n", "nosuchpackage")

    def test_hash_that_is_not_the_wheels(self):
        self.refuse(f"--no-index\n--find-links {self.wheels}\nfine==1.0 "
                    f"--hash=sha256:{'0' * 64}\n", "fine", "the lock wants sha256")

    def test_unreachable_index(self):
        self.refuse(f"neverheard==1.0 --hash=sha256:{'0' * 64}\n", "neverheard",
                    "index cannot be reached",
                    env={"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0",
                         "PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_TIMEOUT": "2"})

    def test_wheel_for_another_python_only(self):
        other = self.wheels / "other"
        other.mkdir()
        wheel = harness.make_wheel(other, "elsewhere", "1.0", {"e.py": ""}, tag="cp27-cp27mu-linux_x86_64")
        self.refuse(harness.lock_text(wheel), "elsewhere==1.0", "cp27-cp27mu-linux_x86_64")

    def test_pylock_for_another_python(self):
        self.refuse('lock-version = "1.0"\ncreated-by = "test"\nrequires-python = ">=3.99"\n'
                    'packages = []\n', "3.99", name="pylock.toml")

    def test_pylock_of_a_newer_major_version(self):
        self.refuse('lock-version = "2.0"\ncreated-by = "test"\npackages = []\n', "2.0",
                    name="pylock.toml")

    def test_malformed_locks(self):
        self.refuse("fine==1.0\nthis is == no [ lock\n", "requirements.txt:2",
                    "this is == no [ lock")
        self.refuse("[[[ no toml", "pylock.toml", "toml:", "line 1", name="pylock.toml")

    def test_lock_that_is_not_there(self):
        done = self.box.venvfs("create", "bad", "-r", self.box.root / "nothing.txt", status=1)
        self.assertIn("nothing.txt", clear_line(done.stderr))


if __name__ == "__main__":
    harness.main()
