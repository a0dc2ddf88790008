"""Copies of local folders, for pip to resolve and build in: backends write NAME.egg-info and build/
into the folder that they are given, and a project is not venvfs's to write to."""

import os
import shutil
import stat

from .common import LockError
from .urls import file_url

# What no build reads, and what may be large.
_LEFT_OUT = frozenset(
    "__pycache__ .venv .tox .nox .eggs node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis".split()
)
_REPOSITORIES = frozenset((".git", ".hg", ".svn"))  # asked for the version, never written to
_LARGE = 1 << 20  # files above are linked: no build rewrites those
_SIBLINGS = 1000


def stage(to, folders, lines):
    """Copies folders below `to`, and with lines writes a requirements file that names the copies."""
    folders = list(folders)
    for line in lines or []:
        if isinstance(line, dict) and line["folder"] not in folders:
            folders.append(line["folder"])
    copies = {}
    for folder in folders:
        copies[folder] = copy_of(folder, to)
    answer = {
        "folders": [{"path": f, "url": file_url(f), "copy": c, "copy_url": file_url(c)} for f, c in copies.items()]
    }
    if lines:
        answer["file"] = os.path.join(to, "requirements.txt")
        write(answer["file"], "".join(text_of(line, copies) + "\n" for line in lines))
    return answer


def write(path, text):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # may hold credentials
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def text_of(line, copies):
    if not isinstance(line, dict):
        return line
    copy = copies[line["folder"]]
    return line["before"] + (file_url(copy) if line["url"] else copy) + line["after"]


def copy_of(folder, to):
    """Keeps the folder's name. Links beside it lead to its siblings, so that "../README.md" is there."""
    number = 0
    while os.path.lexists(os.path.join(to, "src-%d" % number)):
        number += 1
    place = os.path.join(to, "src-%d" % number)
    name = os.path.basename(folder) or "root"
    try:
        os.mkdir(place, 0o700)
        link_siblings(os.path.dirname(folder), place, name)
        copy_folder(folder, os.path.join(place, name), folder)
    except OSError as error:
        raise LockError("copy", "copying %s to resolve it there: %s" % (folder, error.strerror or error))
    return os.path.join(place, name)


def link_siblings(parent, place, name):
    try:
        names = os.listdir(parent)
    except OSError:
        return
    if len(names) <= _SIBLINGS:
        for sibling in names:
            if sibling != name:
                os.symlink(os.path.join(parent, sibling), os.path.join(place, sibling))


def copy_folder(source, target, root):
    os.mkdir(target, 0o700)
    with os.scandir(source) as entries:
        for entry in entries:
            copy_entry(entry, os.path.join(target, entry.name), target, root)


def copy_entry(entry, target, folder, root):
    if entry.is_symlink():
        os.symlink(link_target(entry.path, root), target)
    elif entry.is_dir(follow_symlinks=False):
        if entry.name in _REPOSITORIES:
            os.symlink(entry.path, target)
        elif entry.name not in _LEFT_OUT and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
            copy_folder(entry.path, target, root)
    elif entry.is_file(follow_symlinks=False):
        facts = entry.stat(follow_symlinks=False)
        if facts.st_size > _LARGE:
            os.symlink(entry.path, target)
        else:
            shutil.copyfile(entry.path, target)
            os.chmod(target, stat.S_IMODE(facts.st_mode) | stat.S_IRUSR | stat.S_IWUSR)
            os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def link_target(path, root):
    """A link within the folder stays as it is; one that leads out of it becomes absolute."""
    target = os.readlink(path)
    full = os.path.normpath(os.path.join(os.path.dirname(path), target))
    inside = full == root or full.startswith(root.rstrip("/") + "/")
    return target if inside and not os.path.isabs(target) else full
