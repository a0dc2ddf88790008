"""Write a text file as a C string constant: embed.py INPUT OUTPUT NAME"""

import json
import sys

source, target, name = sys.argv[1:]
with open(source, encoding="ascii") as f:
    lines = f.read().splitlines(keepends=True)
with open(target, "w", encoding="ascii") as f:
    f.write("static const char %s[] =\n" % name)
    f.write("\n".join("    " + json.dumps(line) for line in lines))
    f.write(";\n")
