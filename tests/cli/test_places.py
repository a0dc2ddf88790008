#!/usr/bin/env python3
"""Where a user's venvfs lives when the usual places are not there, and what it does not trust."""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

# statfs() says that everything lies on NFS.
ON_NFS = """
#include <string.h>
#include <sys/vfs.h>
int statfs(const char *path, struct statfs *fs)
{
    (void)path;
    memset(fs, 0, sizeof(*fs));
    fs->f_type = 0x6969;
    return 0;
}
int statfs64(const char *path, struct statfs64 *fs)
{
    (void)path;
    memset(fs, 0, sizeof(*fs));
    fs->f_type = 0x6969;
    return 0;
}
"""


class Places(unittest.TestCase):
    def setUp(self):
        self.box = harness.Sandbox("places")
        self.addCleanup(self.box.close)
        wheels = self.box.root / "wheels"
        wheels.mkdir()
        self.lock = self.box.root / "lock.txt"
        self.lock.write_text(harness.lock_text(
            harness.make_wheel(wheels, "thing", "1.0", {"thing.py": "v = 1\n"})))

    def works(self, env):
        """create, run and umount with these variables; the environment's path."""
        create = [harness.PROGRAM, "create", "one", "-p", harness.default_python(), "-r", self.lock]
        path = pathlib.Path(harness.one_line(harness.run(create, env=env, cwd=self.box.root).stdout))
        self.addCleanup(harness.run, [harness.PROGRAM, "umount", "--all"], env=env)
        out = harness.run([path / "bin" / "python", "-c", "import thing; print(thing.v)"]).stdout
        self.assertEqual(out, "1\n")
        return path

    def in_the_temporary_folder(self, env):
        for name in ("VENVFS_HOME", "VENVFS_HUB", "VENVFS_RUNTIME_DIR"):
            env.pop(name, None)
        path = self.works(env)
        private = self.box.temporary / f"venvfs-{os.getuid()}"
        self.assertEqual(path, private / ".venvfs" / "one")
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
        return private

    @unittest.skipIf(harness.fuse_problem(), harness.fuse_problem())
    def test_a_home_that_does_not_exist(self):
        # below a file, since pip makes a missing HOME for its cache
        self.in_the_temporary_folder({**self.box.env, "HOME": str(self.lock / "nowhere")})

    def test_somebody_elses_folder_in_its_place_is_not_used(self):
        env = {**self.box.env, "HOME": str(self.box.root / "nowhere")}
        for name in ("VENVFS_HOME", "VENVFS_HUB", "VENVFS_RUNTIME_DIR"):
            env.pop(name, None)
        planted = self.box.temporary / f"venvfs-{os.getuid()}"
        for make in (lambda: (planted.mkdir(), planted.chmod(0o777)),
                     lambda: planted.symlink_to(self.box.root)):
            make()
            done = harness.run([harness.PROGRAM, "list"], env=env, status=1)
            self.assertIn("not a private folder of this user", done.stderr)
            planted.unlink() if planted.is_symlink() else planted.rmdir()

    @unittest.skipIf(harness.fuse_problem(), harness.fuse_problem())
    def test_a_socket_path_longer_than_an_address_holds(self):
        deep = self.box.root / ("d" * 60) / ("e" * 60)
        self.works({**self.box.env, "VENVFS_RUNTIME_DIR": str(deep)})
        self.assertTrue((deep / "control").is_socket())

    def test_a_store_on_a_network_file_system_is_refused(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        source, library = self.box.root / "nfs.c", self.box.root / "nfs.so"
        source.write_text(ON_NFS)
        harness.run([compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, source])
        done = self.box.venvfs("create", "one", "-p", harness.default_python(), "-r", self.lock, status=1,
                               env={"LD_PRELOAD": str(library)})
        self.assertIn("network file system", done.stderr)
        self.assertIn("VENVFS_HOME", done.stderr)
        self.assertEqual(os.listdir(self.box.venvfs_home / "store"), [])

    def test_a_home_that_others_may_write_to_is_refused(self):
        self.box.venvfs("list")
        self.box.venvfs_home.chmod(0o777)
        self.assertIn("can be written by other users", self.box.venvfs("list", status=1).stderr)
        self.box.venvfs_home.chmod(0o700)


if __name__ == "__main__":
    harness.main(needs_fuse=False)
