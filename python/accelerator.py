# What _venvfs.pth runs at each start of CPython 3.8 to 3.13, so that a module imported from the mount
# costs no message to the daemon.
#
# importlib reads modules through _io.open_code(). Where no hook is set (PEP 578) that is
# open(path, "rb"), which asks of each file whether it is a terminal: an ioctl, and the kernel has no
# cache that would answer one for a FUSE file system. FileIO, which open() wraps, does not ask; bytes,
# errors and audit events are the same. So importlib is given a copy of _io in which open_code is FileIO.
# No function is replaced: get_data() is what it was to tracebacks, debuggers and subclasses.
#
# With a hook all stays as it is. Python does not tell of one; but without it open_code() calls what
# "open" is in _io, and a hook is asked first, for a name that no file can have. One that lets such a
# name through to _io.open, and gives its answer back as it is, is not noticed.
#
# Each start compiles this: it is short, and env/accelerator_pth.py leaves the comments out.
import sys, _io

external = sys.modules["_frozen_importlib_external"]
if external._io is _io:  # the first time
    open, name = _io.open, "venvfs asks whether open_code has a hook\0"
    try:
        _io.open = slice
        if _io.open_code(name) == slice(name, "rb"):
            external._io = type(_io)("_io")
            external._io.__dict__.update(_io.__dict__, open=open, open_code=_io.FileIO)
    except Exception:
        pass
    finally:
        _io.open = open
