"""What an editable install has put into a private environment, as text for a manifest, and the
traces that the build left in the project."""

import base64
import hashlib
import os
import re
import shutil

from .common import LockError
from .urls import file_url

_LARGEST = 1 << 20
_DEPTH = 3
_UNLOOKED = frozenset(("node_modules", "__pycache__"))


def begin(project):
    """Before the build: what to ask pip for, and which traces are there already."""
    return {"url": file_url(project), "traces": traces(project)}


def traces(project):
    """NAME.egg-info up to some folders deep, and build/, as setuptools leaves them."""
    found, queue = [], [(project, 0)]
    while queue:
        folder, depth = queue.pop()
        try:
            entries = [e for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for entry in entries:
            if entry.name.endswith(".egg-info") or (depth == 0 and entry.name == "build"):
                found.append(entry.path)
            elif depth < _DEPTH and entry.name[0] != "." and entry.name not in _UNLOOKED:
                if not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    queue.append((entry.path, depth + 1))
    return sorted(found)


def end(project, before, environment, python_dir):
    """After the build: the files, or with environment None (it failed) nothing but tidying up.
    Traces that an installed file names are part of the install."""
    document = collect(environment, python_dir) if environment else {"files": []}
    for trace in set(traces(project)).difference(before):
        if not any(trace in file["text"] for file in document["files"]):
            shutil.rmtree(trace, ignore_errors=True)
    return document


def collect(environment, python_dir):
    site = "lib/%s/site-packages/" % python_dir
    files, left_out = {}, []
    for path in walk(environment):
        if path.startswith(site) or (path.startswith("bin/") and path.count("/") == 1):
            files[path] = read(environment, path)
        elif path != "pyvenv.cfg":
            left_out.append(path)
    infos = sorted({p.split("/")[3] for p in files if re.match(r"lib/[^/]+/site-packages/[^/]+\.dist-info/METADATA\Z", p)})
    if len(infos) != 1:
        raise LockError("build", "pip left %d dist-info folders instead of one" % len(infos))
    scripts(environment, files)
    files[site + infos[0] + "/INSTALLER"] = "venvfs\n"
    files[site + infos[0] + "/RECORD"] = record(files, site, infos[0])
    metadata = files[site + infos[0] + "/METADATA"]
    name, version = (re.search(r"^%s:\s*(\S+)" % key, metadata, re.M | re.I) for key in ("Name", "Version"))
    if not name or not version:
        raise LockError("build", "its METADATA names no name and version")
    return {
        "name": name.group(1),
        "version": version.group(1),
        "files": [{"path": p, "text": files[p], "mode": 0o755 if p.startswith("bin/") else 0o644} for p in sorted(files)],
        "left_out": sorted(left_out),
    }


def walk(environment):
    for folder, folders, names in os.walk(environment):
        folders[:] = [f for f in folders if f != "__pycache__" and not os.path.islink(os.path.join(folder, f))]
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                yield os.path.relpath(path, environment)


def read(environment, path):
    full = os.path.join(environment, path)
    try:
        if os.path.getsize(full) > _LARGEST:
            raise ValueError
        with open(full, "rb") as file:
            text = file.read().decode("utf-8")
        if "\0" in text:
            raise ValueError
    except ValueError:  # also a UnicodeDecodeError
        raise LockError("build", "it puts %s into the environment, which is no small text file" % path)
    return text


def scripts(environment, files):
    """As in a wheel, the first line stands for the interpreter to be; a long path has a form of three
    lines (distlib)."""
    python = re.escape(os.path.join(environment, "bin", "python"))
    first = re.compile(r"#!(%s[\w.]*\n|/bin/sh\n'''exec' [^\n]*%s[^\n]*\n' '''\n)" % (python, python))
    for path in files:
        if path.startswith("bin/"):
            files[path] = first.sub("#!python\n", files[path], count=1)


def record(files, site, info):
    """Scripts are made for an address, so their rows have no hash, as for all packages here."""
    rows = []
    for path in sorted(files):
        if path == site + info + "/RECORD":
            continue
        if path.startswith("bin/"):
            rows.append([("../" * 3) + path, "", ""])
        else:
            data = files[path].encode("utf-8")
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append([path[len(site) :], "sha256=" + digest, str(len(data))])
    rows.append([info + "/RECORD", "", ""])
    return "".join(",".join(quoted(cell) for cell in row) + "\n" for row in rows)


def quoted(cell):
    return '"%s"' % cell.replace('"', '""') if re.search(r'[,"\r\n]', cell) else cell
