"""What all kinds of locks share: errors, the target, records of packages."""

import os
import re

try:  # hashlib loads all of OpenSSL
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

# packaging is imported where it is needed: most locks are plain pins, and importing it takes longer
# than reading them.

SDIST_SUFFIXES = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar")


class LockError(Exception):
    """kind: missing (a file or package), invalid (the lock), tags (nothing fits the target)."""

    def __init__(self, kind, message, hint=None):
        Exception.__init__(self, message)
        self.kind = kind
        self.message = message
        self.hint = hint


class Unfit(LockError):
    """Not for this Python."""


# `extra`, `extras` and `dependency_groups` are sets here, which older packaging cannot evaluate;
# each comparison is replaced by a constant that every packaging understands.
_TRUE = 'os_name != "?"'
_FALSE = 'os_name == "?"'
_MEMBERSHIP = re.compile(
    r"""(?P<q>['"])(?P<name>[^'"]*)(?P=q)\s+(?P<no>not\s+)?in\s+(?P<set>extras|dependency_groups)\b"""
)
_EXTRA = re.compile(
    r"""\bextra\s*(?P<op>==|!=)\s*(?P<q>['"])(?P<name>[^'"]*)(?P=q)"""
    r"""|(?P<q2>['"])(?P<name2>[^'"]*)(?P=q2)\s*(?P<op2>==|!=)\s*extra\b"""
)


def canonicalize_name(name):
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Target:
    """The interpreter a lock is read for."""

    def __init__(self, markers, tags):
        self.markers = dict(markers)
        self.markers.setdefault("extra", "")
        self.tags = list(tags)
        self.rank = {tag: i for i, tag in reversed(list(enumerate(self.tags)))}
        self.python = self.markers.get("python_full_version", "")
        self.cache = {}

    def admits(self, marker, where, extras=(), groups=()):
        if not marker:
            return True
        text = str(marker)
        sets = {
            "extras": {canonicalize_name(e) for e in extras},
            "dependency_groups": {canonicalize_name(g) for g in groups},
        }

        def member(match):
            inside = canonicalize_name(match.group("name")) in sets[match.group("set")]
            return _FALSE if inside == bool(match.group("no")) else _TRUE

        def equal(match):
            name = match.group("name") if match.group("name") is not None else match.group("name2")
            inside = canonicalize_name(name) in sets["extras"]
            same = (match.group("op") or match.group("op2")) == "=="
            return _TRUE if inside == same else _FALSE

        text = _EXTRA.sub(equal, _MEMBERSHIP.sub(member, text))
        if text not in self.cache:
            from pip._vendor.packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName

            try:
                self.cache[text] = bool(Marker(text).evaluate(dict(self.markers)))
            except (InvalidMarker, UndefinedEnvironmentName) as error:
                raise LockError("invalid", "%s: bad marker %r: %s" % (where, str(marker), first_line(error)))
        return self.cache[text]

    def check_python(self, specifier, where):
        if not specifier:
            return
        from pip._vendor.packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            fits = SpecifierSet(specifier).contains(self.python, prereleases=True)
        except InvalidSpecifier:
            raise LockError("invalid", "%s: bad requires-python %r" % (where, specifier))
        if not fits:
            raise Unfit(
                "invalid",
                "%s is for another Python: it requires %s, the interpreter is %s"
                % (where, specifier, self.python),
                "choose an interpreter with -p, for example -p '%s'" % specifier.replace(" ", ""),
            )

    def wheel_rank(self, filename):
        """Rank of a wheel's best tag, or None. Tags may be compressed sets (PEP 425)."""
        parts = filename[:-4].split("-") if filename.endswith(".whl") else []
        if len(parts) not in (5, 6):
            return None
        ranks = [
            self.rank[tag]
            for tag in (
                "%s-%s-%s" % (p, a, f)
                for p in parts[-3].split(".")
                for a in parts[-2].split(".")
                for f in parts[-1].split(".")
            )
            if tag in self.rank
        ]
        return min(ranks) if ranks else None

    def refuse(self, where, name, filenames):
        found = sorted({"-".join(f[:-4].split("-")[-3:]) for f in filenames if f.endswith(".whl")})
        wanted = self.tags[:3] + [t for t in ("py3-none-any",) if t in self.rank]
        raise LockError(
            "tags",
            "%s: no wheel of %s fits this interpreter (Python %s); wanted %s...; found %s"
            % (where, name, self.python, ", ".join(wanted), shortened(found) or "none"),
            "lock again for this Python, or choose another with -p",
        )


def mismatch(where, path, wanted, own):
    wanted = [h[7:] for h in wanted if h.startswith("sha256:")]
    more = " or one of %d more" % (len(wanted) - 1) if len(wanted) > 1 else ""
    return LockError(
        "mismatch", "%s: %s: the lock wants sha256 %s%s, the file has sha256 %s" % (where, path, wanted[0], more, own[7:])
    )


def shortened(items, most=8):
    items = list(items)
    text = ", ".join(items[:most])
    return text + ", ... (%d in all)" % len(items) if len(items) > most else text


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def digest(data):
    return sha256(data).hexdigest()


def digest_of_file(path):
    state = sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            state.update(block)
    return state.hexdigest()


class Answer:
    """What lock.py answers; see env/lock_read.c."""

    def __init__(self):
        self.packages = {}
        self.incomplete = []  # why pip must resolve
        self.inputs = {}  # path -> SHA-256 of what was read
        self.variables = {}  # name -> SHA-256 of its value, or None when unset
        self.options = []  # index options, as lines of a requirements file
        self.names = set()  # what the input itself names
        self.editables = []
        # What all files say, a line each, for pip to be given instead of the files: a line may be a dict
        # with a "folder", of which pip gets a copy (stage.py).
        self.lines = []
        self.words = []  # requirements that no file tells pip
        self.warnings = []
        self.volatile = False  # hangs on something that cannot be watched: a URL, a folder
        self.relative = False  # hangs on the current folder

    def read(self, path):
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError as error:
            raise LockError("missing", "%s: %s" % (path, error.strerror or error))
        self.inputs[path] = digest(data)
        return data

    def watch(self, path):
        """As read(), of a file that may be missing: then it has to stay so."""
        try:
            self.inputs[path] = digest_of_file(path)
        except OSError:
            self.inputs[path] = None

    def variable(self, name):
        value = os.environ.get(name)
        self.variables[name] = None if value is None else digest(value.encode("utf-8", "surrogateescape"))
        return value

    def document(self):
        for name, package in self.packages.items():
            package["name"] = name
        return {
            "complete": not self.incomplete,
            "incomplete": self.incomplete[:20],
            "packages": [self.packages[n] for n in sorted(self.packages)],
            "inputs": self.inputs,
            "variables": self.variables,
            "options": self.options,
            "names": sorted(self.names),
            "editables": self.editables,
            "lines": self.lines if any(isinstance(line, dict) for line in self.lines) else [],
            "words": self.words,
            "warnings": self.warnings,
            "volatile": self.volatile,
            "relative": self.relative,
        }


def package(version, requested, where):
    """A record: hashes are "algorithm:hex"; path: a local wheel; by_name, by_url: how pip can be
    asked for it; direct_url: its PEP 610 record."""
    return {
        "version": version,
        "requested": requested,
        "where": where,
        "hashes": [],
        "path": None,
        "by_name": None,
        "by_url": None,
        "direct_url": None,
        "no_binary": False,
    }


def hashes_text(hashes):
    return "".join(" --hash=" + h for h in hashes)
