"""Prints what venvfs needs to know about the interpreter that runs this, as one line of JSON.

Run with -I on CPython 3.6 and newer; its syntax is that of every Python, so that older ones and
other implementations get as far as the refusal. The answer is cached by env/interp.c: raise FACTS
(and INTERP_FACTS there) whenever it changes.
"""

import json
import os
import platform
import re
import sys
import sysconfig

FACTS = 1

# Debian and its derivatives keep the wheels of ensurepip here, also without python3-venv.
SYSTEM_WHEELS = "/usr/share/python-wheels"


def refusal():
    if platform.python_implementation() != "CPython":
        return "is %s; venvfs supports CPython" % platform.python_implementation()
    if sys.version_info < (3, 6):
        return "is %s; CPython 3.6 or newer is needed" % platform.python_version()
    if os.name != "posix" or not sys.platform.startswith("linux"):
        return "runs on %s; venvfs supports Linux" % sys.platform
    return None


def full_version(info):
    """A version as PEP 508 wants it: 3.14.0rc1."""
    version = "%d.%d.%d" % (info.major, info.minor, info.micro)
    if info.releaselevel != "final":
        version += {"alpha": "a", "beta": "b", "candidate": "rc"}[info.releaselevel]
        version += str(info.serial)
    return version


def markers():
    """The eleven variables of PEP 508. env/interp.c replaces those that the kernel decides."""
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": full_version(sys.implementation.version),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        # As packaging writes it: a "+" marks a build from between two releases.
        "python_full_version": platform.python_version(),
        "python_version": "%d.%d" % sys.version_info[:2],
        "sys_platform": sys.platform,
    }


def python_dir():
    """The folder in lib/ of a virtual environment: python3.11, python3.13t."""
    # "venv" is the scheme of environments where distributions patch the default one (Debian).
    names = sysconfig.get_scheme_names()
    scheme = "venv" if "venv" in names else "posix_prefix"
    purelib = sysconfig.get_path("purelib", scheme, {"base": "/", "installed_base": "/"})
    return os.path.basename(os.path.dirname(purelib))


def wheel_dirs():
    """Where ensurepip would look, in its order."""
    stdlib = sysconfig.get_path("stdlib")
    found = [sysconfig.get_config_var("WHEEL_PKG_DIR"), os.path.join(stdlib, "ensurepip", "_bundled")]
    return [path for path in found + [SYSTEM_WHEELS] if path]


def newest_wheel(project):
    """The newest wheel of a project in the first folder that has one, or None."""
    for folder in wheel_dirs():
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        wheels = [n for n in names if n.startswith(project + "-") and n.endswith("-none-any.whl")]
        if wheels:
            wheels.sort(key=lambda n: [int(d) for d in re.findall(r"\d+", n.split("-")[1])])
            return os.path.join(folder, wheels[-1])
    return None


def usable_pip_wheel():
    """ensurepip's pip, unless its dependencies were taken out of the wheel (Debian until 11)."""
    import zipfile

    wheel = newest_wheel("pip")
    if wheel is None:
        return None
    try:
        with zipfile.ZipFile(wheel) as z:
            z.getinfo("pip/_vendor/packaging/version.py")
    except (KeyError, OSError, zipfile.BadZipFile):
        return None
    return wheel


def modern_tags():
    """What pip itself would take: its older vendored packaging forgets cp311-none-any."""
    try:
        from pip._internal.utils.compatibility_tags import get_supported
    except ImportError:
        from packaging import tags

        return [str(tag) for tag in tags.sys_tags()]
    return [str(tag) for tag in get_supported()]


def glibc_minor():
    try:
        match = re.match(r"glibc 2\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError, TypeError):
        return -1
    return int(match.group(1)) if match else -1


def legacy_tags():
    """Of a pip from before 20.1. It stops at manylinux2010, so the later ones, which
    PEP 600 defines by the version of glibc, are put before."""
    from pip._internal import pep425tags

    machine = sysconfig.get_platform().split("-")[-1]
    newer = ["manylinux_2_%d_%s" % (n, machine) for n in range(glibc_minor(), 16, -1)]
    if newer:
        newer.append("manylinux2014_" + machine)
    found = []
    extended = set()
    for python, abi, plat in pep425tags.get_supported():
        if plat.startswith(("linux_", "manylinux")) and (python, abi) not in extended:
            extended.add((python, abi))
            found += ["-".join((python, abi, p)) for p in newer]
        found.append("-".join((python, abi, plat)))
    return found


def supported_tags(pip_wheel):
    """Best first; none when there is no pip to ask."""
    if pip_wheel:
        sys.path.insert(0, pip_wheel)
    try:
        return modern_tags()
    except ImportError:
        pass
    try:
        return legacy_tags()
    except ImportError:
        return []


def facts():
    import importlib.util

    base = getattr(sys, "_base_executable", None) or sys.executable
    pip_wheel = usable_pip_wheel()
    seeds_setuptools = sys.version_info < (3, 12)
    return {
        "implementation": sys.implementation.name,
        "version": platform.python_version().rstrip("+"),
        "version_info": list(sys.version_info[:3]),
        "base_executable": os.path.realpath(base),
        "platlibdir": getattr(sys, "platlibdir", "lib"),
        "is_64bit": sys.maxsize > 2**32,
        "soabi": sysconfig.get_config_var("SOABI") or "",
        "cache_tag": sys.implementation.cache_tag,
        "magic": int.from_bytes(importlib.util.MAGIC_NUMBER, "little"),
        "python_dir": python_dir(),
        "ensurepip": os.path.join(sysconfig.get_path("stdlib"), "ensurepip"),
        "pip_wheel": pip_wheel,
        "setuptools_wheel": newest_wheel("setuptools") if seeds_setuptools else None,
        "markers": markers(),
        # One string: a thousand of them would make reading the cache three times as slow.
        "tags": " ".join(supported_tags(pip_wheel)),
    }


def main():
    reason = refusal()
    answer = {"refused": reason} if reason else facts()
    answer["facts"] = FACTS
    # A .pth file of the interpreter may have printed something: ours is the last line.
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
