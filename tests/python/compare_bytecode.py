"""Run by the interpreter that made them: reads pairs of pyc paths (a tab between, a line each) on
standard input and prints the pairs whose code differs in anything but the file name it carries."""
import marshal
import sys
import types


# All of a code object but co_filename and co_consts, as far as this version has it. Positions of
# instructions are in co_linetable, before 3.10 in co_lnotab.
FIELDS = ("co_name", "co_qualname", "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars",
          "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_stacksize",
          "co_flags", "co_firstlineno", "co_exceptiontable",
          "co_linetable" if hasattr(types.CodeType, "co_linetable") else "co_lnotab")


def shape(value):
    """A value that compares equal exactly when two constants are the same constant."""
    if isinstance(value, types.CodeType):
        return tuple(getattr(value, field, None) for field in FIELDS) + (shape(value.co_consts),)
    if isinstance(value, tuple):
        return ("tuple", tuple(map(shape, value)))
    if isinstance(value, frozenset):
        return ("frozenset", frozenset(map(shape, value)))
    # 1, 1.0 and True are equal, 0.0 and -0.0 too: their texts are not.
    return (type(value).__name__, repr(value))


def code(path):
    with open(path, "rb") as file:
        data = file.read()
    # Magic number; since 3.7 (PEP 552) what kind of pyc; time and size; the code.
    kind, start = (data[4:8], 16) if sys.version_info >= (3, 7) else (b"", 12)
    return data[:4], kind, shape(marshal.loads(data[start:]))


for line in sys.stdin:
    ours, theirs = line.rstrip("\n").split("\t")
    if code(ours) != code(theirs):
        print(ours)
