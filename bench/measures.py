"""The measures, each registered here and nowhere else. NAME is run by the function measure_NAME (a dash is an
underscore) of its module, which takes a Bench."""
import collections
import contextlib
import importlib
import os

# by_default: without --only; the others take very long.
Measure = collections.namedtuple("Measure", "name module by_default line")

REGISTERED = (
    Measure("create", "create", True, "a new environment of stored packages beside uv's; growth with files"),
    Measure("unseen", "create", True, "a lock never seen whose packages are stored; one pin changed"),
    Measure("import", "imports", True, "warm import of everything in a set, and its messages"),
    Measure("fresh", "imports", True, "first import of a new environment, at once and 2 s after create"),
    Measure("cold", "cold", True, "import with all caches dropped, beside the disk and squashfs (root)"),
    Measure("parallel", "parallel", True, "1 to 16 processes importing at once, warm and in a new environment"),
    Measure("edited", "imports", True, "warm import with 1,000 files written into site-packages"),
    Measure("ingest", "ingest", True, "downloaded wheels into the store: time, MB/s, share of the compilers"),
    Measure("disk", "disk", True, "bytes of one environment, of a second one, of all locks in one store"),
    Measure("memory", "disk", True, "the daemon's memory with all sets in use"),
    Measure("write", "writes", True, "pip install inside and rm -rf, beside a plain venv; messages"),
    Measure("commit", "writes", True, "venvfs commit behind pip install, and a clone of it"),
    Measure("changes", "changes", True, "clone, switch to another lock, rollback, remove, beside the same with uv"),
    Measure("life", "life", True, "what changes of an environment take, and how often they wait for the disk"),
    Measure("scale", "life", True, "more than a thousand environments in one hub"),
    Measure("message", "life", True, "the daemon's CPU time for a message of each kind"),
    Measure("shell", "shells", True, "mkvirtualenv, workon beside virtualenvwrapper's; the hook of a prompt"),
    Measure("fleet", "fleet", False, "two environments of each lock filled by pip alone, settled (half an hour)"),
    Measure("fleet-uv", "fleet", False, "two environments of each lock: bytes and inodes beside uv's (gigabytes)"),
)


def function_name(name):
    return "measure_" + name.replace("-", "_")


def here():
    """The measures whose function is in this checkout."""
    folder, found = os.path.dirname(os.path.abspath(__file__)), []
    for measure in REGISTERED:
        with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, measure.module + ".py")) as source:
            if "def %s(" % function_name(measure.name) in source.read():
                found.append(measure)
    return found


def listed():
    """The text of --list."""
    return "\n".join("%-10s %s%s" % (m.name, m.line, "" if m.by_default else "; only when named") for m in here())


def function(name):
    """What runs a measure."""
    module = next(m.module for m in here() if m.name == name)
    return getattr(importlib.import_module(module), function_name(name))
