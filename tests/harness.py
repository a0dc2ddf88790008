"""What the behaviour tests share: a venvfs in a home of its own, plain twins, and wheels made to order.

    VENVFS_PROGRAM       the program under test (default: build/venvfs of this checkout)
    VENVFS_CORPUS        a folder with web.txt, data.txt, tools.txt and imports/ (default:
                         ../shared/corpus beside the checkout, else the small locks in tests/data)
    VENVFS_TEST_PYTHON   the interpreter of the environments (default: python3 on PATH)
    VENVFS_TEST_WHEELS   a folder with a folder of downloaded wheels for each set; pip then never asks
                         an index
    VENVFS_TEST_TAKEOVER VENVFS_TAKEOVER of every daemon (default: not set)

Plain environments are kept in $XDG_CACHE_HOME/venvfs-tests, outside the checkout. A program that
needs /dev/fuse calls main(needs_fuse=True) and exits 77 where there is none.
"""
import atexit
import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile

TESTS = pathlib.Path(__file__).resolve().parent
SOURCE = TESTS.parent
PROGRAM = pathlib.Path(os.environ.get("VENVFS_PROGRAM") or SOURCE / "build" / "venvfs").absolute()
SKIPPED = 77


# ---- running programs ----

class Failed(AssertionError):
    """A program ended otherwise than the test requires; the text has all it said."""


def run(command, *, env=None, cwd=None, timeout=600, status=0, text=None, stdout=subprocess.PIPE):
    """Runs a program to its end. status: the exit code it must give, or None for any."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, env=env, cwd=cwd, input=text, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL if text is None else None,
                              stdout=stdout, stderr=subprocess.PIPE, errors="surrogateescape")
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(command)}: no end after {timeout} s\n{late.stdout}\n{late.stderr}")
    if status is not None and done.returncode != status:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}, not {status}\n"
                     f"--- stdout\n{(done.stdout or '')[-3000:]}\n--- stderr\n{done.stderr[-3000:]}")
    return done


@functools.lru_cache(None)
def fuse_problem():
    """Why this machine cannot mount, or None."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    if os.getuid() != 0 and not shutil.which("fusermount3"):
        return "fusermount3 is not there and this user is not root"
    return None


@functools.lru_cache(None)
def default_python():
    """The real path of the interpreter that tests use; a shim of pyenv would start slowly."""
    python = os.environ.get("VENVFS_TEST_PYTHON") or shutil.which("python3")
    return run([python, "-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))"]
               ).stdout.strip()


MINORS = range(6, 15)  # of Python 3, that venvfs supports


