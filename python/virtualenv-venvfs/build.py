"""The build backend (PEP 517) of this package: writes its wheel with the standard library alone.

It may run on a Python that has no tomllib, so the few lines that METADATA and entry_points.txt need are
taken from pyproject.toml by their form, and a form it does not know is an error."""
import base64
import hashlib
import pathlib
import re
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = (HERE / "pyproject.toml").read_text(encoding="utf-8")


def value(key):
    found = re.search(rf'(?m)^{re.escape(key)} = "([^"]*)"$', PROJECT)
    if not found:
        raise ValueError(f"pyproject.toml has no line: {key} = \"...\"")
    return found.group(1)


def dependencies():
    found = re.search(r"(?m)^dependencies = \[(.*)\]$", PROJECT)
    if not found:
        raise ValueError("pyproject.toml has no line: dependencies = [...]")
    return re.findall(r'"([^"]*)"', found.group(1))


def entry_points():
    groups = re.findall(r'(?m)^\[project\.entry-points\."([^"]*)"\]\n((?:[\w-]+ = "[^"]*"\n)+)', PROJECT)
    return "\n".join(f"[{name}]\n" + lines.replace('"', "") for name, lines in groups)


def metadata():
    lines = ["Metadata-Version: 2.1", f"Name: {value('name')}", f"Version: {value('version')}",
             f"Summary: {value('description')}", f"License: {value('license')}",
             f"Requires-Python: {value('requires-python')}"]
    return "\n".join([*lines, *(f"Requires-Dist: {text}" for text in dependencies()), ""])


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    stem = f"{value('name').replace('-', '_')}-{value('version')}"
    info = f"{stem}.dist-info"
    package = value("name").replace("-", "_")
    files = {f"{package}/{path.name}": path.read_bytes() for path in sorted((HERE / package).glob("*.py"))}
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/entry_points.txt"] = entry_points().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: venvfs\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}\n")
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    name = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            wheel.writestr(zipfile.ZipInfo(path), data)
    return name
