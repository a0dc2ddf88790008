import build.__main__, docutils.core, isort.main, pathspec, pluggy, pytest, yaml, tomli_w
