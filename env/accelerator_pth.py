"""Write python/accelerator.py as the text of a .pth file, a C string: accelerator_pth.py INPUT OUTPUT

site executes the lines of a .pth that begin with "import", each by itself, and skips those that begin
with "#". So the program becomes one line that begins with its import, and loses its comments."""

import json
import re
import sys

source, target = sys.argv[1:]
with open(source, encoding="ascii") as f:
    lines = [re.sub(r"(^|  )#.*", "", line.rstrip("\n")) for line in f]
first, *program = [line for line in lines if line]
names = ", ".join('"%s": %s' % (name, name) for name in re.findall(r"\w+", first)[1:])
texts = [
    "# Lets importlib read modules without an ioctl for each: on a FUSE mount that is a message.\n",
    "# Written by venvfs; `venvfs sync --no-accelerator` leaves it out.\n",
    "%s; exec(%r, {%s})\n" % (first, "\n".join(program), names),
]
with open(target, "w", encoding="ascii") as f:
    f.write("static const char accelerator_pth[] =\n")
    f.write("\n".join("    " + json.dumps(text) for text in texts))
    f.write(";\n")
