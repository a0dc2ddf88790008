"""uv.lock, version 1 of its format; other versions are left to `uv export --frozen`."""

import os
import shutil
import subprocess
from urllib.parse import parse_qs, urlsplit, urlunsplit

from .common import LockError, canonicalize_name, package, shortened
from .toml import load
from .urls import archive_record, file_url, without_auth
from .wheels import choose, file_of

_LOCAL = ("editable", "virtual", "directory")


def read(answer, target, path, groups, extras, exported):
    """exported: called with the text of `uv export` when the format is not known here."""
    lock = load(answer, path)
    if lock.get("version") != 1:
        exported(export(path, lock.get("version"), groups, extras))
        return
    target.check_python(lock.get("requires-python"), path)
    supported = lock.get("supported-markers") or []
    if supported and not any(target.admits(m, path) for m in supported):
        raise LockError("invalid", "%s is for other environments (%s)" % (path, shortened(supported, 3)))
    Walk(answer, target, path, lock).run(groups, extras)


def export(path, version, groups, extras):
    uv = shutil.which("uv")
    if not uv:
        raise LockError(
            "invalid",
            "%s: version %r of the format is not known (this venvfs reads 1)" % (path, version),
            "install uv, or export the lock: uv export --frozen -o requirements.txt",
        )
    command = [uv, "export", "--quiet", "--frozen", "--no-emit-workspace", "--format", "requirements-txt"]
    if groups is not None:
        command += ["--no-default-groups"] + [a for g in groups for a in ("--group", g)]
    command += [a for e in extras or [] for a in ("--extra", e)]
    done = subprocess.run(command, cwd=os.path.dirname(path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise LockError("invalid", "%s: uv export failed: %s" % (path, lines[0] if lines else done.returncode))
    return done.stdout.decode("utf-8")


class Walk:
    """From the project's root over the dependencies whose markers hold."""

    def __init__(self, answer, target, path, lock):
        self.answer = answer
        self.target = target
        self.path = path
        self.base = os.path.dirname(path)
        self.lock = lock
        self.by_name = {}
        self.queue = []
        self.seen = set()
        self.active = set()  # extras and groups, as uv writes them into markers of conflicts
        self.kept = {}
        for table in lock.get("package") or []:
            if not isinstance(table, dict) or not isinstance(table.get("name"), str):
                raise LockError("invalid", "%s: a package has no name" % path)
            self.by_name.setdefault(canonicalize_name(table["name"]), []).append(table)

    def run(self, groups, extras):
        manifest = self.lock.get("manifest") or {}
        members = {canonicalize_name(m) for m in manifest.get("members") or []}
        roots = [t for ts in self.by_name.values() for t in ts if any((t.get("source") or {}).get(k) == "." for k in _LOCAL)]
        if not roots:
            roots = [t for name in sorted(members) for t in self.by_name.get(name, [])]
        shared = manifest.get("dependency-groups") or {}
        groups = self.groups(groups, roots, shared)
        extras = self.extras(extras, roots)
        for root in roots:
            self.activate(root, groups, extras)
        for root in roots:
            self.root(root, groups, extras)
        for group in groups:
            self.edges(shared.get(group) or [], True)
        self.edges(manifest.get("requirements") or [], True)
        while self.queue:
            table, extra, requested = self.queue.pop()
            self.visit(table, extra, requested)

    def groups(self, asked, roots, shared):
        known = set(shared).union(*[set(r.get("dev-dependencies") or {}) for r in roots] or [set()])
        if asked is None:
            default = self.pyproject().get("default-groups", ["dev"])
            return sorted(known) if default == "all" else [g for g in default if g in known]
        for group in asked:
            if group not in known and group != "dev":
                raise LockError("invalid", "%s has no group %r (it has: %s)" % (self.path, group, shortened(sorted(known)) or "none"))
        return asked

    def extras(self, asked, roots):
        known = set().union(*[set(r.get("optional-dependencies") or {}) for r in roots] or [set()])
        for extra in asked or []:
            if extra not in known:
                raise LockError("invalid", "%s has no extra %r (it has: %s)" % (self.path, extra, shortened(sorted(known)) or "none"))
        return asked or []

    def pyproject(self):
        path = os.path.join(self.base, "pyproject.toml")
        if not os.path.isfile(path):
            return {}
        return ((load(self.answer, path).get("tool") or {}).get("uv")) or {}

    def activate(self, root, groups, extras):
        name = canonicalize_name(root["name"])
        for what, items in (("extra", extras), ("group", groups)):
            self.active |= {"%s-%d-%s-%s" % (what, len(name), name, canonicalize_name(i)) for i in items}
        self.active.add("project-%d-%s" % (len(name), name))

    def root(self, root, groups, extras):
        source = root.get("source") or {}
        if "virtual" not in source:
            folder = source.get("editable") or source.get("directory") or "."
            self.answer.editables.append({"name": canonicalize_name(root["name"]), "path": os.path.abspath(os.path.join(self.base, folder))})
        self.edges(root.get("dependencies") or [], True)
        for extra in extras:
            self.edges((root.get("optional-dependencies") or {}).get(extra) or [], True)
        for group in groups:
            self.edges((root.get("dev-dependencies") or {}).get(group) or [], True)

    def edges(self, dependencies, requested):
        for dependency in dependencies:
            if not self.target.admits(dependency.get("marker"), self.path, self.active):
                continue
            table = self.find(dependency)
            if table is None:
                continue
            for extra in [None] + list(dependency.get("extra") or dependency.get("extras") or []):
                self.queue.append((table, extra, requested))

    def find(self, dependency):
        name = canonicalize_name(dependency.get("name", ""))
        found = self.by_name.get(name, [])
        for key in ("version", "source"):
            if key in dependency:
                found = [t for t in found if t.get(key) == dependency[key]]
        if len(found) > 1:
            fits = [t for t in found if any(self.target.admits(m, self.path, self.active) for m in t.get("resolution-markers") or [""])]
            found = fits or found
        if not found:
            raise LockError("invalid", "%s: package %s is needed but missing" % (self.path, name))
        if len(found) > 1:
            raise LockError("invalid", "%s: package %s: two versions fit this interpreter" % (self.path, name))
        return found[0]

    def visit(self, table, extra, requested):
        name = canonicalize_name(table["name"])
        if requested and name in self.answer.packages:
            self.answer.packages[name]["requested"] = True
        key = (id(table), extra)
        if key in self.seen:
            return
        self.seen.add(key)
        if extra:
            self.edges((table.get("optional-dependencies") or {}).get(extra) or [], False)
            self.seen.add(key)
        if self.kept.setdefault(name, table) is not table:
            raise LockError("invalid", "%s: package %s: two versions fit this interpreter" % (self.path, name))
        if name in self.answer.packages or (id(table), "") in self.seen:
            return
        self.seen.add((id(table), ""))
        self.edges(table.get("dependencies") or [], False)
        self.add(name, table, requested)

    def add(self, name, table, requested):
        where = "%s: package %s" % (self.path, name)
        source = table.get("source") or {}
        record = package(table.get("version"), requested, where)
        if "virtual" in source:
            return
        if "editable" in source or "directory" in source:
            folder = os.path.abspath(os.path.join(self.base, source.get("editable") or source["directory"]))
            if "editable" in source:
                self.answer.editables.append({"name": name, "path": folder})
                return
            self.answer.volatile = True
            record["by_url"] = "%s @ %s" % (name, file_url(folder))
            record["direct_url"] = {"url": file_url(folder), "dir_info": {}}
        elif "git" in source:
            self.git(name, source["git"], record)
        else:
            self.files(name, table, source, record, where)
        self.answer.packages[name] = record

    def files(self, name, table, source, record, where):
        base = self.base
        if "registry" in source and not urlsplit(source["registry"]).scheme:
            base = os.path.join(self.base, source["registry"])  # a folder of wheels
        wheels = [self.file(w, where, source) for w in table.get("wheels") or []]
        sdist = self.file(table["sdist"], where, source) if table.get("sdist") else None
        chosen = choose(self.answer, self.target, name, record["version"], wheels, sdist, record, where, base)
        if "url" in source or "path" in source:
            record["by_name"] = None
            record["direct_url"] = archive_record(chosen["url"], record["hashes"])

    def file(self, table, where, source):
        digest = table.get("hash")
        one = dict(table)
        if not one.get("url") and not one.get("path"):
            if one.get("filename") and "path" not in source:
                one["path"] = one["filename"]
            else:
                one["url"], one["path"] = source.get("url"), source.get("path")
        return file_of(one, where, [digest] if digest else [])

    def git(self, name, url, record):
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        plain = urlunsplit(parts._replace(query="", fragment=""))
        subdirectory = query.get("subdirectory", [None])[0]
        record["by_url"] = "%s @ git+%s@%s%s" % (name, plain, parts.fragment, "#subdirectory=" + subdirectory if subdirectory else "")
        info = {"vcs": "git", "commit_id": parts.fragment}
        for key in ("rev", "tag", "branch"):
            if key in query:
                info["requested_revision"] = query[key][0]
        record["direct_url"] = {"url": without_auth(plain), "vcs_info": info}
        if subdirectory:
            record["direct_url"]["subdirectory"] = subdirectory
