#!/usr/bin/env python3
"""The first run as people meet it. Each case drives the scripts in a sandbox where sudo, apt-get,
dpkg-query and id are stubs that write down how they were called.

    the machine                              what must happen                                 test
    ---------------------------------------  -----------------------------------------------  ----
    all packages present                     nothing is asked of sudo or apt                  packages_present
    some missing, sudo there                 sudo apt-get install of exactly those            missing_with_sudo
    some missing, root                       apt-get without sudo                             missing_as_root
    some missing, neither root nor sudo      the exact apt line, exit 1, nothing built        neither_root_nor_sudo
    sudo refuses                             the exact apt line, exit 1                       sudo_refuses
    python3-venv or fuse3 missing            named                                            venv_and_fuse3_are_named
    a proxy is set                           apt and pip use it                               proxy_*
    PIP_INDEX_URL is set                     pip asks that index                              index_url_is_honoured
    no index reachable                       two wheels made on the spot                      no_index
    an index reachable                       a real package, two real versions                real_package
    no /dev/fuse                             plain files, exit 0, the last line says why      no_dev_fuse
    /dev/fuse not permitted                  the same                                         dev_fuse_not_permitted
    no privilege to mount                    the same                                         no_privilege_to_mount
    the second run                           the same output, nothing changed                 second_run
    no HOME                                  works                                            no_home
    a user's shell files                     untouched                                        quickstart_and_uninstall
    make uninstall                           removes what was installed, nothing else         quickstart_and_uninstall
"""
import contextlib
import http.server
import os
import pathlib
import shutil
import stat
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

SCRIPTS = harness.SOURCE / "scripts"
NOWHERE = "http://127.0.0.1:9/simple"  # the discard port: refused at once


class Machine:
    """A PATH of the system's programs, with some replaced by stubs, and a HOME."""

    def __init__(self, *, installed="*", uid=None, sudo=True, without=()):
        self.box = harness.Sandbox("first")
        self.bin = self.box.root / "bin"
        self.bin.mkdir()
        self.log = self.box.root / "calls"
        self.log.touch()
        for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            for name in os.listdir(folder):
                with contextlib.suppress(FileExistsError):
                    (self.bin / name).symlink_to(f"{folder}/{name}")
        for name in ("sudo", "apt-get", "dpkg-query", *without):
            (self.bin / name).unlink(missing_ok=True)
        self.stub("apt-get", "")
        if installed == "*":
            self.stub("dpkg-query", "echo 'install ok installed'", quiet=True)
        else:
            self.stub("dpkg-query", f"""case " {' '.join(installed)} " in
                *" $3 "*) echo 'install ok installed' ;; *) exit 1 ;; esac""", quiet=True)
        if sudo:
            self.stub("sudo", 'exec "$@"')
        if uid is not None:
            self.stub("id", f'[ "$1" = -u ] && echo {uid} || exec /usr/bin/id "$@"', quiet=True)
        self.env = {**self.box.env, "PATH": str(self.bin)}
        for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PREFIX", "BUILD", "http_proxy", "https_proxy",
                     "HTTP_PROXY", "HTTPS_PROXY", "MAKEFLAGS", "MAKELEVEL"):
            self.env.pop(name, None)

    def stub(self, name, script, quiet=False):
        path = self.bin / name
        path.unlink(missing_ok=True)
        note = "" if quiet else f'echo "{name} $*" >>"{self.log}"\n'
        path.write_text(f"#!/bin/sh\n{note}{script}\n")
        path.chmod(0o755)

    def calls(self):
        return self.log.read_text().splitlines()

    def run(self, *command, status=0, **env):
        return harness.run(command, env={**self.env, **env}, cwd=harness.SOURCE, status=status,
                           timeout=900)

    def demo(self, *prefix, status=0, **env):
        return self.run(*prefix, SCRIPTS / "demo" / "run", harness.PROGRAM, status=status, **env)


class Case(unittest.TestCase):
    def machine(self, **options):
        machine = Machine(**options)
        self.addCleanup(machine.box.close)
        return machine


