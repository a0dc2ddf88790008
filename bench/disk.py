"""What lies on the disk and in memory."""
import json

from harness import du, run
from report import Size, Spread


def measure_disk(bench):
    name = bench.one_set("data")
    env = bench.home("disk-home")
    plain = bench.ready(name)[0]
    bench.create(bench.offline(env, name), "one", bench.lock(name))
    first = bench.written("disk-home")
    bench.create(bench.offline(env, name), "two", bench.lock(name))
    second = bench.written("disk-home") - first
    other = Size(du(plain))
    bench.compare("disk", name, Size(first), other, 0.34, title="on disk, with bytecode", label=name)
    bench.row("disk", name + ", a second one", Size(second), bar="64 KiB", ok=second < 65536,
              title="a second environment of the same lock", label=name)
    run([bench.o.venvfs, "umount", "--all"], env=env)
    if bench.o.fleet:
        all_locks(bench)


def all_locks(bench):
    locks = bench.locks()
    env = bench.home("fleet-home")
    for name in locks:
        bench.create(bench.offline(env, name), name, bench.lock(name))
    total = bench.written("fleet-home")
    bench.row("disk", "%d locks in one store" % len(locks), Size(total), bar="1500 MB", ok=total <= 1.5e9,
              title="%d locks in one store" % len(locks))
    run([bench.o.venvfs, "umount", "--all"], env=env)


def measure_memory(bench):
    for name in bench.o.sets:
        run([bench.ready(name)[1] + "/bin/python", bench.script(name)])
    status = json.loads(run([bench.o.venvfs, "status", "--json"], env=bench.env)[1])
    used = Spread([(status["memory"]["rss_anon"] + status["memory"]["rss_shmem"]) / (1 << 20)], "MiB")
    bench.row("memory", "+".join(bench.o.sets), used, bar="30 MiB", ok=used.median < 30)
