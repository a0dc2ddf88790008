"""Run by the interpreter that made them: reads pairs of pyc paths (a tab between, a line each) on
standard input and prints the pairs whose code differs in anything but the file name it carries."""
import marshal
import sys
import types


def shape(value):
    """A value that compares equal exactly when two constants are the same constant."""
    if isinstance(value, types.CodeType):
        return (value.co_name, value.co_code, value.co_names, value.co_varnames, value.co_freevars,
                value.co_cellvars, value.co_argcount, value.co_kwonlyargcount, value.co_flags,
                value.co_firstlineno, shape(value.co_consts))
    if isinstance(value, tuple):
        return ("tuple", tuple(map(shape, value)))
    if isinstance(value, frozenset):
        return ("frozenset", frozenset(map(shape, value)))
    # 1, 1.0 and True are equal, 0.0 and -0.0 too: their texts are not.
    return (type(value).__name__, repr(value))


def code(path):
    with open(path, "rb") as file:
        data = file.read()
    return data[:4], int.from_bytes(data[4:8], "little"), shape(marshal.loads(data[16:]))


for line in sys.stdin:
    ours, theirs = line.rstrip("\n").split("\t")
    if code(ours) != code(theirs):
        print(ours)
