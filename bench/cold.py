"""Imports with nothing in memory: after a restart of the daemon and with all caches dropped, beside plain files
on the same disk and the same tree in a squashfs, by FUSE and by the kernel."""
import os
import shutil

from harness import Failed, interleaved, run
from imports import importing

MOST_ROUNDS = 5
DROP = "/proc/sys/vm/drop_caches"
HOW = "bench/run --install installs it (apt-get install squashfs-tools squashfuse)"


def drop_caches():
    os.sync()
    with open(DROP, "w") as file:
        file.write("3\n")


def why_not_cold():
    """Why this process cannot drop the caches, or None."""
    if os.getuid() != 0:
        return "only root can drop the caches; run it as root"
    try:
        drop_caches()
    except OSError as error:
        return "%s: %s; a machine or virtual machine of its own can" % (DROP, error.strerror)
    return None


class Plain:
    """Plain files: nothing is to be prepared. A side is entered before its caches are dropped and left behind
    the clock, so that no other side's daemon works meanwhile."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        return self.folder

    def __exit__(self, *_):
        pass


class Restarted(Plain):
    """An environment of a daemon that has just begun."""

    def __init__(self, bench, name):
        super().__init__(bench.hub(name))
        self.bench, self.name = bench, name

    def __enter__(self):
        run([self.bench.o.venvfs, "mount", "-n", self.name], env=self.bench.env)
        return self.folder

    def __exit__(self, *_):
        run([self.bench.o.venvfs, "umount", "--all"], env=self.bench.env)


class Mounted(Plain):
    """A squashfs mounted by `mount`, taken away by `umount`; both get the folder as their last word."""

    def __init__(self, folder, mount, umount):
        super().__init__(folder)
        self.mount, self.umount = mount, umount

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        run([*self.mount, self.folder])
        return self.folder

    def __exit__(self, *_):
        run([*self.umount, self.folder])


def squashfs(bench, name, plain):
    """({kind: side}, {kind: why it is left out}) of the squashfs of a plain environment."""
    kinds = ("squashfuse_ll", "kernel squashfs")
    if not shutil.which("mksquashfs"):
        return {}, dict.fromkeys(kinds, "mksquashfs is not here; " + HOW)
    image = os.path.join(bench.work, name + ".squashfs")
    run(["mksquashfs", plain, image, "-comp", "zstd", "-noappend", "-quiet", "-no-progress"])
    folder = os.path.join(bench.work, "squashfs-" + name)
    sides = {"squashfuse_ll": Mounted(folder, ["squashfuse_ll", image], ["umount"]),
             "kernel squashfs": Mounted(folder, ["mount", "-t", "squashfs", "-o", "loop,ro", image], ["umount"])}
    missing = {}
    if not shutil.which("squashfuse_ll"):
        missing["squashfuse_ll"] = "squashfuse_ll is not here; " + HOW
    for kind in kinds:
        if kind not in missing:
            try:
                with sides[kind]:
                    pass
            except Failed as error:
                missing[kind] = "does not mount here: " + " ".join(str(error).splitlines()[1:2])
    return {kind: side for kind, side in sides.items() if kind not in missing}, missing


def measure_cold(bench):
    why = why_not_cold()
    if why:
        for name in bench.o.sets:
            bench.left_out("cold", name + ", caches dropped", why)
        return
    for name in bench.o.sets:
        plain = bench.ready(name)[0]
        run([bench.o.venvfs, "umount", "--all"], env=bench.env)
        others, missing = squashfs(bench, name, plain)
        sides = {"venvfs": Restarted(bench, name), "plain": Plain(plain), **others}

        def cold(side):
            with side as folder:
                drop_caches()
                return importing(folder, bench.script(name))()

        with sides["venvfs"] as folder:
            drop_caches()
            with bench.counting() as sent:
                importing(folder, bench.script(name))()
        times = interleaved(min(bench.o.rounds, MOST_ROUNDS),
                            {kind: lambda side=side: cold(side) for kind, side in sides.items()})
        bench.compare("cold", name + ", caches dropped", times["venvfs"], times["plain"], 1.0, messages=sent,
                      title="import with all caches dropped", label=name)
        for kind in others:
            bench.compare("cold", "%s, beside %s" % (name, kind), times["venvfs"], times[kind], against=kind,
                          title="import with all caches dropped", label="%s, %s" % (name, kind))
        for kind, said in missing.items():
            bench.left_out("cold", "%s, beside %s" % (name, kind), said)
        run([bench.o.venvfs, "mount", "-n", name], env=bench.env)
