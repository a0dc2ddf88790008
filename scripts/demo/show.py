"""Says which version of the demo's package this interpreter imports, and from where."""
import importlib
import importlib.metadata
import os
import sys

name = "itsdangerous"
try:
    version = importlib.metadata.version(name)
except importlib.metadata.PackageNotFoundError:
    name = "projectc"  # the demo made it itself: no index could be reached
    version = importlib.metadata.version(name)
module = importlib.import_module(name)
where = os.path.relpath(module.__file__, os.path.dirname(sys.prefix))
print(f"  {sys.argv[1]}: {name} {version}   {where}")
