import flask, h11, httpcore, jinja2, markupsafe._speedups, pygments.lexers.python, requests, werkzeug.serving
