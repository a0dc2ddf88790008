"""make_wheels.py DIR: ProjectC 1.0 and 2.0 as wheels, for a demo where no package index is reachable."""
import base64
import hashlib
import os
import sys
import zipfile


def record_row(path, data):
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def make(folder, version):
    info = f"projectc-{version}.dist-info"
    files = {
        "projectc/__init__.py": f'"""ProjectC, {version}."""\nversion = "{version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: projectc\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: venvfs demo\n"
                         "Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = {path: text.encode() for path, text in files.items()}
    record = "".join(record_row(path, data) for path, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    wheel = os.path.join(folder, f"projectc-{version}-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            # A fixed time: the same demo makes the same wheel, so a second run finds it stored.
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data)
    with open(wheel, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


os.makedirs(sys.argv[1], exist_ok=True)
for project, version in (("ProjectA", "1.0"), ("ProjectB", "2.0")):
    digest = make(sys.argv[1], version)
    print(f"{project} projectc=={version} --hash=sha256:{digest}")
