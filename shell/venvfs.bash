# Completion of venvfs for bash. Everything it offers comes from the program itself.
_venvfs() {
    local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"
    local program="${COMP_WORDS[0]}" command="${COMP_WORDS[1]}"
    COMPREPLY=()
    _venvfs_offer() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word"); }

    if ((COMP_CWORD == 1)); then
        _venvfs_offer "$("$program" --list-commands 2>/dev/null | cut -f1)"
        return
    fi
    local -a path=("$command")
    case "$command" in
    store | python | pyenv | tool)
        if ((COMP_CWORD == 2)); then
            _venvfs_offer "$("$program" "$command" --list-commands 2>/dev/null | cut -f1)"
            return
        fi
        path+=("${COMP_WORDS[2]}")
        ;;
    help)
        _venvfs_offer "$("$program" --list-commands 2>/dev/null | cut -f1)"
        return
        ;;
    shell-init)
        _venvfs_offer "bash zsh fish"
        return
        ;;
    esac
    if [[ $word == -* ]]; then
        _venvfs_offer "$("$program" "${path[@]}" --list-options 2>/dev/null)"
        return
    fi
    case "$previous" in
    -n | --name)
        _venvfs_offer "$("$program" list --names 2>/dev/null)"
        return
        ;;
    esac
    case "$command" in
    python | pyenv)
        _venvfs_offer "$("$program" pyenv completions "${path[1]}" 2>/dev/null | grep -v '^-')"
        [[ ${path[1]} == exec && ${#COMPREPLY[@]} == 0 ]] || return
        ;;
    show | history | diff | clone | rename | export | remove | mount | umount)
        _venvfs_offer "$("$program" list --names 2>/dev/null)"
        ;;
    esac
    local -a files
    mapfile -t files < <(compgen -f -- "$word")
    COMPREPLY+=("${files[@]}")
    compopt -o filenames 2>/dev/null
}
complete -F _venvfs venvfs