def pyenv_folders():
    """The folders of pyenv's versions, newest first; [] where there is no pyenv."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv", "versions")
    return sorted(versions.iterdir(), reverse=True) if versions.is_dir() else []


@functools.lru_cache(None)
def interpreters():
    """{"3.8": path, ...}: one CPython of each minor version that is on this machine and runs."""
    found = {}
    places = [pathlib.Path(default_python()).parent]
    places += [folder / "bin" for folder in pyenv_folders()]
    places += [pathlib.Path("/usr/bin"), pathlib.Path("/usr/local/bin")]
    for minor in MINORS:
        for place in places:
            python = place / f"python3.{minor}"
            if f"3.{minor}" in found or not os.access(python, os.X_OK):
                continue
            with contextlib.suppress(Failed, OSError):
                run([python, "-Ic", "import ensurepip, zlib"])
                found[f"3.{minor}"] = str(python)
    return found


# ---- venvfs in a home of its own ----

class Sandbox:
    """A temporary HOME with its own store, hub and daemon. Use as a context manager."""

    def __init__(self, label="test", folder=None):
        # A short path: console scripts in it must have a plain shebang, as a user's would.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"vf-{label[:12]}-", dir=folder))
        self.home = self.root / "home"
        self.venvfs_home = self.root / "data"
        self.hub = self.root / "hub"
        self.temporary = self.root / "tmp"
        for folder in (self.home, self.temporary):
            folder.mkdir()
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(("VENVFS_", "VIRTUAL_ENV", "PYTHON", "XDG_", "CONDA",
                                            "PYENV_VERSION", "UV_"))}
        self.env.update(HOME=str(self.home), VENVFS_HOME=str(self.venvfs_home),
                        VENVFS_HUB=str(self.hub), VENVFS_RUNTIME_DIR=str(self.root / "run"),
                        TMPDIR=str(self.temporary), LC_ALL="C.UTF-8", PIP_NO_INPUT="1",
                        PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONNOUSERSITE="1",
                        VENVFS_SETTLE="off", VENVFS_WARM="off")  # tests of them say when
        if os.environ.get("VENVFS_TEST_TAKEOVER"):
            self.env["VENVFS_TAKEOVER"] = os.environ["VENVFS_TEST_TAKEOVER"]
        # Under meson the daemon would inherit settings that make every allocation dirty.
        for name in ("MALLOC_PERTURB_", "MESON_TEST_ITERATION"):
            self.env.pop(name, None)
        self._atexit = atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def venvfs(self, *arguments, status=0, cwd=None, env=None, timeout=900, text=None):
        """Runs the program; its output is in .stdout and .stderr."""
        return run([PROGRAM, *arguments], env={**self.env, **(env or {})}, cwd=cwd or self.home,
                   timeout=timeout, status=status, text=text)

    def json(self, *arguments, **options):
        return json.loads(self.venvfs(*arguments, "--json", **options).stdout)

    def create(self, name, *arguments, python=None, **options):
        """Makes an environment and returns its path."""
        done = self.venvfs("create", name, "-p", python or default_python(), *arguments, **options)
        return pathlib.Path(one_line(done.stdout))

    def project(self, name, lock=None, lock_name="requirements.txt"):
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        if lock is not None:
            (folder / lock_name).write_text(lock)
        return folder

    def daemon_pid(self):
        """The daemon's pid, or None."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = json.loads((self.venvfs_home / "daemon.json").read_text())["pid"]
            if str(self.venvfs_home) in environment_of(pid).get("VENVFS_HOME", ""):
                return pid
        return None

    def mounts(self):
        """Mount points below this sandbox."""
        lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        points = [line.split(" ")[1].replace("\\040", " ") for line in lines]
        return [point for point in points if point.startswith(f"{self.root}/")]

    def processes(self):
        """Processes that belong to this sandbox: {pid: command line}. Sees only our user's."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if environment_of(pid).get("VENVFS_HOME") == str(self.venvfs_home):
                with contextlib.suppress(OSError):
                    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    found[int(pid)] = b" ".join(words).decode(errors="replace")
        return found

    def close(self):
        """Ends the daemon, unmounts, removes everything. Idempotent."""
        if not self.root.exists():
            return
        atexit.unregister(self.close)
        with contextlib.suppress(Failed, OSError):
            self.venvfs("umount", "--all", status=None, timeout=30)
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal_number)
            wait_until(lambda: not self.processes(), 3)
        for point in reversed(self.mounts()):
            tool = ["umount", "-l"] if os.getuid() == 0 else ["fusermount3", "-u", "-z"]
            run([*tool, point], status=None)
        if not self.mounts():
            make_removable(self.root)
            shutil.rmtree(self.root, ignore_errors=True)


def make_removable(root):
    """Gives us write permission to all folders below root (stubs and stores may be read-only)."""
    for folder, folders, _ in os.walk(root):
        for name in folders:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


def environment_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in text.split(b"\0") if entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def one_line(text):
    """The only line of a program's output; anything else on it is an error of the program."""
    lines = text.splitlines()
    if len(lines) != 1:
        raise Failed(f"one line was expected on standard output: {text!r}")
    return lines[0]


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def tree_digest(root):
    """{path: digest} of every file, folder and symlink below root: equal means byte for byte equal."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, root)
            if os.path.islink(path):
                found[key] = "link " + os.readlink(path)
            elif os.path.isdir(path):
                found[key] = "folder"
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[key] = hashlib.sha256(file.read()).hexdigest()
    return found


def store_content(store):
    """{path: digest} of the packs and images of a store: none of them ever changes. Others come, when
    what pip wrote into an environment is settled."""
    return {path: digest for path, digest in tree_digest(store).items()
            if path.startswith("packs/") or path.endswith(".image")}


def store_changes(before, store):
    """What of store_content() is gone or other than it was: {} as long as all is well."""
    after = store_content(store)
    return {path: after.get(path) for path, digest in before.items() if after.get(path) != digest}


def disk_bytes(*roots):
    """What `du` counts: blocks, each inode once."""
    seen, total = set(), 0
    for root in roots:
        for folder, folders, files in os.walk(root):
            for path in [folder] + [os.path.join(folder, name) for name in files]:
                facts = os.lstat(path)
                if (facts.st_dev, facts.st_ino) not in seen:
                    seen.add((facts.st_dev, facts.st_ino))
                    total += facts.st_blocks * 512
    return total


# ---- the real package sets ----

@functools.lru_cache(None)
def corpus():
    given = os.environ.get("VENVFS_CORPUS")
    place = pathlib.Path(given) if given else SOURCE.parent / "shared" / "corpus"
    if (place / "web.txt").exists():
        return place
    if given:
        raise Failed(f"VENVFS_CORPUS: {given} has no web.txt")
    return TESTS / "data"


SETS = ("data", "web", "tools")


def lock_of(name):
    return corpus() / f"{name}.txt"


def cache_folder(*parts):
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(base, "venvfs-tests", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.lru_cache(None)
def tool(name, requirement=None):
    """A program of that name from PATH, else from the index, kept in the cache; None: no index."""
    found = shutil.which(name)
    if found:
        return found
    folder = cache_folder(name)
    kept = folder / "bin" / name
    if not kept.exists():
        run([default_python(), "-m", "venv", folder])
        run([folder / "bin" / "python", "-m", "pip", "install", "-q", requirement or name],
            status=None)
    return str(kept) if kept.exists() else None


@functools.lru_cache(None)
def downloaded(*names):
    """A folder with wheels of these projects and what they need, for the default interpreter; None:
    no index."""
    python = default_python()
    key = hashlib.sha256(f"{names}{run([python, '-VV']).stdout}".encode()).hexdigest()[:16]
    folder = cache_folder("downloaded") / key
    if not folder.exists():
        part = folder.with_suffix(f".part{os.getpid()}")
        done = run([python, "-m", "pip", "download", "-q", "--only-binary=:all:", "-d", part, *names],
                   status=None)
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):  # another run was faster
            part.rename(folder)
    return folder


def pip_settings(name):
    """Environment variables for pip: the wheels of a set from a folder where one is given."""
    wheels = os.environ.get("VENVFS_TEST_WHEELS")
    if not wheels:
        return {}
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": os.path.join(wheels, name)}


def plain_venv(lock, name="", python=None):
    """The twin: `python -m venv` and `pip install` of a lock, made once and kept in the cache."""
    python = python or default_python()
    layout = 2  # counts changes of how a twin is made
    key = hashlib.sha256(f"{layout}{run([python, '-VV']).stdout}{python}".encode()
                         + pathlib.Path(lock).read_bytes()).hexdigest()[:16]
    twin = cache_folder("plain") / f"{name or 'env'}-{key}"
    if (twin / ".complete").exists():
        return twin
    shutil.rmtree(twin, ignore_errors=True)
    env = {**os.environ, "PYTHONNOUSERSITE": "1", **pip_settings(name)}
    for variable in ("PYTHONDONTWRITEBYTECODE", "PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_USER"):
        env.pop(variable, None)
    run([python, "-m", "venv", twin], env=env)
    run([twin / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", "--require-hashes",
         "--disable-pip-version-check", "-r", lock], env=env, timeout=1500)
    (twin / ".complete").touch()
    return twin


class Sets:
    """data, web and tools in one store, made once per test process in this order; what the disk held
    after each step is kept for test_disk."""

    def __init__(self):
        self.sandbox = Sandbox("sets")
        self.sandbox.env.update(pip_settings("data"))
        self.path, self.bytes, self.seconds = {}, {}, {}
        for name in SETS:
            self.sandbox.env.update(pip_settings(name))
            start = time.monotonic()
            self.path[name] = self.sandbox.create(name, "-r", lock_of(name))
            self.seconds[name] = time.monotonic() - start
            self.bytes[name] = self.disk()
            if name == "data":
                self.sandbox.create("second", "-r", lock_of(name))
                self.bytes["second"] = self.disk()
        print(f"sets ready: {({k: round(v, 1) for k, v in self.seconds.items()})} s", flush=True)

    def disk(self):
        return disk_bytes(self.sandbox.venvfs_home, self.sandbox.home, self.sandbox.temporary)

    def twin(self, name):
        return plain_venv(lock_of(name), name)


@functools.lru_cache(None)
def sets():
    return Sets()


# ---- wheels made to order ----

def record_hash(data):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def wheel_members(name, version, files, *, tag="py3-none-any", requires=(), entry_points="",
                  wheel_version="1.0", purelib=True, drop=(), record=None):
    """[(path, bytes)] of a wheel, RECORD last. drop: members to leave out; record: a function that
    may change RECORD's rows."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    content = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in requires)
    content[f"{info}/METADATA"] = metadata.encode()
    content[f"{info}/WHEEL"] = (f"Wheel-Version: {wheel_version}\nGenerator: harness\n"
                                f"Root-Is-Purelib: {str(purelib).lower()}\nTag: {tag}\n").encode()
    if entry_points:
        content[f"{info}/entry_points.txt"] = entry_points.encode()
    for path in drop:
        content.pop(path.replace("{info}", info), None)
    rows = [f"{path},{record_hash(data)},{len(data)}" for path, data in content.items()]
    rows.append(f"{info}/RECORD,,")
    if record:
        rows = record(rows)
    members = list(content.items())
    if "{info}/RECORD" not in drop:
        members.append((f"{info}/RECORD", "".join(row + "\n" for row in rows).encode()))
    return members


