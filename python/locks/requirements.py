"""Requirement files, as pip reads them (its "Requirements File Format")."""

import os
import re
import shlex

from .common import SDIST_SUFFIXES, LockError, canonicalize_name, digest_of_file, first_line, hashes_text, mismatch, package

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_HASH = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)\Z")
_PLAIN_PIN = re.compile(r"([A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])?)==([0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc|\.post|\.dev)[0-9]+)*)\Z")
_VCS = re.compile(r"(git|hg|svn|bzr)(\+|:)")
_MAX_DEPTH = 32

# Options of a line: name -> (the name it is kept under, takes a value).
_OPTIONS = {}
for _names, _value in (
    ("--index-url -i --pypi-url", True),
    ("--extra-index-url", True),
    ("--find-links -f", True),
    ("--requirement -r", True),
    ("--constraint -c", True),
    ("--editable -e", True),
    ("--trusted-host", True),
    ("--use-feature", True),
    ("--no-binary", True),
    ("--only-binary", True),
    ("--hash", True),
    ("--global-option", True),
    ("--install-option", True),
    ("--config-settings --config-setting -C", True),
    ("--no-index", False),
    ("--pre", False),
    ("--prefer-binary", False),
    ("--require-hashes", False),
    ("--always-unzip -Z", False),
):
    for _name in _names.split():
        _OPTIONS[_name] = (_names.split()[0], _value)
_PASSED_ON = (
    "--index-url --extra-index-url --trusted-host --no-binary --only-binary --no-index --pre "
    "--prefer-binary --use-feature"
).split()


def decode(data, path):
    for bom, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(bom):
            break
    else:
        encoding = "utf-8"
        for line in data.split(b"\n")[:2]:
            match = line.startswith(b"#") and re.search(rb"coding[:=]\s*([-\w.]+)", line)
            if match:
                encoding = match.group(1).decode("ascii")
                break
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise LockError("invalid", "%s: not text: %s" % (path, first_line(error)))


def logical_lines(text):
    """(number, line) with continuations joined and comments gone. A comment line inside a
    continuation ends it, as in pip."""
    pending, start = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            if not pending:
                start = number
            pending.append(line.strip("\\"))
            continue
        pending.append(" " + line if comment else line)
        joined, first = "".join(pending), start if len(pending) > 1 else number
        pending = []
        joined = _COMMENT.sub("", joined).strip()
        if joined:
            yield first, joined
    joined = _COMMENT.sub("", "".join(pending)).strip()
    if joined:
        yield start, joined


def words_of(text, where):
    if not any(c in text for c in "'\"\\#"):
        return text.split()  # a lock has thousands of hashes, and shlex goes by characters
    try:
        return shlex.split(text)
    except ValueError as error:
        raise LockError("invalid", "%s: %s" % (where, first_line(error)))


def split_line(line, where):
    """The requirement, and the options behind it as (name, value) pairs."""
    words = line.split(" ")
    n = next((i for i, w in enumerate(words) if w.startswith("-")), len(words))
    rest = words_of(" ".join(words[n:]), where)
    options = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            continue  # as in pip: a marker behind an editable
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        known = _OPTIONS.get(name)
        if not known and name.startswith("--"):  # optparse takes unambiguous beginnings
            near = {_OPTIONS[o] for o in _OPTIONS if o.startswith(name)}
            known = near.pop() if len(near) == 1 else None
        if not known:
            raise LockError("invalid", "%s: unknown option %s" % (where, name))
        kept, takes = known
        if takes and not equals and not (value and not word.startswith("--")):
            if not rest:
                raise LockError("invalid", "%s: option %s needs a value" % (where, name))
            value = rest.pop(0)
        options.append((kept, value if takes else None))
    return " ".join(words[:n]).strip(), options


