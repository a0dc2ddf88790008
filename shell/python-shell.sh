# `venvfs python shell` selects for this shell, whose variables no program can change.
venvfs() {
    if [ "${1-}:${2-}" = python:shell ] && [ "${3-}" != --help ]; then
        shift 2
        eval "$(PYENV_SHELL=sh command venvfs python sh-shell "$@")"
    else
        command venvfs "$@"
    fi
}