def write_wheel(folder, filename, members, compression=zipfile.ZIP_DEFLATED):
    """members: (path or ZipInfo, bytes). The same members always give the same bytes."""
    path = pathlib.Path(folder) / filename
    with zipfile.ZipFile(path, "w", compression, allowZip64=True) as archive:
        for name, data in members:
            if isinstance(name, zipfile.ZipInfo):
                info = name
            else:
                info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
                info.external_attr = 0o100644 << 16
            info.compress_type = compression
            archive.writestr(info, data)
    return path


def make_wheel(folder, name, version, files, *, executable=(), **options):
    """A correct wheel; returns its path. executable: paths that get mode 0755."""
    tag = options.get("tag", "py3-none-any")
    members = []
    for path, data in wheel_members(name, version, files, **options):
        info = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
        info.external_attr = (0o100755 if path in executable else 0o100644) << 16
        members.append((info, data))
    return write_wheel(folder, f"{name.replace('-', '_')}-{version}-{tag}.whl", members)


def lock_text(*wheels):
    """A requirements file with hashes for wheels on disk, found without an index."""
    lines = ["--no-index", *sorted({f"--find-links {pathlib.Path(w).parent}" for w in wheels})]
    for wheel in wheels:
        name, version = pathlib.Path(wheel).name.split("-")[:2]
        digest = hashlib.sha256(pathlib.Path(wheel).read_bytes()).hexdigest()
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
    return "\n".join(lines) + "\n"