class Packages(Case):
    MOST = ["gcc", "libc6-dev", "make", "meson", "ninja-build", "pkgconf", "libfuse3-dev",
            "libzstd-dev", "libxxhash-dev", "libsqlite3-dev", "libssl-dev", "libzip-dev",
            "libjansson-dev", "python3"]
    LINE = "apt-get install -y --no-install-recommends fuse3 python3-venv"

    def test_packages_present(self):
        machine = self.machine(uid=1000)
        done = machine.run(SCRIPTS / "install-packages", "build")
        self.assertEqual((machine.calls(), done.stderr), ([], ""))

    def test_missing_with_sudo(self):
        machine = self.machine(installed=self.MOST, uid=1000)
        machine.run(SCRIPTS / "install-packages", "build")
        calls = machine.calls()
        self.assertTrue(calls[0].startswith("sudo "), calls)
        self.assertEqual(calls[-1], self.LINE)
        self.assertIn("apt-get update -qq", calls)

    def test_missing_as_root(self):
        machine = self.machine(installed=self.MOST, uid=0)
        machine.run(SCRIPTS / "install-packages", "build")
        self.assertEqual(machine.calls(), ["apt-get update -qq", self.LINE])

    def test_neither_root_nor_sudo(self):
        machine = self.machine(installed=self.MOST, uid=1000, sudo=False)
        machine.stub("meson", "exit 1")
        machine.stub("ninja", "exit 1")
        done = machine.run("make", "quickstart", BUILD=str(machine.box.root / "build"), status=2)
        self.assertIn(f"  sudo {self.LINE}\n", done.stderr)
        self.assertEqual(machine.calls(), [], "nothing may be built")
        done = machine.run(SCRIPTS / "quickstart", BUILD=str(machine.box.root / "build"), status=1)

    def test_sudo_refuses(self):
        machine = self.machine(installed=self.MOST, uid=1000)
        machine.stub("sudo", "echo 'a password is required' >&2; exit 1")
        done = machine.run(SCRIPTS / "install-packages", "build", status=1)
        self.assertIn(self.LINE, done.stderr)

    def test_venv_and_fuse3_are_named(self):
        machine = self.machine(installed=self.MOST, uid=1000, sudo=False)
        done = machine.run(SCRIPTS / "install-packages", "build", status=1)
        for name in ("python3-venv", "fuse3"):
            self.assertIn(name, done.stderr)

    def test_proxy_of_apt_survives_sudo(self):
        machine = self.machine(installed=self.MOST, uid=1000)
        machine.run(SCRIPTS / "install-packages", "build", https_proxy="http://proxy.example:3128")
        self.assertIn("https_proxy=http://proxy.example:3128", machine.calls()[0])

    def test_check_needs_more(self):
        machine = self.machine(installed=self.MOST + ["fuse3", "python3-venv"], uid=0)
        machine.run(SCRIPTS / "install-packages", "check")
        for name in ("libcmocka-dev", "clang", "clang-format", "zsh", "fish"):
            self.assertIn(f" {name}", machine.calls()[-1])


class Index(http.server.BaseHTTPRequestHandler):
    """A package index, or a proxy, that has nothing and remembers what was asked."""
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_error(404)

    def do_CONNECT(self):
        self.asked.append(self.path)
        self.send_error(502)

    def log_message(self, *_):
        pass


