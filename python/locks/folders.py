"""Folders that a requirements file names: what they are called and which files say what they need."""

import os
import re

from .common import canonicalize_name

_SETTINGS = ("pyproject.toml", "setup.py", "setup.cfg")


def project_name(folder):
    """As far as it can be known without a build; normalised, or None."""
    table = settings_of(folder)
    poetry = (table.get("tool") or {}).get("poetry") or {}
    for name in ((table.get("project") or {}).get("name"), poetry.get("name")):
        if isinstance(name, str):
            return canonicalize_name(name)
    found = re.search(r"^\[metadata\][^\[]*^name\s*=\s*(\S+)", text_of(folder, "setup.cfg"), re.M)
    return canonicalize_name(found.group(1)) if found else None


def watch(answer, folder):
    """The answer holds while these stay: settings, and the files that settings name as requirements.
    What a setup.py reads by code of its own cannot be known."""
    names = set(_SETTINGS)
    names.update(n for n in strings_of(settings_of(folder)) if re.search(r"\.(txt|in)\Z", n))
    for found in re.finditer(r"\bfile:\s*([^\n]+)", text_of(folder, "setup.cfg")):
        names.update(n.strip() for n in found.group(1).split(","))
    if os.path.isfile(os.path.join(folder, "setup.py")):
        names.update(n for n in os.listdir(folder) if re.match(r"requirements.*\.(txt|in)\Z", n))
    for name in sorted(names):
        answer.watch(os.path.normpath(os.path.join(folder, name)))


def text_of(folder, name):
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def settings_of(folder):
    """pyproject.toml; what is wrong with it is for pip to say."""
    from .toml import tomllib

    try:
        return tomllib.loads(text_of(folder, "pyproject.toml"))
    except tomllib.TOMLDecodeError:
        return {}


def strings_of(value):
    queue = [value]
    while queue:
        one = queue.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, (dict, list)):
            queue += one.values() if isinstance(one, dict) else one