# ---- projects with a build backend of their own, so that no index is needed ----

BACKEND = r'''
"""A build backend in a file: wheels and editable wheels of the modules below src/. As setuptools
does, it leaves NAME.egg-info and build/ in the folder it builds."""
import base64, hashlib, os, zipfile
NAME, VERSION, REQUIRES, ENTRY_POINTS = "@NAME@", "@VERSION@", @REQUIRES@, """@ENTRY_POINTS@"""
INFO = "%s-%s.dist-info" % (NAME.replace("-", "_"), VERSION)

def leave_traces():
    for folder in ("src/%s.egg-info" % NAME, "build/lib"):
        os.makedirs(folder, exist_ok=True)
        open(folder + "/trace", "w").close()
    with open(os.environ.get("BACKEND_LOG", os.devnull), "a") as log:
        log.write(os.getcwd() + "\n")
    if os.path.exists("fail"):
        raise SystemExit("the backend of %s gives up" % NAME)

def metadata():
    lines = ["Metadata-Version: 2.1", "Name: " + NAME, "Version: " + VERSION]
    files = {"METADATA": "\n".join(lines + ["Requires-Dist: " + r for r in REQUIRES]) + "\n",
             "WHEEL": "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    if ENTRY_POINTS:
        files["entry_points.txt"] = ENTRY_POINTS
    return {INFO + "/" + name: text for name, text in files.items()}

def write(folder, files):
    rows = ["%s,sha256=%s,%d" % (n, base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).decode().rstrip("="), len(t.encode()))
            for n, t in files.items()]
    files[INFO + "/RECORD"] = "\n".join(rows + [INFO + "/RECORD,,", ""])
    name = "%s-%s-py3-none-any.whl" % (NAME.replace("-", "_"), VERSION)
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name

def prepare_metadata_for_build_wheel(folder, settings=None):
    leave_traces()
    os.makedirs(os.path.join(folder, INFO))
    for path, text in metadata().items():
        with open(os.path.join(folder, path), "w") as file:
            file.write(text)
    return INFO

prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel

def build_wheel(folder, settings=None, prepared=None):
    leave_traces()
    files = metadata()
    for top, _, names in os.walk("src"):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(top, name)
                files[os.path.relpath(path, "src")] = open(path).read()
    return write(folder, files)

def build_editable(folder, settings=None, prepared=None):
    leave_traces()
    return write(folder, dict(metadata(), **{"__editable__.%s.pth" % NAME: os.path.abspath("src") + "\n"}))
'''


