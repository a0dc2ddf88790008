"""pylock.toml (PEP 751)."""

import os

from .common import LockError, canonicalize_name, package, shortened
from .toml import load
from .urls import archive_record, file_url, without_auth
from .wheels import choose, file_of


def read(answer, target, path, groups, extras):
    lock = load(answer, path)
    version = str(lock.get("lock-version", ""))
    if version.split(".")[0] != "1":
        raise LockError("invalid", "%s: lock-version %r is not known; this venvfs reads 1.x" % (path, version))
    if version != "1.0":
        answer.warnings.append("%s: lock-version %s is newer than 1.0; reading it as 1.0" % (path, version))
    target.check_python(lock.get("requires-python"), path)
    environments = lock.get("environments") or []
    if environments and not any(target.admits(m, path) for m in environments):
        raise LockError(
            "invalid",
            "%s is for other environments: none of its %d fits Python %s on %s (%s)"
            % (path, len(environments), target.python, target.markers.get("sys_platform", "?"), shortened(environments, 3)),
        )
    groups = chosen(groups, lock.get("dependency-groups"), lock.get("default-groups") or [], path, "group")
    extras = chosen(extras, lock.get("extras"), [], path, "extra")
    for i, table in enumerate(lock.get("packages") or []):
        if not isinstance(table, dict) or not isinstance(table.get("name"), str):
            raise LockError("invalid", "%s: packages[%d] has no name" % (path, i))
        name = canonicalize_name(table["name"])
        where = "%s: package %s" % (path, name)
        if not target.admits(table.get("marker"), where, extras, groups):
            continue
        target.check_python(table.get("requires-python"), where)
        if name in answer.packages:
            raise LockError("invalid", "%s: two versions fit this interpreter" % where)
        add(answer, target, path, where, name, table)


def chosen(asked, known, default, path, what):
    known = {canonicalize_name(k) for k in known or []}
    if asked is None:
        return default
    for one in asked:
        if canonicalize_name(one) not in known and one != "dev":
            raise LockError("invalid", "%s has no %s %r (it has: %s)" % (path, what, one, shortened(sorted(known)) or "none"))
    return asked


def hashes_of(table):
    hashes = table.get("hashes") or {}
    return ["%s:%s" % (a, str(hashes[a]).lower()) for a in ("sha256", "sha384", "sha512") if a in hashes]


def requested(table):
    """What `venvfs export` says of a package that is there only because another needs it."""
    tool = table.get("tool")
    own = tool.get("venvfs") if isinstance(tool, dict) else None
    return not isinstance(own, dict) or own.get("requested") is not False


def add(answer, target, path, where, name, table):
    base = os.path.dirname(path)
    sources = [k for k in ("vcs", "directory", "archive") if k in table]
    files = "wheels" in table or "sdist" in table
    if len(sources) + files != 1:
        raise LockError("invalid", "%s: it needs exactly one source" % where)
    record = package(table.get("version"), requested(table), where)
    if files:
        wheels = [file_of(w, where, hashes_of(w)) for w in table.get("wheels") or []]
        sdist = table.get("sdist")
        sdist = sdist and file_of(sdist, where, hashes_of(sdist))
        choose(answer, target, name, record["version"], wheels, sdist, record, where, base)
    elif sources[0] == "archive":
        archive(answer, target, base, where, name, table["archive"], record)
    elif sources[0] == "directory":
        folder = os.path.abspath(os.path.join(base, table["directory"].get("path", "")))
        if table["directory"].get("editable"):
            answer.editables.append({"name": name, "path": folder})
            return
        answer.volatile = True
        record["by_url"] = "%s @ %s" % (name, file_url(folder))
        record["direct_url"] = {"url": file_url(folder), "dir_info": {}}
    else:
        vcs(base, where, name, table["vcs"], record)
    answer.packages[name] = record


def archive(answer, target, base, where, name, table, record):
    one = file_of(table, where, hashes_of(table))
    wheel = one["filename"].endswith(".whl")
    choose(answer, target, name, record["version"], [one] if wheel else [], None if wheel else one, record, where, base)
    record["by_name"] = None
    record["direct_url"] = archive_record(one["url"], record["hashes"])
    if table.get("subdirectory"):
        record["direct_url"]["subdirectory"] = table["subdirectory"]
        record["by_url"] = record["by_url"].replace(one["url"], one["url"] + "#subdirectory=" + table["subdirectory"], 1)


def vcs(base, where, name, table, record):
    kind, commit = table.get("type"), table.get("commit-id")
    url = table.get("url") or (table.get("path") and file_url(os.path.abspath(os.path.join(base, table["path"]))))
    if not kind or not commit or not url:
        raise LockError("invalid", "%s: vcs needs type, commit-id and url" % where)
    subdirectory = table.get("subdirectory")
    record["by_url"] = "%s @ %s+%s@%s%s" % (name, kind, url, commit, "#subdirectory=" + subdirectory if subdirectory else "")
    info = {"vcs": kind, "commit_id": commit}
    if table.get("requested-revision"):
        info["requested_revision"] = table["requested-revision"]
    record["direct_url"] = {"url": without_auth(url), "vcs_info": info}
    if subdirectory:
        record["direct_url"]["subdirectory"] = subdirectory
