"""Compile Python sources to bytecode for venvfs, one after another, as asked through a pipe.

Runs on the interpreter whose bytecode is wanted (CPython 3.6 to 3.14), started by wheel/bytecode.c,
which sends this text first. Nothing of a package is executed here: sources are only compiled.

Hello, sent once:  4 bytes  the interpreter's magic number
Request:           u32 optimisation level, u32 mtime of the source, u32 length of the path,
                   u32 length of the source (little-endian), path, source
Answer:            u32 status (0: a pyc follows, 1: a message), u32 length, bytes
"""

import sys

# The folder that `python -c` puts first would let a stray struct.py shadow the library's.
sys.path[:] = [entry for entry in sys.path if entry]

import gc
import marshal
import os

try:
    from _frozen_importlib_external import MAGIC_NUMBER
except ImportError:
    from importlib.util import MAGIC_NUMBER


def u32(value):
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def header(mtime, size):
    """A pyc's header in its timestamp form (PEP 552; before 3.7 it had no flags)."""
    flags = u32(0) if sys.version_info >= (3, 7) else b""
    return MAGIC_NUMBER + flags + u32(mtime) + u32(size)


def answer(level, mtime, path, source):
    # SOURCE_DATE_EPOCH would make py_compile choose another form, so the pyc is put together here.
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=level)
        return 0, header(mtime, len(source)) + marshal.dumps(code)
    except Exception as error:
        text = "%s: %s" % (type(error).__name__, error)
        return 1, text.encode("utf-8", "backslashreplace")


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def main():
    requests = sys.stdin.buffer
    answers = os.dup(1)
    # What an interpreter says while it compiles, or while it dies, is nobody's output.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    # Compiling makes no cycles; looking for them takes a tenth of the time.
    gc.disable()
    write_all(answers, MAGIC_NUMBER)
    while True:
        head = requests.read(16)
        if len(head) < 16:
            return
        level, mtime, path_size, source_size = (
            int.from_bytes(head[i : i + 4], "little") for i in (0, 4, 8, 12)
        )
        path = os.fsdecode(requests.read(path_size))
        status, data = answer(level, mtime, path, requests.read(source_size))
        write_all(answers, u32(status) + u32(len(data)) + data)


main()
