"""lock.py: what it makes of requirement files, pylock.toml and uv.lock, for a given target."""

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

SOURCE = Path(__file__).resolve().parents[2] / "python"
TAGS = [
    "cp311-cp311-manylinux_2_17_x86_64",
    "cp311-abi3-manylinux_2_17_x86_64",
    "cp310-abi3-manylinux_2_17_x86_64",
    "py3-none-any",
]
MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.7",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6",
    "platform_system": "Linux",
    "platform_version": "1",
    "python_full_version": "3.11.7",
    "python_version": "3.11",
    "sys_platform": "linux",
}
A, B, C = ("sha256:" + c * 64 for c in "abc")
EXIT_SKIP = 77


def bundled_pip():
    spec = importlib.util.find_spec("ensurepip")
    folders = [Path(spec.origin).parent / "_bundled"] if spec else []
    folders.append(Path("/usr/share/python-wheels"))
    return next((w for f in folders for w in sorted(f.glob("pip-*.whl"))), None)


@functools.lru_cache(maxsize=None)
def locks():
    """The module behind lock.py, in this process: starting it anew for each case takes long."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(SOURCE))
    from locks import vendor

    sys.path.insert(1, vendor.unpacked(TOOLS, str(bundled_pip())))
    from locks import main

    return main


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="venvfs-lock-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def request(self, files):
        return {
            "command": "read",
            "files": [str(f) for f in files],
            "requirements": [],
            "constraints": [],
            "groups": None,
            "extras": None,
            "no_deps": False,
            "cwd": str(self.folder),
            "markers": MARKERS,
            "tags": TAGS,
        }

    def ask(self, *files, environment=None, **more):
        request = dict(self.request(files), **more)
        with mock.patch.dict(os.environ, environment or {}):
            try:
                return json.loads(json.dumps(locks().read_locks(request)))
            except locks().LockError as error:
                return {"error": {"kind": error.kind, "message": error.message}}

    def error(self, kind, *files, **more):
        answer = self.ask(*files, **more)
        self.assertIn("error", answer)
        self.assertEqual(answer["error"]["kind"], kind, answer["error"])
        return answer["error"]["message"]

    def packages(self, *files, **more):
        answer = self.ask(*files, **more)
        self.assertNotIn("error", answer, answer.get("error"))
        return {p["name"]: p for p in answer["packages"]}


class Program(Case):
    def run_program(self, request):
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(SOURCE / "lock.py"), TOOLS, str(bundled_pip())],
            input=json.dumps(request),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_request_and_answer_are_json(self):
        path = self.write("r.txt", "a==1 --hash=%s" % A)
        request = self.request([path])
        self.assertEqual(self.run_program(request), self.ask(path))
        self.assertEqual(self.run_program(self.request(["/nonexistent"]))["error"]["kind"], "missing")

    def test_the_newest_pip_that_runs_on_a_python(self):
        request = {"command": "pip", "wheels": [str(bundled_pip())], "python": "3.11.7"}
        self.assertTrue(os.path.isfile(os.path.join(self.run_program(request)["pip"], "__main__.py")))
        request["python"] = "2.6.0"
        self.assertEqual(self.run_program(request)["error"]["kind"], "missing")


class Folders(Case):
    """What is handed to pip instead of the files when a local folder is among them."""

    def lines(self, *files, **more):
        answer = self.ask(*files, **more)
        self.assertNotIn("error", answer)
        return answer["lines"]

    def test_without_a_folder_pip_reads_the_files_itself(self):
        self.assertEqual(self.lines(self.write("r.txt", "a\nb==1 --hash=%s\n" % A)), [])

    def test_all_files_become_one_in_which_folders_stand_alone(self):
        self.write("lib/pyproject.toml", "")
        self.write("app/setup.py", "")
        self.write("c.txt", "x<3\n")
        self.write("sub/more.txt", "-c ../c.txt\nfile://%s/lib#subdirectory=p\n" % self.folder)
        path = self.write("r.txt", "-r sub/more.txt\n--index-url https://u:p@i/s\na[x]>=1 ; python_version>'3'  # why\n"
                          "./lib[e] ; python_version > '3'\n-e ./app[dev]\nname @ file://%s/lib\n" % self.folder)
        lib, app = str(self.folder / "lib"), str(self.folder / "app")
        self.assertEqual(self.lines(path), [
            "-c %s/sub/../c.txt" % self.folder,
            {"before": "", "folder": lib, "after": "#subdirectory=p", "url": True},
            "--index-url https://u:p@i/s",
            "a[x]>=1 ; python_version>'3'",
            {"before": "", "folder": lib, "after": "[e] ; python_version > '3'", "url": False},
            {"before": "-e ", "folder": app, "after": "[dev]", "url": False},
            {"before": "name @ ", "folder": lib, "after": "", "url": True},
        ])

    def test_an_editable_is_resolved_unless_all_else_is_locked(self):
        self.write("pyproject.toml", '[project]\nname = "The.App"\n')
        alone = self.ask(self.write("alone.txt", "-e .\n"))
        self.assertFalse(alone["complete"])
        self.assertEqual(alone["editables"], [{"name": "the-app", "path": str(self.folder)}])
        self.assertFalse(alone["volatile"])
        self.assertTrue(self.ask(self.write("locked.txt", "-e .\na==1 --hash=%s\n" % A))["complete"])
        self.assertFalse(self.ask(self.write("loose.txt", "-e .\na==1 --hash=%s\nb\n" % A))["complete"])
        self.assertEqual(len(self.ask(self.write("as-pip.txt", "-e . ; python_version < '3'\n"))["editables"]), 1)
        self.assertIn("no such folder", self.error("missing", self.write("gone.txt", "-e ./gone\n")))

    def test_the_files_that_say_what_an_editable_needs_are_watched(self):
        self.write("app/pyproject.toml", '[tool.setuptools.dynamic]\ndependencies = {file = ["needs.in"]}\n')
        self.write("app/setup.cfg", "[options]\ninstall_requires = file: one.cfg, two.txt\n")
        answer = self.ask(self.write("r.txt", "-e app\n"))
        inputs = {os.path.basename(path): digest for path, digest in answer["inputs"].items()}
        self.assertEqual(set(inputs), {"r.txt", "pyproject.toml", "setup.cfg", "setup.py", "needs.in", "one.cfg", "two.txt"})
        self.assertIsNone(inputs["setup.py"])
        self.assertIsNotNone(inputs["setup.cfg"])

    def test_a_pyproject_with_dynamic_dependencies_is_asked_by_a_build(self):
        path = self.write("pyproject.toml", '[project]\nname = "app"\ndynamic = ["dependencies"]\n')
        self.assertEqual(self.lines(path), [{"before": "-e ", "folder": str(self.folder), "after": "", "url": False}])
        path = self.write("pyproject.toml", "[build-system]\nrequires = []\n")
        self.assertEqual(self.lines(path, extras=["x"])[0]["after"], "[x]")

    def stage(self, folder, lines=None):
        locks()
        from locks import stage

        to = self.folder / "to"
        to.mkdir(exist_ok=True)
        answer = stage.stage(str(to), [str(folder)], lines)
        return Path(answer["folders"][0]["copy"]), answer

    def test_a_copy_leads_to_the_original_for_what_no_build_writes(self):
        self.write("p/src/m.py", "x")
        self.write("p/large", b"x" * ((1 << 20) + 1))
        self.write("p/.git/HEAD", "")
        self.write("p/env/pyvenv.cfg", "")
        self.write("p/__pycache__/m.pyc", "")
        self.write("README", "read")
        self.folder.joinpath("p", "up").symlink_to("../README")
        self.folder.joinpath("p", "in").symlink_to("src/m.py")
        copy, _ = self.stage(self.folder / "p")
        self.assertEqual(sorted(os.listdir(str(copy))), [".git", "in", "large", "src", "up"])
        self.assertEqual((copy.name, os.readlink(str(copy / "in"))), ("p", "src/m.py"))
        for name, target in ((".git", "p/.git"), ("large", "p/large"), ("up", "README")):
            self.assertEqual(os.readlink(str(copy / name)), str(self.folder / target))
        self.assertFalse((copy / "src" / "m.py").is_symlink())
        self.assertEqual((copy / ".." / "README").read_text(), "read")

    def test_a_staged_file_names_the_copies(self):
        self.write("with space/setup.py", "")
        folder = str(self.folder / "with space")
        copy, answer = self.stage(folder, ["a", {"before": "-e ", "folder": folder, "after": "[x]", "url": False},
                                           {"before": "n @ ", "folder": folder, "after": "#egg=n", "url": True}])
        lines = Path(answer["file"]).read_text().splitlines()
        self.assertEqual(lines, ["a", "-e %s[x]" % copy, "n @ file://%s#egg=n" % str(copy).replace(" ", "%20")])
        self.assertEqual(os.stat(answer["file"]).st_mode & 0o777, 0o600)


class Editables(Case):
    """What a build has put into a private environment, as text."""

    SITE = "lib/python3.11/site-packages/"

    def installed(self, **files):
        environment = self.folder / "env"
        content = {
            self.SITE + "app.pth": "/p/src\n",
            self.SITE + "app-1.dist-info/METADATA": "Name: App\nVersion: 1\n",
            self.SITE + "app-1.dist-info/INSTALLER": "pip\n",
            self.SITE + "app-1.dist-info/RECORD": "old",
            self.SITE + "__pycache__/x.pyc": b"\xff",
            "pyvenv.cfg": "",
        }
        content.update({path.replace("SITE/", self.SITE): data for path, data in files.items()})
        for path, data in content.items():
            self.write("env/" + path, data)
        return str(environment)

    def end(self, environment, before=()):
        locks()
        from locks import editable

        return editable.end(str(self.folder / "p"), list(before), environment, "python3.11")

    def test_scripts_stand_for_any_interpreter_and_rows_are_right(self):
        environment = str(self.folder / "env")
        long = "#!/bin/sh\n'''exec' %s/bin/python \"$0\" \"$@\"\n' '''\nimport b\n" % environment
        first = "#!%s/bin/python3.11\nimport a\n" % environment
        self.installed(**{"bin/a": first, "bin/b": long, "bin/c": "#!/bin/bash\n", "share/a.1": "", 'SITE/od"d,.py': "x"})
        answer = self.end(environment)
        files = {f["path"]: f for f in answer["files"]}
        texts = [files["bin/" + name]["text"] for name in "abc"]
        self.assertEqual(texts, ["#!python\nimport a\n", "#!python\nimport b\n", "#!/bin/bash\n"])
        self.assertEqual((files["bin/a"]["mode"], files[self.SITE + "app.pth"]["mode"]), (0o755, 0o644))
        self.assertEqual((answer["name"], answer["version"], answer["left_out"]), ("App", "1", ["share/a.1"]))
        self.assertEqual(files[self.SITE + "app-1.dist-info/INSTALLER"]["text"], "venvfs\n")
        rows = files[self.SITE + "app-1.dist-info/RECORD"]["text"].splitlines()
        self.assertIn("../../../bin/a,,", rows)
        self.assertEqual(sum(row.startswith('"od""d,.py",sha256=') and row.endswith(",1") for row in rows), 1)
        self.assertEqual(rows[-1], "app-1.dist-info/RECORD,,")
        self.assertEqual(len(rows), len(files))

    def test_what_is_no_small_text_is_refused(self):
        for data in (b"\xff\xfe", b"a\0b", b"x" * ((1 << 20) + 1)):
            environment = self.installed(**{"SITE/big.so": data})
            with self.assertRaises(locks().LockError) as caught:
                self.end(environment)
            self.assertIn("big.so", caught.exception.message)

    def test_new_traces_go_unless_they_are_in_use(self):
        for name in ("src/old.egg-info", "src/new.egg-info", "build/lib", "pkg/build", ".venv/x.egg-info"):
            self.write("p/%s/f" % name, "")
        p = self.folder / "p"
        self.end(self.installed(), [str(p / "src" / "old.egg-info")])
        self.assertEqual(sorted(os.listdir(str(p))), [".venv", "pkg", "src"])
        self.assertEqual(os.listdir(str(p / "src")), ["old.egg-info"])
        self.write("p/build/f", "")
        self.end(self.installed(**{"SITE/app.pth": "%s/build/__editable__\n" % p}))
        self.assertTrue((p / "build").is_dir())
        self.end(None)  # a failed build
        self.assertFalse((p / "build").exists())

    def test_does_a_python_satisfy_requires_python(self):
        locks()
        from locks import pyproject

        def unfit(text, python):
            return pyproject.unfit(self.write("pyproject.toml", text), python)

        text = '[project]\nrequires-python = ">=3.9"\n'
        self.assertIsNone(unfit(text, "3.11.7"))
        self.assertIsNone(unfit(text, "3.13.0rc1"))
        self.assertEqual(unfit(text, "3.8.1"), ">=3.9")
        self.assertIsNone(unfit("[tool.x]\ny = 'requires-python'\n", "3.8"))
        with self.assertRaises(locks().LockError):
            unfit('[project]\nrequires-python = "new"\n', "3.8")


class Requirements(Case):
    def test_pins_with_hashes_are_complete(self):
        path = self.write("r.txt", "A.b==1.0 \\\n    --hash=%s \\\n    --hash=%s\n    # via x\nc==2 --hash=%s\n" % (A, B, C))
        answer = self.ask(path)
        self.assertTrue(answer["complete"])
        self.assertEqual([p["name"] for p in answer["packages"]], ["a-b", "c"])
        first = answer["packages"][0]
        self.assertEqual((first["version"], first["hashes"], first["requested"]), ("1.0", [A, B], True))
        self.assertEqual(first["by_name"], "a-b==1.0 --hash=%s --hash=%s" % (A, B))
        self.assertEqual(answer["inputs"], {path: hashlib.sha256(Path(path).read_bytes()).hexdigest()})

    def test_what_needs_resolution_is_incomplete(self):
        for text in ("a", "a>=1", "a==1", "a==1.* --hash=" + A, "git+https://h/x.git", "-e .", "a~=1.0 --hash=" + A):
            self.assertFalse(self.ask(self.write("r.txt", text + "\n"))["complete"], text)

    def test_markers_are_those_of_the_target(self):
        path = self.write(
            "r.txt",
            "a==1 ; python_version < '3.12' --hash=%s\n"
            "b==1 ; sys_platform == 'win32' --hash=%s\n"
            "c[x,y]==1.0.0 ; python_full_version >= '3.11.7' and os_name == 'posix' --hash=%s\n" % (A, B, C),
        )
        self.assertEqual(sorted(self.packages(path)), ["a", "c"])

    def test_includes_are_relative_to_their_file_and_listed(self):
        self.write("sub/more.txt", "-c limits.txt\nb==2 --hash=%s" % B)
        self.write("sub/limits.txt", "b<3\n")
        path = self.write("r.txt", "-r sub/more.txt\n--requirement=sub/more.txt\na==1 --hash=%s\n" % A)
        answer = self.ask(path)
        self.assertTrue(answer["complete"], answer["incomplete"])
        self.assertEqual(len(answer["inputs"]), 3)
        self.assertEqual(len(answer["packages"]), 2)

    def test_a_violated_constraint_is_left_to_pip(self):
        self.assertFalse(self.ask(self.write("r.txt", "a==1 --hash=%s" % A), constraints=["a>=2"])["complete"])
        self.assertTrue(self.ask(self.write("r.txt", "a==1 --hash=%s" % A), constraints=["a>=1", "z==3"])["complete"])

    def test_a_file_that_includes_itself_is_refused(self):
        path = self.write("r.txt", "-r other.txt")
        self.write("other.txt", "-r r.txt")
        self.assertIn("includes itself", self.error("invalid", path))

    def test_a_missing_file_is_named(self):
        self.assertIn("gone.txt", self.error("missing", self.write("r.txt", "-r gone.txt")))

    def test_variables_are_expanded_and_only_their_digest_is_told(self):
        path = self.write("r.txt", "--index-url https://u:${LOCK_SECRET}@host/simple\na==${LOCK_UNSET} --hash=%s" % A)
        answer = self.ask(path, environment={"LOCK_SECRET": "hush"})
        self.assertEqual(answer["options"], ["--index-url https://u:hush@host/simple"])
        self.assertEqual(answer["variables"]["LOCK_SECRET"], hashlib.sha256(b"hush").hexdigest())
        answer = self.ask(self.write("r.txt", "a==1 --hash=%s\n--extra-index-url ${LOCK_UNSET}" % A))
        self.assertEqual(answer["variables"], {"LOCK_UNSET": None})

    def test_options_are_passed_on(self):
        (self.folder / "wheels").mkdir()
        path = self.write("r.txt", "--no-index\n-f wheels\n--pre\n--trusted-host h\n--only-binary :all:\n--find-links=https://h/x\n")
        self.assertEqual(
            self.ask(path)["options"],
            ["--no-index", "--find-links " + str(self.folder / "wheels"), "--pre", "--trusted-host h",
             "--only-binary :all:", "--find-links https://h/x"],
        )
        path = self.write("r.txt", "--no-binary a\na==1 --hash=%s\nb==1 --hash=%s" % (A, B))
        self.assertEqual({n: p["no_binary"] for n, p in self.packages(path).items()}, {"a": True, "b": False})

    def test_errors_name_file_and_line(self):
        for text in ("\n\nnot a requirement\n", "\n\na==1 --hash=md5:00\n", "\n\n--wrong x\n", "\n\na==1 ; frob > 1 --hash=%s\n" % A):
            path = self.write("r.txt", text)
            self.assertIn(path + ":3", self.error("invalid", path))

    def test_a_comment_ends_a_continuation_as_in_pip(self):
        path = self.write("r.txt", "a==1 \\\n  # comment\n  --hash=%s\n" % A)
        self.assertIn("--hash without", self.error("invalid", path))

    def test_encodings(self):
        text = "a==1 --hash=%s\n" % A
        for data in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), b"# coding: latin-1\n# \xe9\n" + text.encode()):
            self.assertEqual(list(self.packages(self.write("r.txt", data))), ["a"])

    def test_wheels_by_url_and_path(self):
        wheel = self.write("x-1.0-py3-none-any.whl", "bytes")
        own = "sha256:" + hashlib.sha256(b"bytes").hexdigest()
        url = "https://u:p@h/b_c-2.0-py3-none-any.whl"
        path = self.write("r.txt", "b-c @ %s#sha256=%s\n./x-1.0-py3-none-any.whl --hash=%s\n" % (url, B[7:], own))
        found = self.packages(path)
        self.assertEqual(found["b-c"]["version"], "2.0")
        self.assertEqual(found["b-c"]["direct_url"]["url"], "https://h/b_c-2.0-py3-none-any.whl")
        self.assertEqual(found["b-c"]["direct_url"]["archive_info"]["hashes"], {"sha256": B[7:]})
        self.assertEqual((found["x"]["path"], found["x"]["hashes"]), (wheel, [own]))
        self.assertEqual(found["x"]["direct_url"]["url"], "file://" + wheel)
        answer = self.ask(requirements=["./x-1.0-py3-none-any.whl"])
        self.assertFalse(answer["complete"])  # its dependencies are not known
        self.assertTrue(answer["relative"])
        self.assertTrue(self.ask(requirements=["./x-1.0-py3-none-any.whl"], no_deps=True)["complete"])
        said = self.error("mismatch", self.write("r.txt", "%s --hash=%s" % (wheel, C)))
        self.assertIn("the lock wants sha256 %s, the file has sha256 " % C[7:], said)
        message = self.error("tags", self.write("r.txt", "x @ https://h/x-1-cp312-cp312-win32.whl#sha256=" + A[7:]))
        self.assertIn("cp312-cp312-win32", message)

    def test_one_name_twice(self):
        path = self.write("r.txt", "a==1 --hash=%s --hash=%s\nA==1 --hash=%s\n" % (A, B, B))
        self.assertEqual(self.packages(path)["a"]["hashes"], [B])
        self.assertFalse(self.ask(self.write("r.txt", "a==1 --hash=%s\na==2 --hash=%s\n" % (A, B)))["complete"])


PYLOCK = """
lock-version = "%(version)s"
requires-python = "%(python)s"
extras = ["fast"]
dependency-groups = ["dev", "main"]
default-groups = ["main"]
created-by = "test"
%(more)s
[[packages]]
name = "Num"
version = "2.0"
wheels = [
  {url = "https://h/num-2.0-cp312-cp312-manylinux_2_17_x86_64.whl", hashes = {sha256 = "%(c)s"}},
  {url = "https://h/num-2.0-py3-none-any.whl", hashes = {sha256 = "%(b)s"}},
  {url = "https://h/num-2.0-cp311-cp311-manylinux_2_5_x86_64.manylinux_2_17_x86_64.whl", hashes = {sha256 = "%(a)s"}, size = 3},
]
[[packages]]
name = "onlydev"
version = "1"
marker = "'dev' in dependency_groups"
sdist = {name = "onlydev-1.tar.gz", url = "https://h/onlydev-1.tar.gz", hashes = {sha256 = "%(b)s"}}
[[packages]]
name = "quick"
version = "1"
marker = "'fast' in extras and python_version >= '3.8'"
sdist = {name = "quick-1.tar.gz", url = "https://h/quick-1.tar.gz", hashes = {sha256 = "%(c)s"}}
"""


class Pylock(Case):
    def lock(self, version="1.0", python=">=3.8", more=""):
        return self.write("pylock.toml", PYLOCK % dict(version=version, python=python, more=more, a=A[7:], b=B[7:], c=C[7:]))

    def test_the_best_wheel_for_the_target(self):
        found = self.packages(self.lock())
        self.assertEqual(list(found), ["num"])
        self.assertEqual(found["num"]["hashes"], [A])
        self.assertTrue(found["num"]["by_url"].startswith("num @ https://h/num-2.0-cp311"))

    def test_groups_and_extras(self):
        self.assertEqual(list(self.packages(self.lock(), groups=["dev"], extras=["fast"])), ["num", "onlydev", "quick"])
        self.assertIn("no group 'nix'", self.error("invalid", self.lock(), groups=["nix"]))
        self.assertIn("no extra 'nix'", self.error("invalid", self.lock(), extras=["nix"]))

    def test_a_lock_for_another_python_is_refused(self):
        self.assertIn("requires >=3.12", self.error("invalid", self.lock(python=">=3.12")))
        self.assertIn("other environments", self.error("invalid", self.lock(more='environments = ["sys_platform == \'win32\'"]')))

    def test_versions_of_the_format(self):
        self.assertIn("lock-version", self.error("invalid", self.lock(version="2.0")))
        self.assertIn("newer", self.ask(self.lock(version="1.1"))["warnings"][0])

    def test_no_wheel_names_the_tags_wanted_and_found(self):
        path = self.write(
            "pylock.toml",
            'lock-version = "1.0"\n[[packages]]\nname = "num"\nversion = "2"\n'
            'wheels = [{url = "https://h/num-2-cp38-cp38-win32.whl", hashes = {sha256 = "%s"}}]\n' % A[7:],
        )
        message = self.error("tags", path)
        for part in ("num 2", "cp311-cp311-manylinux_2_17_x86_64", "found cp38-cp38-win32"):
            self.assertIn(part, message)

    def test_other_sources(self):
        path = self.write(
            "pylock.toml",
            'lock-version = "1.0"\n[[packages]]\nname = "v"\nvcs = {type = "git", url = "https://h/v.git", requested-revision = "main", commit-id = "abc"}\n'
            '[[packages]]\nname = "d"\ndirectory = {path = "d", editable = true}\n'
            '[[packages]]\nname = "z"\narchive = {url = "https://h/z-1.zip", hashes = {sha256 = "%s"}}\n' % A[7:],
        )
        answer = self.ask(path)
        found = {p["name"]: p for p in answer["packages"]}
        self.assertEqual(found["v"]["by_url"], "v @ git+https://h/v.git@abc")
        self.assertEqual(found["v"]["direct_url"]["vcs_info"]["requested_revision"], "main")
        self.assertEqual(found["z"]["direct_url"]["archive_info"]["hash"], "sha256=" + A[7:])
        self.assertEqual(answer["editables"], [{"name": "d", "path": str(self.folder / "d")}])

    def test_damage_is_an_error(self):
        for text in ("lock-version = ", "lock-version = '1.0'\n[[packages]]\n", "lock-version='1.0'\n[[packages]]\nname='a'\n",
                     "lock-version='1.0'\n[[packages]]\nname='a'\nwheels=[{name='../a-1-py3-none-any.whl'}]\n"):
            self.assertIn("pylock.toml", self.error("invalid", self.write("pylock.toml", text)))


UV = """
version = 1
revision = 3
requires-python = ">=3.8"

