# Activates a project's environment in its folders, before each prompt, and leaves it behind them.
# Only environments in the hub are: another .venv is a stranger's code. What the user activates or
# deactivates by hand stays. While the folder stays the same, nothing is forked.
_venvfs_auto() {
    local code=$? env='' folder="$PWD"
    [ "$PWD" = "${_venvfs_auto_pwd-}" ] && [ -n "${_venvfs_auto_env-}${VIRTUAL_ENV-}" ] && return $code
    _venvfs_auto_pwd="$PWD"
    while [ -n "$folder" ] && [ -z "$env" ]; do
        if [ -e "$folder/.venv" ] || [ -L "$folder/.venv" ]; then
            env="$folder/.venv"
        fi
        folder="${folder%/*}"
    done
    [ "$env" = "${_venvfs_auto_env-}" ] && return $code
    if [ -n "${_venvfs_auto_active-}" ] && [ "${VIRTUAL_ENV-}" = "$_venvfs_auto_active" ]; then
        deactivate
    fi
    _venvfs_auto_env='' _venvfs_auto_active=''
    [ -n "$env" ] && [ -z "${VIRTUAL_ENV-}" ] || return $code
    _venvfs_auto_env="$env"
    if _venvfs_auto_is_ours "$env" && [ -r "$env/bin/activate" ]; then
        . "$env/bin/activate"
        _venvfs_auto_active="${VIRTUAL_ENV-}"
    fi
    return $code
}

_venvfs_auto_is_ours() {
    local hub="${VENVFS_HUB:-$HOME/.venvfs}" env="$1" target=''
    if [ ! -e "$env/bin" ] && [ -L "$env" ]; then # after a reboot
        target="$(command readlink -- "$env")"
        case "$target" in
        "$hub"/*) command venvfs mount --quiet -n "$env" >/dev/null || return 1 ;;
        *) return 1 ;;
        esac
    fi
    env="$env/bin"
    if [ -n "${ZSH_VERSION-}" ]; then
        eval '[[ "${env:A}" == "${hub:A}"/* ]]'
    else
        (builtin cd -P -- "$hub" && hub="$PWD" && builtin cd -P -- "$env" &&
            [ "${PWD#"$hub"/}" != "$PWD" ]) 2>/dev/null
    fi
}

if [ -n "${ZSH_VERSION-}" ]; then
    autoload -Uz add-zsh-hook && add-zsh-hook precmd _venvfs_auto
else
    case ";${PROMPT_COMMAND-};" in
    *';_venvfs_auto;'*) ;;
    *) PROMPT_COMMAND="_venvfs_auto${PROMPT_COMMAND:+;$PROMPT_COMMAND}" ;;
    esac
fi
