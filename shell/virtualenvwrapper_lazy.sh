# Loads virtualenvwrapper.sh when the first of its commands is called.
#
#     export VIRTUALENVWRAPPER_SCRIPT=.../virtualenvwrapper.sh     where it is not beside this file
#     . .../virtualenvwrapper_lazy.sh
#
# _VIRTUALENVWRAPPER_API may name more commands, which are then made the same way.

_VIRTUALENVWRAPPER_API="${_VIRTUALENVWRAPPER_API-} mkvirtualenv rmvirtualenv lsvirtualenv showvirtualenv workon"
_VIRTUALENVWRAPPER_API="$_VIRTUALENVWRAPPER_API add2virtualenv cdsitepackages cdvirtualenv lssitepackages"
_VIRTUALENVWRAPPER_API="$_VIRTUALENVWRAPPER_API toggleglobalsitepackages cpvirtualenv setvirtualenvproject"
_VIRTUALENVWRAPPER_API="$_VIRTUALENVWRAPPER_API mkproject cdproject mktmpenv wipeenv allvirtualenv"
_VIRTUALENVWRAPPER_API="$_VIRTUALENVWRAPPER_API virtualenvwrapper"

if [ -z "${VIRTUALENVWRAPPER_SCRIPT-}" ]; then
    if [ -n "${BASH_VERSION-}" ]; then
        VIRTUALENVWRAPPER_SCRIPT="${BASH_SOURCE[0]}"
    else
        eval 'VIRTUALENVWRAPPER_SCRIPT="${(%):-%x}"'
    fi
    case "$VIRTUALENVWRAPPER_SCRIPT" in
    */*) VIRTUALENVWRAPPER_SCRIPT="${VIRTUALENVWRAPPER_SCRIPT%/*}/virtualenvwrapper.sh" ;;
    *) VIRTUALENVWRAPPER_SCRIPT=./virtualenvwrapper.sh ;;
    esac
    export VIRTUALENVWRAPPER_SCRIPT
fi

virtualenvwrapper_load() {
    [ -z "${VIRTUALENVWRAPPER_LAZY_LOADED-}" ] || return 0
    . "$VIRTUALENVWRAPPER_SCRIPT" || return
    VIRTUALENVWRAPPER_LAZY_LOADED=1
}

_venvw_define_lazy() {
    local rest="$_VIRTUALENVWRAPPER_API " name=''
    while [ -n "$rest" ]; do
        name="${rest%% *}"
        rest="${rest#* }"
        case "$name" in
        '') ;;
        *) eval "$name() { virtualenvwrapper_load && $name \"\$@\"; }" ;;
        esac
    done
}
_venvw_define_lazy
unset -f _venvw_define_lazy
