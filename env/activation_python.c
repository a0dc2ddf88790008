/* bin/activate.xsh for xonsh, and bin/activate_this.py for a running interpreter. */
#include "env/activation_internal.h"

/* xonsh's own prompt shows VIRTUAL_ENV_PROMPT and heeds VIRTUAL_ENV_DISABLE_PROMPT. */
static const char xonsh[] =
    "# Activates this Python environment in xonsh:\n"
    "#     source bin/activate.xsh\n"
    "# \"deactivate\" puts everything back as it was.\n"
    "\n"
    "def _venvfs_activate(directory, prompt):\n"
    "    import os\n"
    "\n"
    "    env = ${...}\n"
    "    if \"_venvfs_restore\" in aliases:\n"
    "        aliases[\"_venvfs_restore\"]([])\n"
    "    new = {\n"
    "        \"VIRTUAL_ENV\": directory,\n"
    "        \"VIRTUAL_ENV_PROMPT\": prompt,\n"
    "        \"PATH\": [os.path.join(directory, \"bin\")] + [str(p) for p in env.get(\"PATH\", "
    "[])],\n"
    "        \"UV_LINK_MODE\": env.get(\"UV_LINK_MODE\", \"copy\"),\n"
    "        # It would lead the interpreter to another standard library.\n"
    "        \"PYTHONHOME\": None,\n"
    "    }\n"
    "    old = {}\n"
    "    for name in new:\n"
    "        if name == \"PATH\":\n"
    "            old[name] = [str(p) for p in env.get(name, [])]\n"
    "        else:\n"
    "            old[name] = env[name] if name in env else None\n"
    "\n"
    "    def assign(values):\n"
    "        for name, value in values.items():\n"
    "            if value is not None:\n"
    "                env[name] = value\n"
    "            elif name in env:\n"
    "                del env[name]\n"
    "\n"
    "    def deactivate(args):\n"
    "        assign(old)\n"
    "        for name in (\"deactivate\", \"_venvfs_restore\"):\n"
    "            if name in aliases:\n"
    "                del aliases[name]\n"
    "\n"
    "    assign(new)\n"
    "    aliases[\"deactivate\"] = aliases[\"_venvfs_restore\"] = deactivate\n"
    "\n"
    "\n"
    "_venvfs_activate(@DIR@, @PROMPT@)\n"
    "del _venvfs_activate\n";

static const char this[] =
    "\"\"\"Lets a Python that is already running use this environment's packages:\n"
    "\n"
    "    path = \".../bin/activate_this.py\"\n"
    "    exec(open(path).read(), {\"__file__\": path})\n"
    "\n"
    "It has to be the same version of Python. Where you can choose, run bin/python instead.\n"
    "\"\"\"\n"
    "import os\n"
    "import site\n"
    "import sys\n"
    "\n"
    "directory = @DIR@\n"
    "bin_directory = os.path.join(directory, \"bin\")\n"
    "packages = os.path.join(directory, \"lib\", @PYTHON@, \"site-packages\")\n"
    "\n"
    "os.environ[\"PATH\"] = os.pathsep.join(\n"
    "    [bin_directory] + [p for p in [os.environ.get(\"PATH\", \"\")] if p]\n"
    ")\n"
    "os.environ[\"VIRTUAL_ENV\"] = directory\n"
    "os.environ[\"VIRTUAL_ENV_PROMPT\"] = @PROMPT@\n"
    "os.environ.setdefault(\"UV_LINK_MODE\", \"copy\")\n"
    "\n"
    "# addsitedir() appends; packages of the environment come before those of the base.\n"
    "before = len(sys.path)\n"
    "site.addsitedir(packages)\n"
    "sys.path[:] = sys.path[before:] + sys.path[:before]\n"
    "\n"
    "sys.real_prefix = sys.prefix\n"
    "sys.prefix = sys.exec_prefix = directory\n";

void activation_xonsh(const struct manifest *m, const char *address, struct strbuf *sb)
{
    activation_text(xonsh, quote_python, "", m, address, sb);
}

void activation_this(const struct manifest *m, const char *address, struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf dir = STRBUF_INIT, prompt = STRBUF_INIT, python = STRBUF_INIT;
    quote_python(address, &dir);
    quote_python(activation_prompt(m, address), &prompt);
    quote_python(m->python_dir, &python);
    const struct activation_word words[] = {
        {"@DIR@", dir.buf}, {"@PROMPT@", prompt.buf}, {"@PYTHON@", python.buf}};
    activation_expand(this, words, ARRAY_SIZE(words), sb);
}
