import jinja2, markupsafe._speedups, mpmath, networkx, pygments.lexers.python, yaml
