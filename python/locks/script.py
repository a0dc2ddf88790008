"""Inline metadata of a script (PEP 723): what its block asks for."""

from .common import LockError, first_line
from .pyproject import strings_of, table_of
from .toml import tomllib

# Keys of [tool.uv] that pip's options can say. What else stands there is named to the user.
_ONE = {"index-url": "--index-url"}
_EACH = {"extra-index-url": "--extra-index-url", "find-links": "--find-links"}


def read(request):
    """request: text (the block without its comment signs), where (the script), pythons (versions)."""
    where = request["where"]
    try:
        document = tomllib.loads(request["text"])
    except tomllib.TOMLDecodeError as error:
        raise LockError("invalid", "%s: its inline metadata is not valid TOML: %s" % (where, first_line(error)))
    requires = document.get("requires-python")
    if requires is not None and not isinstance(requires, str):
        raise LockError("invalid", "%s: requires-python is no string" % where)
    requirements = strings_of(document.get("dependencies") or [], "dependencies", where)
    for text in requirements:
        check(text, where)
    options, constraints, ignored = of_uv(document, where)
    ignored += sorted(set(document) - {"dependencies", "requires-python", "tool"})
    return {
        "requirements": requirements,
        "requires_python": requires,
        "fits": [fits(requires, python, where) for python in request["pythons"]],
        "options": options,
        "constraints": constraints,
        "ignored": ignored,
    }


def check(text, where):
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise LockError("invalid", "%s: %r is no requirement: %s" % (where, text, first_line(error)))


def fits(requires, python, where):
    if not requires:
        return True
    from pip._vendor.packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(requires).contains(python, prereleases=True)
    except InvalidSpecifier:
        raise LockError("invalid", "%s: bad requires-python %r" % (where, requires))


def of_uv(document, where):
    """(lines of pip's options, constraints, keys that nobody honours) of [tool.uv]."""
    uv = table_of(table_of(document, "tool", where), "uv", where)
    options, constraints, ignored = [], [], []
    for key, value in uv.items():
        if key in _ONE:
            options.append("%s %s" % (_ONE[key], word(value, key, where)))
        elif key in _EACH:
            options += ["%s %s" % (_EACH[key], word(one, key, where)) for one in strings_of(value, key, where)]
        elif key == "no-index":
            options += ["--no-index"] if value is True else []
        elif key == "constraint-dependencies":
            constraints = strings_of(value, key, where)
        else:
            ignored.append("tool.uv." + key)
    for text in constraints:
        check(text, where)
    return options, constraints, sorted(ignored)


def word(value, key, where):
    """One that cannot become an option of its own, nor hang on the folder that a command is called in."""
    if not isinstance(value, str) or not value or any(c.isspace() or c in "'\"\\#" for c in value):
        raise LockError("invalid", "%s: tool.uv.%s: %r is no URL or path" % (where, key, value))
    if "://" not in value and not value.startswith("/"):
        raise LockError("invalid", "%s: tool.uv.%s: %r is relative; write a URL or an absolute path" % (where, key, value))
    return value