class Demo(Case):
    def setUp(self):
        self.problem = harness.fuse_problem()
        Index.asked = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def both_versions(self, done, name, old, new):
        self.assertRegex(done.stdout, rf"ProjectA: {name} {old}")
        self.assertRegex(done.stdout, rf"ProjectB: {name} {new}")
        if not self.problem:
            self.assertRegex(done.stdout, r"Saved: \d+\.\d MB")

    def test_real_package(self):
        machine = self.machine()
        done = machine.demo(PIP_RETRIES="1")
        if "could be reached" in done.stdout:
            self.skipTest("no package index can be reached")
        self.both_versions(done, "itsdangerous", "1.1.0", "2.2.0")
        for project in ("ProjectA", "ProjectB"):
            self.assertTrue((machine.box.home / ".local/share/venvfs-demo" / project).is_dir())

    def test_no_index(self):
        done = self.machine().demo(PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        self.both_versions(done, "projectc", "1.0", "2.0")
        self.assertIn("no package index", done.stdout)

    def test_index_url_is_honoured(self):
        self.machine().demo(PIP_INDEX_URL=f"{self.address}/simple", PIP_RETRIES="0")
        self.assertIn("/simple/itsdangerous/", Index.asked)

    def test_proxy_of_pip_is_honoured(self):
        # A host that only the proxy can reach; pip wants to be told that http will do.
        self.machine().demo(PIP_INDEX_URL="http://index.invalid/simple", PIP_RETRIES="0",
                            PIP_TRUSTED_HOST="index.invalid", http_proxy=self.address)
        self.assertIn("http://index.invalid/simple/itsdangerous/", Index.asked)

    def test_second_run(self):
        machine = self.machine()
        first = machine.demo(PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        demo = machine.box.home / ".local/share/venvfs-demo"
        before = {path: path.lstat().st_mtime_ns for path in demo.glob("*/requirements.txt")}
        packs = sorted(machine.box.venvfs_home.glob("store/packs/*"))
        second = machine.demo(PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        self.assertEqual(packs, sorted(machine.box.venvfs_home.glob("store/packs/*")))
        self.assertEqual(self.lines(first), self.lines(second))
        self.assertEqual(len(before), 2)

    @staticmethod
    def lines(done):
        return [line for line in done.stdout.splitlines() if line.strip().startswith("Project")]

    def test_no_home(self):
        machine = self.machine()
        env = {name: value for name, value in machine.env.items() if name != "HOME"}
        done = harness.run([SCRIPTS / "demo" / "run", harness.PROGRAM], cwd=harness.SOURCE,
                           env={**env, "PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "0"})
        self.both_versions(done, "projectc", "1.0", "2.0")

    # ---- machines that cannot mount ----

    NAMESPACE = """set -e
        mount -t tmpfs none "$1"
        for name in null zero full random urandom tty; do
            : >"$1/$name"; mount --bind /dev/$name "$1/$name"
        done
        ln -s /proc/self/fd "$1/fd"
        case $2 in
        missing) ;;
        forbidden) mknod -m 600 "$1/fuse" c 10 229 ;;
        esac
        mount --rbind "$1" /dev
        shift 2
        exec "$@" """

    def without_fuse(self, machine, how):
        place = machine.box.root / "dev"
        place.mkdir()
        prefix = ["unshare", "-m", "sh", "-c", self.NAMESPACE, "sh", place, how]
        if os.getuid() != 0:
            prefix[1:2] = ["-Urm"]
        try:
            harness.run([*prefix, "true"])
        except harness.Failed as problem:
            self.skipTest(f"no mount namespace here: {str(problem).splitlines()[-1]}")
        return prefix

    def test_no_dev_fuse(self):
        machine = self.machine()
        prefix = self.without_fuse(machine, "missing")
        done = machine.demo(*prefix, PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        self.problem = "plain files"
        self.both_versions(done, "projectc", "1.0", "2.0")
        last = done.stdout.rstrip().splitlines()[-1]
        self.assertRegex(last, r"plain files.*/dev/fuse")
        again = machine.demo(*prefix, PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        self.assertEqual(self.lines(done), self.lines(again))

    def test_dev_fuse_not_permitted(self):
        if os.getuid() != 0:
            self.skipTest("only root can make a /dev/fuse that its user may not open")
        machine = self.machine()
        prefix = self.without_fuse(machine, "forbidden")
        for path in (machine.box.root, *machine.box.root.glob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        reachable = harness.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test",
                                 "-x", harness.PROGRAM], status=None).returncode == 0
        if not reachable:
            self.skipTest("this checkout cannot be read by another user")
        done = machine.demo(*prefix, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        self.assertRegex(done.stdout.rstrip().splitlines()[-1], r"plain files.*/dev/fuse")

    def test_no_privilege_to_mount(self):
        """/dev/fuse can be opened, so only trying tells; on a slow machine, of whose progress there is a line
        above the reason."""
        machine = self.machine()
        slow = machine.box.root / "venvfs"
        slow.write_text('#!/bin/sh\ncase " $* " in *" -q "*) ;; *" mount "*) echo "venvfs: installing: '
                        f'9 packages, 9.9 MB in 9.9 s" >&2 ;; esac\nexec {harness.PROGRAM} "$@"\n')
        slow.chmod(0o755)
        prefix = ["setpriv", *(["--bounding-set", "-sys_admin"] if os.getuid() == 0 else ["--no-new-privs"])]
        done = machine.run(*prefix, SCRIPTS / "demo" / "run", slow, PIP_INDEX_URL=NOWHERE, PIP_RETRIES="0")
        self.problem = "plain files"
        self.both_versions(done, "projectc", "1.0", "2.0")
        self.assertRegex(done.stdout.rstrip().splitlines()[-1], "plain files: .*privilege")


class Whole(Case):
    def test_quickstart_and_uninstall(self):
        machine = self.machine(uid=None)
        home = machine.box.home
        for name in (".bashrc", ".profile", ".zshrc", ".config/fish/config.fish"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text("# mine\n")
        prefix = machine.box.root / "prefix"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin" / "other").write_text("not ours\n")
        before = harness.tree_digest(prefix)
        env = {"PREFIX": str(prefix), "BUILD": str(machine.box.root / "build"),
               "PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "0", "MESON_OPTIONS": "-Dtests=disabled"}
        done = machine.run("make", "quickstart", **env)
        self.assertIn("ProjectB: projectc 2.0", done.stdout)
        self.assertEqual(machine.calls(), [])
        again = machine.run("make", "quickstart", **env)
        self.assertIn("ProjectB: projectc 2.0", again.stdout)
        version = harness.run([prefix / "bin" / "venvfs", "--version"], env=machine.env).stdout
        for word in ("venvfs", "fuse", "zstd", "sqlite"):
            self.assertIn(word, version.lower())
        machine.run("make", "uninstall", **env)
        self.assertEqual(harness.tree_digest(prefix), before)
        for name in (".bashrc", ".profile", ".zshrc", ".config/fish/config.fish"):
            self.assertEqual((home / name).read_text(), "# mine\n")
        self.assertEqual({path.name for path in home.iterdir()} - {".local", ".config", ".cache"},
                         {".bashrc", ".profile", ".zshrc"})


if __name__ == "__main__":
    harness.main(needs_fuse=False)
