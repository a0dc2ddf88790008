"""The Python plugins of virtualenvwrapper, for shell/virtualenvwrapper: run by VIRTUALENVWRAPPER_PYTHON, whose
entry points in the groups virtualenvwrapper.* they are.

    list                          a line "folder F" for each folder that decides, and "hook H" for each with plugins
    run SCRIPT HOOK ARG...        calls the plugins of HOOK; writes what those of HOOK_source return to SCRIPT
    templates                     tells of the project templates
    template NAME PROJECT DIR     applies one

A plugin is a function of one argument, the list of words behind HOOK. The two that come with virtualenvwrapper
itself (user_scripts, project) are left out: the shell does what they did."""
import os
import sys
import traceback

PREFIX = "virtualenvwrapper."
THE_SHELLS = ("virtualenvwrapper.user_scripts", "virtualenvwrapper.project")


def entry_points():
    """(hook, name, target, function that loads it) of each plugin, once, in the order of sys.path."""
    seen = set()
    for group, name, target, load in all_entry_points():
        if group.startswith(PREFIX) and target.partition(":")[0] not in THE_SHELLS and (group, name) not in seen:
            seen.add((group, name))
            yield group[len(PREFIX):], name, target, load


def all_entry_points():
    try:
        from importlib.metadata import distributions
    except ImportError:  # before Python 3.8
        import pkg_resources
        for distribution in pkg_resources.working_set:
            for group, points in distribution.get_entry_map().items():
                for name, point in points.items():
                    yield group, name, point.module_name, point.load
        return
    for distribution in distributions():
        for point in distribution.entry_points:
            yield point.group, point.name, point.value, point.load


def call(plugin, arguments):
    """What a plugin returns; (False, None) behind a traceback where it fails: the others still run."""
    hook, name, target, load = plugin
    try:
        return True, load()(arguments)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        sys.stderr.write("virtualenvwrapper: plugin %s (%s) of %s failed\n" % (name, target, hook))
        return False, None


def first_line(plugin):
    try:
        return (plugin[3]().__doc__ or "").strip().split("\n")[0]
    except Exception as error:  # pylint: disable=broad-except
        return "cannot be loaded: %s" % error


def list_hooks(_):
    for folder in sys.path:
        if os.path.isdir(folder):
            print("folder " + os.path.abspath(folder))
    for hook in sorted({plugin[0] for plugin in entry_points()}):
        print("hook " + hook)
    return True


def run(words):
    script, hook, arguments = words[0], words[1], words[2:]
    plugins = list(entry_points())
    fine = all([call(plugin, arguments)[0] for plugin in plugins if plugin[0] == hook])
    with open(script, "w") as text:
        for plugin in plugins:
            if plugin[0] == hook + "_source":
                done, lines = call(plugin, arguments)
                fine = fine and done
                text.write((lines or "") + "\n")
    return fine


def templates(_):
    for plugin in sorted(entry_points(), key=lambda plugin: plugin[1]):
        if plugin[0] == "project.template":
            print("  %-20s %s" % (plugin[1], first_line(plugin)))
    return True


def template(words):
    name, project, folder = words
    for plugin in entry_points():
        if plugin[:2] == ("project.template", name):
            return call(plugin, [project, folder])[0]
    sys.stderr.write("ERROR: there is no template %s: mkproject --help lists them\n" % name)
    return False


COMMANDS = {"list": list_hooks, "run": run, "templates": templates, "template": template}

if __name__ == "__main__":
    del sys.path[0]  # this file's own folder
    sys.exit(not COMMANDS[sys.argv[1]](sys.argv[2:]))
