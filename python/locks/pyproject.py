"""pyproject.toml of a project without a lock: what it asks for, to be resolved by pip."""

import os

from .common import Answer, LockError, Target, Unfit, canonicalize_name, shortened
from .toml import load


def read(answer, target, path, groups, extras, reader):
    """reader: a requirements.Reader; the texts also go to answer.words, since pip reads no such file."""
    document = load(answer, path)
    project = table_of(document, "project", path)
    target.check_python(project.get("requires-python"), path)
    dynamic = set(project.get("dynamic") or []) if project else {"dependencies", "optional-dependencies"}
    texts = strings_of(project.get("dependencies") or [], "project.dependencies", path)
    built = [] if "optional-dependencies" in dynamic else None
    if built is None:
        texts += of_extras(project, extras or [], path)
    else:
        built = list(extras or [])
    if "dependencies" in dynamic or built:  # only a build of the project knows them
        folder = os.path.dirname(path)
        reader.editable(folder + ("[%s]" % ",".join(built) if built else ""), path, False)
    texts += of_groups(document, groups, path)
    for text in texts:
        reader.requirement(text, [], path)
    answer.words += texts


def unfit(path, python):
    """The project's requires-python if this version does not satisfy it, else None."""
    specifier = table_of(load(Answer(), path), "project", path).get("requires-python")
    try:
        Target({"python_full_version": python}, []).check_python(specifier, path)
    except Unfit:
        return specifier
    return None


def table_of(document, name, path):
    table = document.get(name) or {}
    if not isinstance(table, dict):
        raise LockError("invalid", "%s: %s is no table" % (path, name))
    return table


def strings_of(value, name, path):
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise LockError("invalid", "%s: %s is no list of strings" % (path, name))
    return list(value)


def unknown(path, kind, name, known):
    has = shortened(sorted(known)) or "none"
    return LockError("invalid", "%s has no %s %r (it has: %s)" % (path, kind, name, has))


def of_extras(project, extras, path):
    known = {canonicalize_name(name): value for name, value in table_of(project, "optional-dependencies", path).items()}
    texts = []
    for extra in map(canonicalize_name, extras):
        if extra not in known:
            raise unknown(path, "extra", extra, known)
        texts += strings_of(known[extra], "project.optional-dependencies.%s" % extra, path)
    return texts


def of_groups(document, groups, path):
    """PEP 735. Without a choice the group dev, or what [tool.uv] default-groups says."""
    known = {canonicalize_name(name): value for name, value in table_of(document, "dependency-groups", path).items()}
    if groups is None:
        groups = table_of(table_of(document, "tool", path), "uv", path).get("default-groups", ["dev"])
        groups = sorted(known) if groups == "all" else [g for g in groups if canonicalize_name(g) in known]
    texts, seen, queue = [], set(), [canonicalize_name(g) for g in groups]
    while queue:
        group = queue.pop(0)
        if group in seen:
            continue
        seen.add(group)
        if group not in known:
            raise unknown(path, "group", group, known)
        if not isinstance(known[group], list):
            raise LockError("invalid", "%s: group %s is no list" % (path, group))
        for item in known[group]:
            if isinstance(item, dict) and isinstance(item.get("include-group"), str):
                queue.append(canonicalize_name(item["include-group"]))
            else:
                texts += strings_of([item], "group %s" % group, path)
    return texts
