"""TOML, by the standard library where it has it, else by pip's tomli."""

try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib

from .common import LockError, first_line


def load(answer, path):
    data = answer.read(path)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LockError("invalid", "%s: not valid TOML: %s" % (path, first_line(error)))
