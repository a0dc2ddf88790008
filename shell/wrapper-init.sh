# The commands of virtualenvwrapper, read when the first is called or completed; its own stay.
_venvw_load() {
    _venvw_shell_init=1
    _venvw_program=venvfs
    _venvw_hub="${VENVFS_HUB:-$HOME/.venvfs}"
    . "$_venvw_share/virtualenvwrapper.sh"
}
_venvw_complete() {
    _venvw_load || return
    if [ -n "${ZSH_VERSION-}" ]; then
        _venvw_complete_zsh "$service"
    else
        _venvw_complete_bash "$@"
    fi
}
_venvw_define() {
    local name=''
    for name in "$@"; do
        eval "$name() { _venvw_load && $name \"\$@\"; }"
    done
    if [ -n "${BASH_VERSION-}" ]; then
        complete -F _venvw_complete workon rmvirtualenv cpvirtualenv showvirtualenv setvirtualenvproject
    elif eval '(( $+functions[compdef] ))'; then
        compdef _venvw_complete workon rmvirtualenv cpvirtualenv showvirtualenv setvirtualenvproject
    fi
}
typeset -f workon >/dev/null ||
    _venvw_define mkvirtualenv mktmpenv cpvirtualenv rmvirtualenv wipeenv workon lsvirtualenv \
        showvirtualenv allvirtualenv cdvirtualenv cdsitepackages lssitepackages add2virtualenv \
        toggleglobalsitepackages mkproject setvirtualenvproject cdproject virtualenvwrapper
unset -f _venvw_define
