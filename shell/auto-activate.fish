# Activates a project's environment in its folders and leaves it behind them. Only environments in the
# hub are: another .venv is a stranger's code. What the user activates or deactivates by hand stays.
function _venvfs_auto --on-event fish_prompt
    test "$PWD" = "$_venvfs_auto_pwd" -a -n "$_venvfs_auto_env$VIRTUAL_ENV" && return
    set -g _venvfs_auto_pwd $PWD
    set -l found
    set -l folder $PWD
    while test -n "$folder" -a -z "$found"
        if test -e "$folder/.venv" -o -L "$folder/.venv"
            set found "$folder/.venv"
        end
        set folder (string replace -r '/[^/]*$' '' -- $folder)
    end
    test "$found" = "$_venvfs_auto_env" && return
    if test -n "$_venvfs_auto_active" -a "$VIRTUAL_ENV" = "$_venvfs_auto_active"
        deactivate
    end
    set -g _venvfs_auto_env
    set -g _venvfs_auto_active
    test -n "$found" -a -z "$VIRTUAL_ENV" || return
    set -g _venvfs_auto_env $found
    if _venvfs_auto_is_ours $found && test -r "$found/bin/activate.fish"
        source "$found/bin/activate.fish"
        set -g _venvfs_auto_active $VIRTUAL_ENV
    end
end

function _venvfs_auto_is_ours
    set -l hub $HOME/.venvfs
    set -q VENVFS_HUB[1] && set hub $VENVFS_HUB
    if not test -e "$argv[1]/bin" && test -L "$argv[1]" # after a reboot
        set -l target (command readlink -- "$argv[1]")
        string match -q -- "$hub/*" "$target" || return 1
        command venvfs mount --quiet -n "$argv[1]" >/dev/null || return 1
    end
    set hub (path resolve -- "$hub")
    set -l env (path resolve -- "$argv[1]/bin")
    test (string sub -l (math (string length -- "$hub") + 1) -- "$env") = "$hub/"
end