class Reader:
    def __init__(self, answer, target, no_deps, cwd):
        self.answer = answer
        self.target = target
        self.no_deps = no_deps
        self.cwd = cwd
        self.constraints = {}  # name -> requirements
        self.no_binary = set()
        self.seen = set()
        self.unresolved = []  # editable folders: why pip must resolve, unless all else is locked

    def file(self, path, constraint=False, depth=0, stack=()):
        path = os.path.abspath(path)
        if path in stack or depth > _MAX_DEPTH:
            raise LockError("invalid", "%s includes itself (through %s)" % (path, " > ".join(stack)))
        if (path, constraint) in self.seen:
            return
        self.seen.add((path, constraint))
        self.text(decode(self.answer.read(path), path), path, constraint, depth, stack + (path,))

    def text(self, text, path, constraint, depth=0, stack=()):
        for number, line in logical_lines(text):
            where = "%s:%d" % (path, number)
            line = self.expand(line)
            requirement, options = split_line(line, where)
            if requirement:
                hashes = [self.hash(v, where) for o, v in options if o == "--hash"]
                built = [o for o, _ in options if o in ("--global-option", "--install-option", "--config-settings")]
                self.requirement(requirement, hashes, where, constraint, line)
                if built:
                    self.answer.incomplete.append("%s: %s" % (where, built[0]))
            else:
                for name, value in options:
                    self.option(name, value, path, where, constraint, depth, stack)

    def expand(self, line):
        def value(match):
            return self.answer.variable(match.group(1)) or match.group(0)

        return _VARIABLE.sub(value, line)

    def hash(self, value, where):
        if not _HASH.match(value or ""):
            raise LockError("invalid", "%s: bad hash %r" % (where, value))
        return value

    def option(self, name, value, path, where, constraint, depth, stack):
        if name in ("--requirement", "--constraint"):
            if re.match(r"(https?|ftp):", value):
                self.answer.volatile = True
                self.answer.incomplete.append("%s: %s" % (where, name))
                self.line("%s %s" % (name, value), constraint)
                return
            if value.startswith("file:"):
                from .urls import path_of_url

                value = path_of_url(value) or value
            if name == "--constraint" and not constraint:
                self.line("-c " + shlex.quote(os.path.join(os.path.dirname(path), value)))
            below = constraint or name == "--constraint"
            self.file(os.path.join(os.path.dirname(path), value), below, depth + 1, stack)
        elif name == "--editable":
            self.editable(value, where, constraint)
        elif name == "--find-links":
            local = os.path.join(os.path.dirname(path), value)
            if not re.match(r"[a-z]+:", value) and os.path.exists(local):
                value = os.path.abspath(local)
            self.line("--find-links " + shlex.quote(value), constraint)
            self.answer.options.append("--find-links " + shlex.quote(value))
        elif name == "--hash":
            raise LockError("invalid", "%s: --hash without a requirement" % where)
        elif name in _PASSED_ON:
            if name == "--no-binary":
                for one in value.split(","):
                    self.no_binary.clear() if one == ":none:" else self.no_binary.add(one.strip())
            self.answer.options.append(name if value is None else "%s %s" % (name, shlex.quote(value)))
            self.line(self.answer.options[-1], constraint)
        elif name == "--require-hashes":
            self.line(name, constraint)

    # ---- what pip is given when it resolves ----

    def line(self, text, constraint=False):
        """All lines of all files, in case pip must not be given the files: see Answer.lines."""
        if not constraint:  # files of constraints are handed over whole
            self.answer.lines.append(text)

    def folder_line(self, before, folder, after, url=False):
        self.answer.lines[-1] = {"before": before, "folder": folder, "after": after, "url": url}

    # ---- one requirement ----

    def editable(self, value, where, constraint):
        """Without a build nobody knows what it needs, unless all else is locked by hashes: pip takes
        no such file, and uv's exports mean that it is complete."""
        self.line("-e " + value, constraint)
        if constraint or _VCS.match(value):
            self.answer.volatile = True
            self.answer.incomplete.append("%s: editable" % where)
            return
        from .folders import project_name, watch
        from .urls import path_of_url

        url = value.startswith("file:")
        name = value.partition("#")[0] if url else re.sub(r"\[[^\]]*\]\s*\Z", "", value)
        folder = path_of_url(name) if url else os.path.join(self.cwd, os.path.expanduser(name))
        folder = os.path.normpath(folder or name)
        if not os.path.isdir(folder):
            raise LockError("missing", "%s: %s: no such folder" % (where, folder))
        self.answer.relative = self.answer.relative or not (url or name.startswith("/"))
        self.folder_line("-e ", folder, value[len(name) :], url)
        self.answer.editables.append({"name": project_name(folder), "path": folder})
        watch(self.answer, folder)
        self.unresolved.append("%s: editable" % where)

    def requirement(self, text, hashes, where, constraint=False, line=None):
        line = line or text
        self.line(line, constraint)
        plain = not constraint and _PLAIN_PIN.match(text)
        if plain:
            self.pin(canonicalize_name(plain.group(1)), plain.group(2), hashes, where)
            return
        local = self.local_path(text)
        if local is not None:
            from .urls import file_url

            if os.path.isdir(local[0]) and not constraint:
                self.folder_line("", local[0], line.strip()[len(local[2]) :])
            self.direct(None, file_url(local[0]), local[1], hashes, where, constraint)
            return
        if re.match(r"[a-z][a-z0-9+.-]*:", text) and " @ " not in text:
            url, _, marker = text.partition(" ;")
            self.direct(None, url.strip(), marker.strip(), hashes, where, constraint)
            return
        from pip._vendor.packaging.requirements import InvalidRequirement, Requirement

        try:
            parsed = Requirement(text)
        except InvalidRequirement as error:
            raise LockError("invalid", "%s: %r is no requirement: %s" % (where, text, first_line(error)))
        if constraint:
            self.constraints.setdefault(canonicalize_name(parsed.name), []).append((parsed, hashes))
            return
        if not self.target.admits(parsed.marker, where):
            return
        name = canonicalize_name(parsed.name)
        self.answer.names.add(name)
        if parsed.url:
            self.direct(name, parsed.url, None, hashes, where, False)
            return
        self.pin(name, pinned(parsed), hashes, where)

    def pin(self, name, version, hashes, where):
        self.answer.names.add(name)
        if version is None or not hashes:
            self.answer.incomplete.append(
                "%s: %s is not %s" % (where, name, "pinned" if version is None else "locked by a hash")
            )
            return
        record = package(version, True, where)
        record["hashes"] = hashes
        record["by_name"] = "%s==%s%s" % (name, version, hashes_text(hashes))
        self.add(name, record)

    def local_path(self, text):
        """(absolute path, marker, the path as it is written) when the requirement is a file or folder. Relative ones start at
        the current folder, as pip has it, not at the file that names them."""
        path, _, marker = text.partition(";")
        path = re.sub(r"\[[^\]]*\]\s*\Z", "", path.strip())
        if " @ " in path or re.match(r"[a-z][a-z0-9+.-]*:", path):
            return None
        looks = path.startswith((".", "/", "~")) or os.sep in path
        full = os.path.normpath(os.path.join(self.cwd, os.path.expanduser(path)))
        archive = path.endswith((".whl",) + SDIST_SUFFIXES) and os.path.isfile(full)
        if not looks and not archive:
            return None
        if not path.startswith("/"):
            self.answer.relative = True
        if not os.path.exists(full):
            raise LockError("missing", "%s: no such file or folder" % full)
        return full, marker.strip(), path

    def direct(self, name, url, marker, hashes, where, constraint):
        from .urls import archive_record, basename_of_url, hashes_of_fragment, path_of_url

        if marker and not self.target.admits(marker, where):
            return
        if constraint or _VCS.match(url):
            self.answer.incomplete.append("%s: %s" % (where, "a direct constraint" if constraint else "from a repository"))
            self.answer.volatile = True
            return
        path = path_of_url(url)
        if path is not None and not os.path.exists(path):
            raise LockError("missing", "%s: %s: no such file or folder" % (where, path))
        if path is not None and os.path.isdir(path):
            self.folder_url(path, url)
            self.answer.volatile = True
            self.answer.incomplete.append("%s: a folder" % where)
            return
        filename = os.path.basename(path) if path is not None else basename_of_url(url)
        self.answer.names.add(name or canonicalize_name(filename.split("-")[0]))
        hashes = hashes or hashes_of_fragment(url)
        if path is not None:
            own = "sha256:" + digest_of_file(path)
            self.answer.inputs[path] = own[7:]
            if any(h.startswith("sha256:") for h in hashes) and own not in hashes:
                raise mismatch(where, path, hashes, own)
            locked, hashes = bool(hashes), [own]
        else:
            locked = bool(hashes)
        if not locked and not (self.no_deps and path is not None):
            self.answer.incomplete.append("%s: %s is not locked by a hash" % (where, filename))
            return
        if not filename.endswith(".whl"):
            self.built(name, url, path, hashes, where)
            return
        if self.target.wheel_rank(filename) is None:
            self.target.refuse(where, filename, [filename])
        parts = filename.split("-")
        record = package(parts[1], True, where)
        record["hashes"] = hashes
        record["path"] = path
        record["by_url"] = "%s @ %s%s" % (name or canonicalize_name(parts[0]), url.partition("#")[0], hashes_text(hashes))
        record["direct_url"] = archive_record(url, hashes)
        self.add(name or canonicalize_name(parts[0]), record)

    def folder_url(self, folder, url):
        plain, line = url.partition("#")[0], self.answer.lines[-1]
        if isinstance(line, str):
            before, _, after = line.partition(plain)
            self.folder_line(before, folder, after, True)

    def built(self, name, url, path, hashes, where):
        """A source archive: its version is known once it is built, its name perhaps too."""
        from .urls import archive_record

        if name is None:
            self.answer.incomplete.append("%s: a source archive without a name" % where)
            return
        record = package(None, True, where)
        record["hashes"] = hashes
        record["by_url"] = "%s @ %s%s" % (name, url.partition("#")[0], hashes_text(hashes))
        record["direct_url"] = archive_record(url, hashes)
        self.add(name, record)

    def add(self, name, record):
        known = self.answer.packages.get(name)
        if known is None:
            self.answer.packages[name] = record
            return
        common = [h for h in known["hashes"] if h in record["hashes"]]
        if known["version"] != record["version"] or not common or known["direct_url"] != record["direct_url"]:
            # pip says best what is wrong with that.
            self.answer.incomplete.append("%s: %s is named twice" % (record["where"], name))
        else:
            known["hashes"] = common

    def finish(self, extra_constraints):
        for text in extra_constraints:
            self.requirement(text, [], "constraint", True)
        for name, constraints in self.constraints.items():
            record = self.answer.packages.get(name)
            if record is None:
                continue
            for parsed, hashes in constraints:
                if not self.target.admits(parsed.marker, record["where"]):
                    continue
                fits = record["version"] is not None and not parsed.url
                fits = fits and parsed.specifier.contains(record["version"], prereleases=True)
                if not fits or (hashes and not set(hashes) & set(record["hashes"])):
                    self.answer.incomplete.append("%s: a constraint on %s" % (record["where"], name))
        if self.answer.incomplete or not self.answer.packages:
            self.answer.incomplete += self.unresolved
        if self.no_binary:
            for name, record in self.answer.packages.items():
                record["no_binary"] = ":all:" in self.no_binary or name in map(canonicalize_name, self.no_binary)


def pinned(requirement):
    """The version of an exact pin, or None."""
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return None
    version = specifiers[0].version
    if version.endswith(".*"):
        return None
    from pip._vendor.packaging.version import InvalidVersion, Version

    try:
        return str(Version(version))
    except InvalidVersion:
        return version if specifiers[0].operator == "===" else None
