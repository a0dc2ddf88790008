"""Reads locks and requirement files for venvfs.

Usage: python -I -S lock.py TOOLS PIP_WHEEL    (a request as JSON on standard input)

Runs on the newest Python found. What it needs of packaging and tomli it takes from the pip that
Python bundles, unpacked once below TOOLS, so it writes no parser for PEP 508, PEP 440 or TOML.
A script is compiled at every start, so this file is short and the rest are modules. They are copied
below TOOLS, because their bytecode cannot be kept where they are installed.
"""

import os
import sys
from zlib import crc32


def modules(tools):
    """The folder that holds a copy of this version of "locks"."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "locks")
    names = sorted(n for n in os.listdir(source) if n.endswith(".py"))
    facts = "".join("%s %d %d\n" % (n, s.st_size, s.st_mtime_ns) for n, s in ((n, os.stat(os.path.join(source, n))) for n in names))
    folder = os.path.join(tools, "locks-%08x" % crc32((source + facts).encode("utf-8", "surrogateescape")))
    if not os.path.isdir(folder):
        import shutil
        import tempfile

        os.makedirs(tools, mode=0o700, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".locks-", dir=tools)
        os.mkdir(os.path.join(temporary, "locks"))
        for name in names:
            shutil.copyfile(os.path.join(source, name), os.path.join(temporary, "locks", name))
        try:
            os.rename(temporary, folder)
        except OSError:  # another process was faster
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def main():
    tools, wheel = sys.argv[1:3]
    sys.path.insert(0, modules(tools))
    from locks import vendor

    sys.path.insert(1, vendor.unpacked(tools, wheel))
    from locks import main as program

    return program.run(tools)


if __name__ == "__main__":
    sys.exit(main())
