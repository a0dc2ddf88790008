"""URLs of archives. A module of its own because most locks have none to look at."""

from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit


def without_auth(url):
    """PEP 610: no user or password; the user "git" of an ssh URL is no secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")
    if not host[1] or (host[0] == "git" and "ssh" in parts.scheme):
        return url
    return urlunsplit(parts._replace(netloc=host[2]))


def file_url(path):
    return "file://" + quote(path)


def path_of_url(url):
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return unquote(parts.path)


def basename_of_url(url):
    return unquote(urlsplit(url).path.rpartition("/")[2])


def archive_record(url, hashes):
    """PEP 610 for an archive; both the old and the new form of the hash, as pip writes it."""
    info = {}
    if hashes:
        algorithm, _, value = sorted(hashes, key=lambda h: not h.startswith("sha256:"))[0].partition(":")
        info = {"hash": "%s=%s" % (algorithm, value), "hashes": {algorithm: value}}
    return {"url": without_auth(url.partition("#")[0]), "archive_info": info}


def hashes_of_fragment(url):
    fragment = parse_qs(urlsplit(url).fragment)
    return ["%s:%s" % (a, fragment[a][0]) for a in ("sha256", "sha384", "sha512") if a in fragment]
