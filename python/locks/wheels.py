"""Choosing a file among those that a lock lists for one package version."""

import os

from .common import LockError, digest_of_file, hashes_text, mismatch
from .urls import basename_of_url, file_url


def choose(answer, target, name, version, wheels, sdist, record, where, base):
    """Fills the record from the best wheel for the target, else from the sdist. Each file is a dict
    of filename, url or path, and hashes; paths are relative to `base`."""
    best = None
    for wheel in wheels:
        wheel["filename"] = wheel["filename"] or basename_of_url(wheel["url"] or wheel["path"] or "")
        rank = target.wheel_rank(wheel["filename"])
        if rank is not None and (best is None or rank < best[0]):
            best = (rank, wheel)
    if best is None and sdist is None:
        target.refuse(where, "%s %s" % (name, version), [w["filename"] for w in wheels])
    chosen = best[1] if best else sdist
    record["hashes"] = chosen["hashes"]
    if not record["hashes"]:
        raise LockError("invalid", "%s: %s %s has no hash" % (where, name, version))
    if chosen["path"]:
        path = os.path.abspath(os.path.join(base, chosen["path"]))
        if not os.path.isfile(path):
            raise LockError("missing", "%s: %s: no such file" % (where, path))
        own = "sha256:" + digest_of_file(path)
        answer.inputs[path] = own[7:]
        if any(h.startswith("sha256:") for h in record["hashes"]) and own not in record["hashes"]:
            raise mismatch(where, path, record["hashes"], own)
        if best:
            record["path"] = path
            record["hashes"] = [own]
        chosen["url"] = file_url(path)
    if version is not None:
        record["by_name"] = "%s==%s%s" % (name, version, hashes_text(record["hashes"]))
    if chosen["url"]:
        record["by_url"] = "%s @ %s%s" % (name, chosen["url"], hashes_text(record["hashes"]))
    return chosen


def file_of(table, where, hashes):
    """A file's dict from a table of pylock.toml or uv.lock."""
    if not isinstance(table, dict):
        raise LockError("invalid", "%s: a file is not a table" % where)
    url, path = table.get("url"), table.get("path")
    filename = table.get("name") or table.get("filename") or basename_of_url(url or path or "")
    if "/" in filename or not filename:
        raise LockError("invalid", "%s: bad file name %r" % (where, filename))
    return {"url": url, "path": path, "filename": filename, "hashes": hashes}
