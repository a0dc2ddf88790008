"""pip, unpacked once from the wheel that ensurepip bundles."""

import os
import re


def version_of(wheel):
    match = re.match(r"pip-([^-]+)-", os.path.basename(wheel))
    return match.group(1) if match else None


def unpacked(tools, wheel):
    """The folder that holds pip's package. A wheel holds no bytecode, so running pip from the wheel
    itself would compile it at every start, which takes seconds."""
    folder = os.path.join(tools, "pip-%s" % version_of(wheel))
    if os.path.isdir(folder):
        return folder
    import shutil
    import tempfile
    import zipfile

    os.makedirs(tools, mode=0o700, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".pip-", dir=tools)
    try:
        with zipfile.ZipFile(wheel) as archive:
            # The launchers for Windows are a quarter of the wheel.
            names = [n for n in archive.namelist() if n.startswith("pip/") and not n.endswith(".exe")]
            archive.extractall(temporary, names)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not os.path.isdir(folder):  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def choose(wheels, python):
    """The newest of several pip wheels that runs on a Python of this version, or None."""
    import zipfile

    from pip._vendor.packaging.specifiers import SpecifierSet
    from pip._vendor.packaging.version import InvalidVersion, Version

    best = None
    for wheel in wheels:
        try:
            version = Version(version_of(wheel) or "")
            with zipfile.ZipFile(wheel) as archive:
                text = archive.read("pip-%s.dist-info/METADATA" % version_of(wheel)).decode()
        except (InvalidVersion, OSError, KeyError, zipfile.BadZipFile):
            continue
        match = re.search(r"^Requires-Python:\s*(.+)$", text, re.M)
        if match and not SpecifierSet(match.group(1).strip()).contains(python, prereleases=True):
            continue
        if best is None or version > best[0]:
            best = (version, wheel)
    return best and best[1]
