"""Requests and answers."""

import json
import os
import re
import sys

from . import vendor
from .common import Answer, LockError, Target
from .requirements import Reader


def kind_of(path):
    name = os.path.basename(path)
    if re.match(r"pylock(\.[^.]+)?\.toml\Z", name):
        return "pylock"
    if name == "uv.lock":
        return "uv"
    if name == "pyproject.toml":
        return "pyproject"
    return "requirements"


def read_locks(request):
    answer = Answer()
    target = Target(request["markers"], request["tags"])
    reader = Reader(answer, target, request["no_deps"], request["cwd"])
    groups, extras = request.get("groups"), request.get("extras")
    for path in request["files"]:
        kind = kind_of(path)
        if kind == "pylock":
            from . import pylock

            pylock.read(answer, target, path, groups, extras)
        elif kind == "uv":
            from . import uvlock

            uvlock.read(answer, target, path, groups, extras, lambda text, path=path: reader.text(text, path, False))
        elif kind == "pyproject":
            from . import pyproject

            pyproject.read(answer, target, path, groups, extras, reader)
        else:
            reader.file(path)
    for text in request["requirements"]:
        reader.requirement(reader.expand(text), [], "requirement %r" % text)
    reader.finish(request["constraints"])
    for path in (os.environ.get("PIP_CONSTRAINT") or "").split():
        if os.path.isfile(path):
            answer.read(os.path.abspath(path))
            answer.incomplete += ["PIP_CONSTRAINT"] if not answer.packages else []
    document = answer.document()
    # A pylock.toml or uv.lock is one whole; pip can resolve only what requirement files say.
    document["mixed"] = bool(answer.incomplete) and any(kind_of(f) in ("pylock", "uv") for f in request["files"])
    return document


def choose_pip(request, tools):
    wheel = vendor.choose(request["wheels"], request["python"])
    if not wheel:
        raise LockError("missing", "no pip that runs on Python %s was found" % request["python"])
    return {"pip": os.path.join(vendor.unpacked(tools, wheel), "pip"), "version": vendor.version_of(wheel)}


def stage_folders(request):
    from .stage import stage

    return stage(request["to"], request["folders"], request["lines"])


def requires_python(request):
    from .pyproject import unfit

    return {"unfit": unfit(request["file"], request["python"])}


def read_script(request):
    from .script import read

    return read(request)


def begin_editable(request):
    from .editable import begin

    return begin(request["project"])


def end_editable(request):
    from .editable import end

    return end(request["project"], request["traces"], request["environment"], request["python_dir"])


def run(tools):
    request = json.load(sys.stdin)
    commands = {
        "read": read_locks,
        "pip": lambda r: choose_pip(r, tools),
        "requires-python": requires_python,
        "script": read_script,
        "stage": stage_folders,
        "begin-editable": begin_editable,
        "end-editable": end_editable,
    }
    try:
        document = commands[request["command"]](request)
    except LockError as error:
        document = {"error": {"kind": error.kind, "message": error.message, "hint": error.hint}}
    json.dump(document, sys.stdout)
    return 0