def make_source(folder, name, version="1.0", files=None, *, requires=(), entry_points="", project=""):
    """A project with pyproject.toml and src/, built by a backend in the folder itself. files: those
    of src/. project: lines for its [project] table, which is left out when there are none."""
    folder = pathlib.Path(folder)
    text = BACKEND.replace("@NAME@", name).replace("@VERSION@", version)
    text = text.replace("@REQUIRES@", repr(list(requires))).replace("@ENTRY_POINTS@", entry_points)
    table = f'[project]\nname = "{name}"\nversion = "{version}"\n{project}\n' if project else ""
    pyproject = ('[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
                 + table)
    content = {"backend.py": text, "pyproject.toml": pyproject,
               **{f"src/{path}": data for path, data in (files or {}).items()}}
    for path, data in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(data)
    return folder


# ---- the main program of a test file ----

class Terminated(KeyboardInterrupt):
    """SIGTERM, as meson sends at a timeout. Of all exceptions unittest lets only this kind end the
    run: it counts a SystemExit as one test's error and goes on with the next."""


def on_sigterm(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # cleaning up is not interrupted
    raise Terminated


def main(needs_fuse=True, names=None):
    """Runs the tests of the calling module (or of the modules named) and exits: 0, 1, or 77 when
    every test was skipped. The last line has the counts, for scripts/summary. SIGTERM ends it with
    143, and no sandbox is left."""
    signal.signal(signal.SIGTERM, on_sigterm)
    # Line by line: a test that hangs shows where.
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, errors="replace", line_buffering=True)
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not built: run make build, or set VENVFS_PROGRAM")
    if needs_fuse and fuse_problem():
        print(f"skipped: {fuse_problem()}\n== 0 passed, 0 failed, 1 skipped")
        sys.exit(SKIPPED)
    patterns = [word for word in sys.argv[1:] if not word.startswith("-")]
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{word}*" for word in patterns] or None
    suite = unittest.TestSuite(loader.loadTestsFromName(name) for name in names or ["__main__"])
    start = time.monotonic()
    try:
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    except Terminated:
        print("ended by SIGTERM")
        sys.exit(128 + signal.SIGTERM)
    failed = len({str(test) for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    passed = max(result.testsRun - failed - skipped, 0)
    print(f"== {passed} passed, {failed} failed, {skipped} skipped   {time.monotonic() - start:.0f} s")
    if failed or not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun and not passed else 0)
