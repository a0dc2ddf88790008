/* bin/activate.nu. */
#include "env/activation_internal.h"

/* What export-env sets belongs to the overlay, so hiding the overlay is what undoes it. */
static const char text[] =
    "# Activates this Python environment in nushell:\n"
    "#     overlay use bin/activate.nu\n"
    "# \"deactivate\" puts everything back as it was.\n"
    "\n"
    "export-env {\n"
    "    let virtual_env = @DIR@\n"
    "    let path = ($env.PATH | split row (char esep) | prepend ($virtual_env | path join "
    "'bin'))\n"
    "    load-env {\n"
    "        PATH: $path\n"
    "        VIRTUAL_ENV: $virtual_env\n"
    "        VIRTUAL_ENV_PROMPT: @PROMPT@\n"
    "    }\n"
    "\n"
    "    # PYTHONHOME would lead the interpreter to another standard library.\n"
    "    hide-env --ignore-errors PYTHONHOME\n"
    "\n"
    "    # uv cannot make hard links or clones into a file system of its own; asked to copy, it\n"
    "    # does not warn.\n"
    "    if 'UV_LINK_MODE' not-in $env {\n"
    "        load-env { UV_LINK_MODE: 'copy' }\n"
    "    }\n"
    "\n"
    "    if ($env.VIRTUAL_ENV_DISABLE_PROMPT? | default '' | is-empty) {\n"
    "        let before = ($env.PROMPT_COMMAND? | default '')\n"
    "        load-env {\n"
    "            PROMPT_COMMAND: {||\n"
    "                let shown = if ($before | describe) == 'closure' { do $before } else { "
    "$before }\n"
    "                [@DISPLAY@ $shown] | str join\n"
    "            }\n"
    "        }\n"
    "    }\n"
    "}\n"
    "\n"
    "export alias deactivate = overlay hide activate\n";

void activation_nu(const struct manifest *m, const char *address, struct strbuf *sb)
{
    activation_text(text, quote_nu, "", m, address, sb);
}
