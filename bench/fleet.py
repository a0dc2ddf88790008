"""Many environments of many locks: minutes and gigabytes, so only when named."""
import json
import os
import shutil
import subprocess
import time

from harness import run, usage
from report import Size
from writes import pip_install


def measure_fleet(bench):
    """Two environments of each lock of the corpus, filled by pip alone, once they have settled by themselves."""
    locks = bench.locks()
    env = dict(bench.home("pip-fleet"), VENVFS_SETTLE="5")
    for lock in locks:
        for name in (lock, lock + "-too"):
            run([bench.o.venvfs, "create", name, "-p", bench.python], env=env)
            pip_install(bench, env, name, lock)
    until = time.monotonic() + 900
    while time.monotonic() < until and any(
            json.loads(run([bench.o.venvfs, "show", name, "--json"], env=env)[1])["unsettled"]
            for lock in locks for name in (lock, lock + "-too")):
        time.sleep(2)
    total = bench.written("pip-fleet")
    bench.row("fleet", "%d environments filled by pip" % (2 * len(locks)), Size(total), bar="1500 MB",
              ok=total <= 1.5e9)
    run([bench.o.venvfs, "umount", "--all"], env=env)


def measure_fleet_uv(bench):
    """Two environments of each lock of the chosen sets, made by venvfs and by uv, both with bytecode. What uv's
    environments share with its cache by hard links is counted, once; the rest of the cache is not."""
    locks = [lock for lock in bench.locks() if lock.split("-")[0] in bench.o.sets]
    what = "%d environments" % (2 * len(locks))
    env = bench.home("uv-fleet")
    for lock in locks:
        for name in (lock, lock + "-too"):
            bench.create(bench.offline(env, lock), name, bench.lock(lock))
            bench.plain(lock, "--compile-bytecode", where="fleet/" + name)
    theirs_bytes, theirs_inodes = (Size(count, unit) for count, unit in
                                   zip(usage(os.path.join(bench.work, "fleet")), ("B", "inodes")))
    shutil.rmtree(os.path.join(bench.work, "fleet"))
    bytes, inodes = bench.taken("uv-fleet")
    bench.compare("fleet-uv", what, Size(bytes), theirs_bytes, 0.19, title=what + " on disk, with bytecode")
    bench.compare("fleet-uv", what + ", inodes", Size(inodes, "inodes"), theirs_inodes, title=what + ", inodes")
    if subprocess.run([bench.o.venvfs, "store", "optimize", "--help"], env=env, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode == 0:
        run([bench.o.venvfs, "store", "optimize"], env=env)
        bench.compare("fleet-uv", what + ", optimized", Size(bench.written("uv-fleet")), theirs_bytes, 0.16,
                      title=what + " after venvfs store optimize")
    else:
        bench.left_out("fleet-uv", what + ", optimized", "this venvfs has no `store optimize`")
    run([bench.o.venvfs, "umount", "--all"], env=env)