[[package]]
name = "app"
version = "0.1.0"
source = { %(root)s = "." }
dependencies = [
    { name = "web", extra = ["ssl"] },
    { name = "winonly", marker = "sys_platform == 'win32'" },
    { name = "fork", version = "1.0", source = { registry = "https://h/simple" }, marker = "python_full_version < '3.10'" },
    { name = "fork", version = "2.0", source = { registry = "https://h/simple" }, marker = "python_full_version >= '3.10'" },
]
[package.optional-dependencies]
plot = [{ name = "plot" }]
[package.dev-dependencies]
dev = [{ name = "tester" }]
docs = [{ name = "gitty" }]
"""


def uv_package(name, version="1.0", dependencies="", more=""):
    return (
        '[[package]]\nname = "%s"\nversion = "%s"\nsource = { registry = "https://h/simple" }\ndependencies = [%s]\n'
        'wheels = [{ url = "https://h/%s-%s-py3-none-any.whl", hash = "%s", size = 1 }]\n%s\n'
        % (name, version, dependencies, name, version, A, more)
    )


class Uv(Case):
    def lock(self, root="virtual"):
        text = UV % {"root": root}
        text += uv_package("web", dependencies='{ name = "base" }', more='[package.optional-dependencies]\nssl = [{ name = "ssl" }]\n')
        for name in ("base", "ssl", "winonly", "plot", "unreached"):
            text += uv_package(name, dependencies='{ name = "web" }' if name == "base" else "")
        text += uv_package("tester", dependencies='{ name = "base" }')
        text += uv_package("fork", "1.0") + uv_package("fork", "2.0")
        text += '[[package]]\nname = "gitty"\nversion = "3"\nsource = { git = "https://h/g.git?tag=v3#c0ffee" }\n'
        return self.write("uv.lock", text)

    def test_the_walk_from_the_root(self):
        found = self.packages(self.lock())
        self.assertEqual(list(found), ["base", "fork", "ssl", "tester", "web"])
        self.assertEqual(found["fork"]["version"], "2.0")
        self.assertEqual({n for n, p in found.items() if p["requested"]}, {"web", "tester", "fork"})
        self.assertEqual(found["web"]["by_name"], "web==1.0 --hash=" + A)

    def test_groups_and_extras(self):
        found = self.packages(self.lock(), groups=["docs"], extras=["plot"])
        self.assertEqual(list(found), ["base", "fork", "gitty", "plot", "ssl", "web"])
        self.assertEqual(found["gitty"]["by_url"], "gitty @ git+https://h/g.git@c0ffee")
        self.assertEqual(found["gitty"]["direct_url"]["vcs_info"]["requested_revision"], "v3")
        self.assertNotIn("tester", self.packages(self.lock(), groups=[]))
        self.assertIn("no group", self.error("invalid", self.lock(), groups=["nix"]))

    def test_default_groups_of_the_project(self):
        self.write("pyproject.toml", "[tool.uv]\ndefault-groups = []\n")
        answer = self.ask(self.lock())
        self.assertNotIn("tester", [p["name"] for p in answer["packages"]])
        self.assertIn(str(self.folder / "pyproject.toml"), answer["inputs"])

    def test_the_project_itself_is_editable(self):
        self.assertEqual(self.ask(self.lock("editable"))["editables"], [{"name": "app", "path": str(self.folder)}])
        self.assertEqual(self.ask(self.lock())["editables"], [])

    def test_another_python_or_version(self):
        path = self.write("uv.lock", 'version = 1\nrequires-python = ">=3.12"\n')
        self.assertIn("another Python", self.error("invalid", path))
        path = self.write("uv.lock", "version = 9\n")
        self.assertIn("version 9", self.error("invalid", path, environment={"PATH": "/nonexistent"}))

    def test_conflicting_extras(self):
        text = (
            'version = 1\nrequires-python = ">=3.8"\n[[package]]\nname = "app"\nversion = "1"\nsource = { virtual = "." }\n'
            "[package.optional-dependencies]\n"
            "cpu = [{ name = \"fork\", version = \"1.0\", source = { registry = \"https://h/simple\" }, marker = \"extra == 'extra-3-app-cpu'\" }]\n"
            "gpu = [{ name = \"fork\", version = \"2.0\", source = { registry = \"https://h/simple\" }, marker = \"extra == 'extra-3-app-gpu' and extra != 'extra-3-app-cpu'\" }]\n"
        )
        path = self.write("uv.lock", text + uv_package("fork", "1.0") + uv_package("fork", "2.0"))
        self.assertEqual(self.packages(path, extras=["cpu"])["fork"]["version"], "1.0")
        self.assertEqual(self.packages(path, extras=["gpu"])["fork"]["version"], "2.0")

    def test_a_missing_package_is_an_error(self):
        path = self.write("uv.lock", UV % {"root": "virtual"})
        self.assertIn("needed but missing", self.error("invalid", path))


if __name__ == "__main__":
    if bundled_pip() is None:
        print("no bundled pip: install python3-venv")
        sys.exit(EXIT_SKIP)
    with tempfile.TemporaryDirectory(prefix="venvfs-tools-") as TOOLS:
        sys.exit(not unittest.main(exit=False).result.wasSuccessful())
