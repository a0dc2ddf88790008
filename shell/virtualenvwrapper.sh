# The commands of virtualenvwrapper for bash and zsh, on venvfs: mkvirtualenv, workon and the others.
#
#     eval "$(venvfs shell-init bash)"        in ~/.bashrc: WORKON_HOME is the hub where it is not set
#     . .../virtualenvwrapper.sh              as before: WORKON_HOME is ~/.virtualenvs where it is not set
#
# Any folder can be WORKON_HOME; environments there are then links into the hub.
#
# Who reads this file should know:
#  - It runs in the user's shell. What is not theirs to call begins with _venvw_; functions that source
#    hooks have no local variables but such, because a sourced hook sees them.
#  - Both shells read every line: expansions are quoted, >| is used because of noclobber, and what one
#    shell does not parse is in an eval.
#  - A fork costs as much as all the rest of a command, so results are returned in _venvw_reply, and
#    hooks of nothing but comments are not run.

# ---- small tools ----

virtualenvwrapper_cd() {
    if [ -n "${ZSH_VERSION-}" ]; then
        builtin \cd -q "$@" # chpwd is for folders that the user goes to by hand
    else
        builtin \cd "$@"
    fi
}

_venvw_error() {
    printf '%s\n' "$@" >&2
}

# Whether a word is a program, a function or a builtin.
_venvw_is_command() {
    \command -v "$1" >/dev/null 2>&1
}

# Expands $NAME, ${NAME} and a ~ or ~USER in front; runs nothing. The answer is in _venvw_reply.
_venvw_expand() {
    local rest="$1" done='' name=''
    while :; do
        case "$rest" in
        *'$'*)
            done="$done${rest%%\$*}"
            rest="${rest#*\$}"
            case "$rest" in
            '{'*'}'*)
                name="${rest%%\}*}"
                name="${name#\{}"
                ;;
            *) name="${rest%%[!A-Za-z0-9_]*}" ;;
            esac
            case "$name" in
            '' | [0-9]* | *[!A-Za-z0-9_]*) done="$done\$" ;;
            *)
                case "$rest" in
                '{'*) rest="${rest#*\}}" ;;
                *) rest="${rest#"$name"}" ;;
                esac
                eval "done=\"\$done\${$name-}\""
                ;;
            esac
            ;;
        *)
            done="$done$rest"
            break
            ;;
        esac
    done
    _venvw_reply="$done"
    case "$done" in
    '~'*)
        name="${done%%/*}"
        rest="${done#"$name"}"
        if [ "$name" = '~' ]; then
            _venvw_reply="$HOME$rest"
        else
            case "${name#\~}" in
            *[!A-Za-z0-9._-]* | [!A-Za-z0-9_]*) ;;
            *) eval "_venvw_reply=$name" && _venvw_reply="$_venvw_reply$rest" ;;
            esac
        fi
        ;;
    esac
}

virtualenvwrapper_expandpath() {
    _venvw_expand "$1"
    printf '%s\n' "$_venvw_reply"
}

# The absolute path of a folder without "..", as the user named it; fails where it is none.
_venvw_folder() {
    [ -d "$1" ] || return 1
    case "$1" in
    *//* | */./* | */../* | */. | */.. | [!/]*)
        _venvw_reply="$(CDPATH= && virtualenvwrapper_cd -- "$1" >/dev/null && pwd)"
        ;;
    /) _venvw_reply=/ ;;
    *) _venvw_reply="${1%/}" ;;
    esac
}

# The first line of a file.
_venvw_first_line() {
    _venvw_reply=
    [ -r "$1" ] && { IFS= read -r _venvw_reply <"$1" || [ -n "$_venvw_reply" ]; }
}

# ---- places ----

virtualenvwrapper_derive_workon_home() {
    _venvw_workon_home
    printf '%s\n' "$_venvw_reply"
}

_venvw_workon_home() {
    _venvw_reply="${WORKON_HOME-}"
    if [ -z "$_venvw_reply" ]; then
        _venvw_reply="$HOME/.virtualenvs"
        return
    fi
    case "$_venvw_reply" in
    *'$'* | '~'*) _venvw_expand "$_venvw_reply" ;;
    esac
    case "$_venvw_reply" in
    /*) ;;
    *) _venvw_reply="$HOME/$_venvw_reply" ;;
    esac
}

virtualenvwrapper_verify_workon_home() {
    [ -d "$WORKON_HOME/" ] && return 0
    [ "${1-}" = -q ] ||
        _venvw_workon_home_is_hub ||
        _venvw_error "NOTE: Virtual environments directory $WORKON_HOME does not exist. Creating..."
    command mkdir -p -- "$WORKON_HOME"
}

virtualenvwrapper_verify_project_home() {
    if [ -z "${PROJECT_HOME-}" ]; then
        _venvw_error "ERROR: PROJECT_HOME is not set: name the folder where projects should be made"
        return 1
    fi
    [ -d "$PROJECT_HOME" ] && return 0
    _venvw_error "ERROR: Project directory '$PROJECT_HOME' does not exist. Create it or set PROJECT_HOME"
    return 1
}

virtualenvwrapper_verify_virtualenv() {
    if [ "$VIRTUALENVWRAPPER_VIRTUALENV" = virtualenvwrapper_virtualenv ] &&
        ! _venvw_find_program "$_venvw_program"; then # "command -v" would find shell-init's function
        _venvw_error "ERROR: virtualenvwrapper could not find $_venvw_program in your path"
        return 1
    fi
    virtualenvwrapper_verify_resource "$VIRTUALENVWRAPPER_VIRTUALENV" VIRTUALENVWRAPPER_VIRTUALENV
}

virtualenvwrapper_verify_virtualenv_clone() {
    virtualenvwrapper_verify_resource "$VIRTUALENVWRAPPER_VIRTUALENV_CLONE" VIRTUALENVWRAPPER_VIRTUALENV_CLONE
}

virtualenvwrapper_verify_resource() {
    _venvw_is_command "$1" && return 0
    _venvw_error "ERROR: virtualenvwrapper could not find $1 in your path" \
        "hint: install it, or name another program in $2"
    return 1
}

virtualenvwrapper_verify_active_environment() {
    [ -n "${VIRTUAL_ENV-}" ] && [ -d "$VIRTUAL_ENV" ] && return 0
    _venvw_error "ERROR: no virtualenv active, or active virtualenv is missing"
    return 1
}

# Whether there is an environment of this name, which is left in _venvw_name: what completion writes
# ends with a slash.
virtualenvwrapper_verify_workon_environment() {
    _venvw_name="${1%/}"
    if [ -d "$WORKON_HOME/$_venvw_name" ]; then
        [ -e "$WORKON_HOME/$_venvw_name/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate" ] && return 0
        _venvw_error "ERROR: Environment '$WORKON_HOME/$_venvw_name' does not contain an activate script."
        return 1
    fi
    _venvw_error "ERROR: Environment '$_venvw_name' does not exist. Create it with 'mkvirtualenv $_venvw_name'."
    return 1
}

virtualenvwrapper_get_python_version() {
    _venvw_python_version && printf '%s\n' "$_venvw_reply"
}

# The X.Y of the active environment: from pyvenv.cfg, and where that does not say from its Python.
_venvw_python_version() {
    local key='' value=''
    if [ -r "$VIRTUAL_ENV/pyvenv.cfg" ]; then
        while IFS='=' read -r key value; do
            case "$key" in
            version | version' ' | version_info | version_info' ')
                value="${value# }"
                _venvw_reply="${value%%.*}"
                value="${value#*.}"
                _venvw_reply="$_venvw_reply.${value%%.*}"
                return 0
                ;;
            esac
        done <"$VIRTUAL_ENV/pyvenv.cfg"
    fi
    _venvw_reply="$("$VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR/python" -c \
        'import sys; print("%d.%d" % sys.version_info[:2])')"
}

virtualenvwrapper_get_site_packages_dir() {
    _venvw_site_packages && printf '%s\n' "$_venvw_reply"
}

_venvw_site_packages() {
    _venvw_python_version || return
    _venvw_reply="$VIRTUAL_ENV/lib/python$_venvw_reply/site-packages"
    [ -d "$_venvw_reply" ] && return 0
    _venvw_reply="$("$VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR/python" -c \
        'import sysconfig; print(sysconfig.get_path("purelib"))')"
}

# ---- venvfs ----

# Whether a folder is an environment of the hub, a link to one or a folder with links into one.
_venvw_is_venvfs() {
    [ "$1/bin/../.." -ef "$_venvw_hub" ]
}

_venvw_workon_home_is_hub() {
    [ "$WORKON_HOME" = "$_venvw_hub" ] || [ "$WORKON_HOME" -ef "$_venvw_hub" ]
}

# Runs venvfs; the path that it prints is nothing that these commands show.
_venvw_venvfs() {
    command "$_venvw_program" "$@" >/dev/null
}

# What VIRTUALENVWRAPPER_VIRTUALENV is where the user has not set it: the options of virtualenv.
virtualenvwrapper_virtualenv() {
    command "$_venvw_program" virtualenv "$@"
}

# What VIRTUALENVWRAPPER_VIRTUALENV_CLONE is where the user has not set it: SRC DST, both paths.
virtualenvwrapper_clone() {
    local source="${1%/}" target="${2%/}" place=''
    place="$target"
    [ "${target%/*}" -ef "$_venvw_hub" ] && place="${target##*/}"
    if _venvw_is_venvfs "$source"; then
        _venvw_venvfs clone -- "$source" "$place" && _venvw_copy_beside "$source" "$target"
    elif [ "$place" != "$target" ]; then
        _venvw_venvfs adopt -- "$source" "$place"
    else
        _venvw_copy "$source" "$target"
    fi
}

# Copies what the user put into a folder with links into the hub, as .project.
_venvw_copy_beside() {
    [ ! -h "$1" ] && [ -h "$1/bin" ] || return 0
    command find "$1" -mindepth 1 -maxdepth 1 ! -type l ! -name lib ! -name .gitignore \
        -exec cp -a -t "$2/" -- {} +
}

# Copies an ordinary environment: what names the folder it was made in is changed. Links (bin/python) are
# copied as links and never written through: grep -r does not follow them.
_venvw_copy() {
    local source="$1" target="$2" made_in='' line='' file='' from='' to=''
    command cp -a -- "$source" "$target" || return
    made_in="$source"
    while IFS= read -r line; do
        case "$line" in
        VIRTUAL_ENV=/* | VIRTUAL_ENV=[\'\"]/*)
            made_in="${line#VIRTUAL_ENV=}"
            made_in="${made_in#[\'\"]}"
            made_in="${made_in%[\'\"]}"
            break
            ;;
        esac
    done <"$source/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate"
    from="$(printf '%s' "$made_in" | command sed 's/[][\\.*^$#]/\\&/g')"
    to="$(printf '%s' "$target" | command sed 's/[\\&#]/\\&/g')"
    command grep -rlIF --include='*' --exclude='*.py[co]' -- "$made_in" "$target/$VIRTUALENVWRAPPER_ENV_BIN_DIR" \
        "$target/pyvenv.cfg" | while IFS= read -r file; do
        command sed -i -e "s#$from\([^A-Za-z0-9._-]\)#$to\1#g" -e "s#$from\$#$to#" \
            -e "s#(${made_in##*/}) #(${target##*/}) #g" "$file" || return
    done
    command find "$target/lib" -path '*/site-packages/*' -prune -type f \
        \( -name '*.pth' -o -name '*.egg-link' \) \
        -exec sed -i -e "s#$from\([^A-Za-z0-9._-]\)#$to\1#g" -e "s#$from\$#$to#" {} +
}

# ---- temporary files and the log ----

virtualenvwrapper_mktemp() {
    command mktemp "$@"
}

# Prints the path of a new file in the folder for temporary ones.
virtualenvwrapper_tempfile() {
    local suffix="${1:-hook}" folder="${VIRTUALENVWRAPPER_TMPDIR:-${TMPDIR:-/tmp}}" file=''
    file="$(virtualenvwrapper_mktemp "${folder%/}/virtualenvwrapper-$suffix-XXXXXXXXXX")" &&
        [ -n "$file" ] && [ -f "$file" ] && printf '%s\n' "$file" && return 0
    _venvw_error "ERROR: virtualenvwrapper could not create a temporary file name."
    return 1
}

_venvw_make_log() {
    [ -n "${VIRTUALENVWRAPPER_LOG_FILE-}" ] || return 0
    [ -e "$VIRTUALENVWRAPPER_LOG_FILE" ] && return 0
    (umask 002 && : >>"$VIRTUALENVWRAPPER_LOG_FILE")
}

_venvw_log() {
    [ -n "${VIRTUALENVWRAPPER_LOG_FILE-}" ] || return 0
    printf '%s %s\n' "$$" "$*" >>"$VIRTUALENVWRAPPER_LOG_FILE"
}

# ---- hooks: the user's files ----

# Makes those of the named files of a folder that are not there. Each word is NAME:KIND:TEXT, KIND run
# (a program) or sourced.
_venvw_make_hooks() {
    local folder="$1" word='' name='' kind='' text='' shell=/bin/sh
    local -a programs
    programs=()
    shift
    case "${SHELL-}" in
    */bash | */zsh) shell="$SHELL" ;;
    esac
    for word in "$@"; do
        name="${word%%:*}" text="${word#*:}"
        kind="${text%%:*}" text="${text#*:}"
        [ -e "$folder/$name" ] && continue
        if [ "$kind" = run ]; then
            printf '#!%s\n# %s: %s\n' "$shell" "$name" "$text" >|"$folder/$name" || return
            programs+=("$folder/$name")
        else
            printf '# %s: sourced %s\n' "$name" "$text" >|"$folder/$name" || return
        fi
    done
    [ "${#programs[@]}" = 0 ] || command chmod a+x -- "${programs[@]}"
}

_venvw_make_global_hooks() {
    [ -d "$VIRTUALENVWRAPPER_HOOK_DIR" ] || command mkdir -p -- "$VIRTUALENVWRAPPER_HOOK_DIR" || return
    _venvw_make_hooks "$VIRTUALENVWRAPPER_HOOK_DIR" \
        'initialize:sourced:when virtualenvwrapper is loaded.' \
        'premkvirtualenv:run:run with the name of a new environment, before it is activated.' \
        'postmkvirtualenv:sourced:after a new environment is activated.' \
        'precpvirtualenv:run:run with the paths of an environment and the name of its new copy.' \
        'postcpvirtualenv:sourced:after the new copy of an environment is activated.' \
        'preactivate:run:run with the name of an environment, before it is activated.' \
        'postactivate:sourced:after an environment is activated.' \
        'predeactivate:sourced:before an environment is deactivated.' \
        'postdeactivate:sourced:after an environment is deactivated.' \
        'prermvirtualenv:run:run with the path of an environment, before it is removed.' \
        'postrmvirtualenv:run:run with the path of an environment, after it was removed.' \
        'get_env_details:run:run with the name of an environment; prints what lsvirtualenv shows of it.' \
        'premkproject:run:run with the name of a new project, before its folder is made.' \
        'postmkproject:run:sourced in the folder of a new project.'
}

_venvw_make_local_hooks() {
    [ -d "$1" ] || return 0
    _venvw_make_hooks "$1" \
        'preactivate:run:run with the name of this environment, before it is activated.' \
        'postactivate:sourced:after this environment is activated.' \
        'predeactivate:sourced:before this environment is deactivated.' \
        'postdeactivate:sourced:after this environment is deactivated.' \
        'get_env_details:run:run with the name of this environment; prints what lsvirtualenv shows of it.'
}

# Whether a file does something: it has a line that is neither empty nor a comment.
_venvw_does_something() {
    local line=''
    while IFS= read -r line || [ -n "$line" ]; do
        case "$line" in
        '' | '#'*) ;;
        *) return 0 ;;
        esac
    done <"$1"
    return 1
}

# Runs a hook, FILE ARG..., as a program in WORKON_HOME.
_venvw_run_file() {
    [ -e "$1" ] || return 0
    if [ ! -x "$1" ]; then
        _venvw_does_something "$1" || return 0
        _venvw_error "virtualenvwrapper.user_scripts could not run \"$1\": [Errno 13] Permission denied: '$1'" \
            "hint: chmod +x '$1'"
        return 0
    fi
    _venvw_does_something "$1" || return 0
    _venvw_log "running $*"
    (virtualenvwrapper_cd -- "$WORKON_HOME" && "$@")
}

# Sources the hook $1. It sees no arguments but its own path.
_venvw_source_file() {
    [ -f "$1" ] || return 0
    _venvw_log "sourcing $1"
    . "$1"
}

# The project folder of the environment $1, from its linkage file.
_venvw_project_of() {
    _venvw_reply=
    [ -n "${1-}" ] && [ -f "$1/$VIRTUALENVWRAPPER_PROJECT_FILENAME" ] || return 1
    _venvw_first_line "$1/$VIRTUALENVWRAPPER_PROJECT_FILENAME" && [ -n "$_venvw_reply" ]
}

# The files of a hook, in the order of virtualenvwrapper.
_venvw_user_hooks() {
    case "$1" in
    initialize)
        _venvw_source_file "$VIRTUALENVWRAPPER_HOOK_DIR/initialize"
        ;;
    pre_mkvirtualenv)
        _venvw_make_local_hooks "$WORKON_HOME/$2/$VIRTUALENVWRAPPER_ENV_BIN_DIR"
        _venvw_run_file "$VIRTUALENVWRAPPER_HOOK_DIR/premkvirtualenv" "$2"
        ;;
    pre_cpvirtualenv)
        _venvw_run_file "$VIRTUALENVWRAPPER_HOOK_DIR/precpvirtualenv" "$2" "$3"
        ;;
    pre_rmvirtualenv | post_rmvirtualenv)
        _venvw_run_file "$VIRTUALENVWRAPPER_HOOK_DIR/${1%%_*}rmvirtualenv" "$2"
        ;;
    post_mkvirtualenv | post_cpvirtualenv)
        _venvw_source_file "$VIRTUALENVWRAPPER_HOOK_DIR/post${1#post_}"
        ;;
    pre_activate)
        _venvw_run_file "$VIRTUALENVWRAPPER_HOOK_DIR/preactivate" "$2"
        _venvw_run_file "$WORKON_HOME/$2/$VIRTUALENVWRAPPER_ENV_BIN_DIR/preactivate" "$2"
        ;;
    post_activate)
        if _venvw_project_of "$VIRTUAL_ENV" && [ -d "$_venvw_reply" ]; then
            if [ "${VIRTUALENVWRAPPER_PROJECT_CD-}" = 1 ]; then
                virtualenvwrapper_cd -- "$_venvw_reply"
            fi
            _venvw_source_file "$_venvw_reply/.virtualenvwrapper/postactivate"
        fi
        _venvw_source_file "$VIRTUALENVWRAPPER_HOOK_DIR/postactivate"
        _venvw_source_file "$VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR/postactivate"
        ;;
    pre_deactivate)
        if _venvw_project_of "${VIRTUAL_ENV-}"; then
            _venvw_source_file "$_venvw_reply/.virtualenvwrapper/predeactivate"
        fi
        _venvw_source_file "${VIRTUAL_ENV-}/$VIRTUALENVWRAPPER_ENV_BIN_DIR/predeactivate"
        _venvw_source_file "$VIRTUALENVWRAPPER_HOOK_DIR/predeactivate"
        ;;
    post_deactivate)
        _venvw_source_file "$VIRTUALENVWRAPPER_LAST_VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR/postdeactivate"
        _venvw_source_file "$VIRTUALENVWRAPPER_HOOK_DIR/postdeactivate"
        ;;
    get_env_details)
        _venvw_run_file "$VIRTUALENVWRAPPER_HOOK_DIR/get_env_details" "$2"
        _venvw_run_file "$WORKON_HOME/$2/$VIRTUALENVWRAPPER_ENV_BIN_DIR/get_env_details" "$2"
        ;;
    project.pre_mkproject)
        _venvw_run_file "$VIRTUALENVWRAPPER_HOOK_DIR/premkproject" "$2"
        ;;
    project.post_mkproject)
        _venvw_source_file "$VIRTUALENVWRAPPER_HOOK_DIR/postmkproject"
        ;;
    esac
}

# ---- hooks: Python plugins ----

# Which hooks have plugins, as " pre_activate post_activate_source ": asked of the Python once, and kept in
# a file that is good for as long as no folder on its sys.path has changed.
_venvw_read_plugins() {
    local file="${XDG_CACHE_HOME:-$HOME/.cache}/venvfs/virtualenvwrapper-plugins" key='' value='' text=''
    _venvw_plugins=' '
    _venvw_plugins_of="$VIRTUALENVWRAPPER_PYTHON"
    [ -n "$VIRTUALENVWRAPPER_PYTHON" ] && [ -f "$_venvw_share/virtualenvwrapper_plugins.py" ] || return 0
    if [ -f "$file" ]; then
        text=' '
        while IFS=' ' read -r key value; do
            case "$key" in
            python) [ "$value" = "$VIRTUALENVWRAPPER_PYTHON" ] || text= ;;
            folder) [ "$file" -nt "$value" ] || text= ;;
            hook) text="$text$value " ;;
            esac
            [ -n "$text" ] || break
        done <"$file"
        if [ -n "$text" ]; then
            _venvw_plugins="$text"
            return 0
        fi
    fi
    text="$("$VIRTUALENVWRAPPER_PYTHON" "$_venvw_share/virtualenvwrapper_plugins.py" list)" || {
        _venvw_error "virtualenvwrapper: $VIRTUALENVWRAPPER_PYTHON cannot tell which plugins it has" \
            "hint: name another Python in VIRTUALENVWRAPPER_PYTHON"
        return 1
    }
    [ -d "${file%/*}" ] || command mkdir -p -- "${file%/*}" 2>/dev/null
    { printf 'python %s\n%s\n' "$VIRTUALENVWRAPPER_PYTHON" "$text" >|"$file"; } 2>/dev/null
    while IFS=' ' read -r key value; do
        [ "$key" = hook ] && _venvw_plugins="$_venvw_plugins$value "
    done <<EOT
$text
EOT
    return 0
}

# Runs the plugins of a hook; what they want sourced is sourced by virtualenvwrapper_run_hook.
_venvw_has_plugins() {
    [ "${_venvw_plugins_of-}" = "$VIRTUALENVWRAPPER_PYTHON" ] || _venvw_read_plugins || return 2
    case "$_venvw_plugins" in
    *" $1 "* | *" ${1}_source "*) return 0 ;;
    esac
    return 1
}

_venvw_plugin_helper() {
    (virtualenvwrapper_cd -- "$WORKON_HOME" &&
        "$VIRTUALENVWRAPPER_PYTHON" "$_venvw_share/virtualenvwrapper_plugins.py" "$@")
}

# virtualenvwrapper_run_hook NAME ARG...: the plugins of this hook, then the user's files for it.
virtualenvwrapper_run_hook() {
    _venvw_reply="${VIRTUALENVWRAPPER_TMPDIR:-${TMPDIR:-/tmp}}"
    if [ ! -d "$_venvw_reply" ] || [ ! -w "$_venvw_reply" ]; then
        _venvw_error "ERROR: virtualenvwrapper cannot write to the folder for temporary files, $_venvw_reply" \
            "hint: set TMPDIR or VIRTUALENVWRAPPER_TMPDIR"
        return 1
    fi
    _venvw_log "hook $*"
    _venvw_has_plugins "$1" && _venvw_reply=0 || _venvw_reply=$?
    case $_venvw_reply in
    0)
        _venvw_script="$(virtualenvwrapper_tempfile hook)" || return 1
        _venvw_plugin_helper run "$_venvw_script" "$@" || _venvw_error "virtualenvwrapper: a plugin of $1 failed"
        _venvw_user_hooks "$@"
        . "$_venvw_script"
        command rm -f -- "$_venvw_script"
        unset _venvw_script
        ;;
    1) _venvw_user_hooks "$@" ;;
    *) return 1 ;;
    esac
    return 0
}

# ---- activating and deactivating ----

# Gives the environment's own deactivate another name and puts one with hooks in its place.
_venvw_wrap_deactivate() {
    if [ -n "${ZSH_VERSION-}" ]; then
        eval 'functions[_venvw_deactivate_env]=$functions[deactivate]'
    else
        _venvw_reply="$(declare -f deactivate)"
        eval "_venvw_deactivate_env${_venvw_reply#deactivate}"
    fi
    deactivate() {
        _venvw_deactivate "$@"
    }
}

_venvw_deactivate() {
    virtualenvwrapper_run_hook pre_deactivate
    _venvw_left="${VIRTUAL_ENV-}"
    _venvw_deactivate_env "$@"
    unset -f _venvw_deactivate_env
    if [ "${1-}" != nondestructive ]; then
        unset -f deactivate >/dev/null 2>&1 || :
    fi
    export VIRTUALENVWRAPPER_LAST_VIRTUAL_ENV="$_venvw_left"
    virtualenvwrapper_run_hook post_deactivate "${_venvw_left##*/}"
    unset VIRTUALENVWRAPPER_LAST_VIRTUAL_ENV
    if [ -f "$_venvw_left/README.tmpenv" ]; then
        printf 'Removing temporary environment: %s\n' "${_venvw_left##*/}"
        rmvirtualenv "${_venvw_left##*/}"
    fi
    unset _venvw_left
}

# Leaves the environment that is active, if one is.
_venvw_leave() {
    if [ -n "${ZSH_VERSION-}" ]; then
        eval '(( $+functions[deactivate] ))' || return 0
    else
        declare -F deactivate >/dev/null || return 0
    fi
    deactivate
    unset -f deactivate >/dev/null 2>&1 || :
}

# _venvw_activate NAME CD: CD is 1 or 0, whether to go to the environment's project.
_venvw_activate() {
    _venvw_leave
    virtualenvwrapper_run_hook pre_activate "$1" || return
    . "$WORKON_HOME/$1/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate" || return
    _venvw_wrap_deactivate
    VIRTUALENVWRAPPER_PROJECT_CD="$2"
    export VIRTUALENVWRAPPER_PROJECT_CD
    virtualenvwrapper_run_hook post_activate
    unset VIRTUALENVWRAPPER_PROJECT_CD
}

# ---- making, copying and removing ----

# What every command that makes something begins with.
_venvw_prepare() {
    virtualenvwrapper_verify_workon_home || return
    [ -e "$VIRTUALENVWRAPPER_HOOK_DIR/postmkproject" ] || _venvw_make_global_hooks
}

# Installs into the active environment, as `pip install` does: through venvfs where it is one of venvfs.
_venvw_install() {
    if _venvw_is_venvfs "$VIRTUAL_ENV"; then
        command "$_venvw_program" install -n "$VIRTUAL_ENV" "$@"
    else
        "$VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR/python" -m pip install "$@"
    fi
}

# Runs the virtualenv program in WORKON_HOME with the default arguments and these.
_venvw_virtualenv() {
    local -a defaults
    defaults=()
    if [ -n "${VIRTUALENVWRAPPER_VIRTUALENV_ARGS-}" ]; then
        if [ -n "${ZSH_VERSION-}" ]; then
            eval 'defaults=(${=VIRTUALENVWRAPPER_VIRTUALENV_ARGS})'
        else
            IFS=$' \t\n' read -r -d '' -a defaults <<<"$VIRTUALENVWRAPPER_VIRTUALENV_ARGS" || :
        fi
        set -- "${defaults[@]}" "$@"
    fi
    (virtualenvwrapper_cd -- "$WORKON_HOME" && "$VIRTUALENVWRAPPER_VIRTUALENV" "$@")
}

_venvw_mkvirtualenv_help() {
    printf '%s\n' \
        'Usage: mkvirtualenv [-a PROJECT] [-i PACKAGE]... [-r FILE] [-p PYTHON] [virtualenv options] NAME' '' \
        'Makes the environment NAME in WORKON_HOME and activates it.' '' \
        '  -a PROJECT         the folder that workon goes to' \
        '  -i PACKAGE         install this; repeatable' \
        '  -r FILE            install what this requirements file names' \
        '  -p, --python PY    the interpreter' \
        '  -h, --help         show this text' '' \
        "All else are options of virtualenv: see '$VIRTUALENVWRAPPER_VIRTUALENV --help'."
}

mkvirtualenv() {
    local _venvw_project='' _venvw_file='' _venvw_python='' _venvw_word='' _venvw_new=''
    local -a _venvw_words _venvw_packages
    _venvw_words=() _venvw_packages=()
    while [ $# -gt 0 ]; do
        case "$1" in
        -a | -i | -r | -p | --python)
            if [ $# -lt 2 ]; then
                _venvw_error "ERROR: mkvirtualenv: $1 needs an argument"
                return 2
            fi
            case "$1" in
            -a) _venvw_project="$2" ;;
            -i) _venvw_packages+=("$2") ;;
            -r) _venvw_file="$2" ;;
            *) _venvw_python="$2" ;;
            esac
            shift
            ;;
        --python=*) _venvw_python="${1#--python=}" ;;
        -h | --help)
            _venvw_mkvirtualenv_help
            return
            ;;
        *)
            _venvw_words+=("$1")
            case "$1" in
            -*) ;;
            *) _venvw_new="${1%/}" ;;
            esac
            ;;
        esac
        shift
    done
    if [ -n "$_venvw_project" ]; then
        _venvw_folder "$_venvw_project" || {
            _venvw_error "ERROR: Cannot associate project with $_venvw_project, it is not a directory"
            return 1
        }
        _venvw_project="$_venvw_reply"
    fi
    _venvw_prepare && virtualenvwrapper_verify_virtualenv || return 1
    [ -z "$_venvw_python" ] || _venvw_words=("--python=$_venvw_python" "${_venvw_words[@]}")
    _venvw_virtualenv "${_venvw_words[@]}" || return
    # The program may have been asked for its help or version.
    [ -n "$_venvw_new" ] && [ -d "$WORKON_HOME/$_venvw_new" ] || return 0
    [ -z "$_venvw_project" ] || setvirtualenvproject "$WORKON_HOME/$_venvw_new" "$_venvw_project" || return
    virtualenvwrapper_run_hook pre_mkvirtualenv "$_venvw_new"
    workon "$_venvw_new" || return
    [ -z "$_venvw_file" ] || _venvw_install -r "$_venvw_file" || return
    [ "${#_venvw_packages[@]}" = 0 ] || _venvw_install "${_venvw_packages[@]}" || return
    virtualenvwrapper_run_hook post_mkvirtualenv
}

mktmpenv() {
    local _venvw_go="${VIRTUALENVWRAPPER_WORKON_CD:-1}" _venvw_word=''
    local -a _venvw_words
    _venvw_words=()
    for _venvw_word in "$@"; do
        case "$_venvw_word" in
        -h | --help)
            printf '%s\n' 'Usage: mktmpenv [-c|--cd] [-n|--no-cd] [mkvirtualenv options]' '' \
                'Makes an environment that deactivate removes, and goes to its folder.' '' \
                '  -c, --cd       go there, whatever VIRTUALENVWRAPPER_WORKON_CD says' \
                '  -n, --no-cd    stay here'
            return
            ;;
        -c | --cd) _venvw_go=1 ;;
        -n | --no-cd) _venvw_go=0 ;;
        *) _venvw_words+=("$_venvw_word") ;;
        esac
    done
    IFS= read -r _venvw_word </proc/sys/kernel/random/uuid 2>/dev/null || _venvw_word="$$-$RANDOM-$RANDOM"
    _venvw_word="tmp-${_venvw_word%-*-*}"
    mkvirtualenv "${_venvw_words[@]}" "$_venvw_word" || return
    [ "${VIRTUAL_ENV##*/}" = "$_venvw_word" ] || return
    [ "$_venvw_go" != 1 ] || cdvirtualenv
    printf '%s\n' 'This is a temporary environment. It will be deleted when you run deactivate.' |
        command tee "$VIRTUAL_ENV/README.tmpenv"
}

rmvirtualenv() {
    local _venvw_word='' _venvw_place='' _venvw_result=0
    case "${1-}" in
    '')
        _venvw_error 'Please specify an environment.' 'Usage: rmvirtualenv NAME...'
        return 1
        ;;
    -h | --help)
        printf '%s\n' 'Usage: rmvirtualenv NAME...' '' 'Removes environments of WORKON_HOME.'
        return
        ;;
    esac
    virtualenvwrapper_verify_workon_home || return 1
    for _venvw_word in "$@"; do
        _venvw_word="${_venvw_word%/}"
        _venvw_place="$WORKON_HOME/$_venvw_word"
        printf 'Removing %s...\n' "$_venvw_word"
        case "$_venvw_word" in
        '' | . | .. | */*)
            _venvw_error "ERROR: '$_venvw_word' is not the name of an environment."
            return 1
            ;;
        esac
        if [ -n "${VIRTUAL_ENV-}" ] && [ "$VIRTUAL_ENV" -ef "$_venvw_place" ]; then
            _venvw_error "ERROR: You cannot remove the active environment ('$_venvw_word')." \
                "Either switch to another environment, or run 'deactivate'."
            return 1
        fi
        case "$PWD/" in
        "$_venvw_place"/*) virtualenvwrapper_cd -- "$WORKON_HOME" ;;
        esac
        virtualenvwrapper_run_hook pre_rmvirtualenv "$_venvw_place"
        _venvw_remove "$_venvw_place" || {
            _venvw_result=$?
            continue
        }
        virtualenvwrapper_run_hook post_rmvirtualenv "$_venvw_place"
    done
    return $_venvw_result
}

# An environment of venvfs is removed by venvfs when this is its address, and not one more link to it.
_venvw_remove() {
    [ -e "$1" ] || [ -h "$1" ] || return 0
    if _venvw_is_venvfs "$1"; then
        _venvw_address "$1"
        if [ "$_venvw_reply" = "$1" ] || { [ "$_venvw_reply" -ef "$1" ] && [ ! -h "$1" ]; }; then
            # As upstream: also one that a process uses.
            command "$_venvw_program" remove --force --quiet -- "$1" || return
        fi
    fi
    # What lies in a folder beside its links (hooks, .project) goes, too.
    [ -e "$1" ] || [ -h "$1" ] || return 0
    command rm -rf -- "$1"
}

# The path that an environment has in its activation script.
_venvw_address() {
    local line=''
    _venvw_reply=
    while IFS= read -r line; do
        case "$line" in
        VIRTUAL_ENV=*)
            line="${line#VIRTUAL_ENV=}"
            line="${line#[\'\"]}"
            _venvw_reply="${line%[\'\"]}"
            return 0
            ;;
        esac
    done <"$1/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate"
}

cpvirtualenv() {
    local _venvw_source="${1-}" _venvw_target="${2-}"
    case "$_venvw_source" in
    -h | --help)
        printf '%s\n' 'Usage: cpvirtualenv SOURCE [NAME]' '' \
            'Copies an environment, of WORKON_HOME or any folder, to NAME in WORKON_HOME, and activates' \
            'the copy. NAME defaults to the name of a SOURCE elsewhere.'
        return
        ;;
    esac
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_virtualenv_clone || return 1
    _venvw_source="${_venvw_source%/}"
    if [ -n "$_venvw_source" ] && [ -e "$WORKON_HOME/$_venvw_source/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate" ]; then
        : "${_venvw_target:=$_venvw_source}"
        _venvw_source="$WORKON_HOME/$_venvw_source"
    else
        _venvw_expand "$_venvw_source"
        if [ -z "$_venvw_source" ] || [ ! -e "$_venvw_reply/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate" ] ||
            ! _venvw_folder "$_venvw_reply"; then
            printf '%s\n' 'Please provide a valid virtualenv to copy.'
            return 1
        fi
        _venvw_source="$_venvw_reply"
        : "${_venvw_target:=${_venvw_source##*/}}"
    fi
    _venvw_target="${_venvw_target%/}"
    if [ -e "$WORKON_HOME/$_venvw_target" ]; then
        printf '%s\n' "$_venvw_target virtualenv already exists."
        return 1
    fi
    [ -e "$VIRTUALENVWRAPPER_HOOK_DIR/postmkproject" ] || _venvw_make_global_hooks
    printf 'Copying %s as %s...\n' "${_venvw_source##*/}" "$_venvw_target"
    "$VIRTUALENVWRAPPER_VIRTUALENV_CLONE" "$_venvw_source" "$WORKON_HOME/$_venvw_target" || return
    virtualenvwrapper_verify_workon_environment "$_venvw_target" || return
    virtualenvwrapper_run_hook pre_cpvirtualenv "$_venvw_source" "$_venvw_target"
    virtualenvwrapper_run_hook pre_mkvirtualenv "$_venvw_target"
    workon "$_venvw_target" || return
    virtualenvwrapper_run_hook post_mkvirtualenv
    virtualenvwrapper_run_hook post_cpvirtualenv
}

# ---- listing and switching ----

# Calls a function with each environment's name.
_venvw_each() {
    local _venvw_script=''
    [ -z "${ZSH_VERSION-}" ] || setopt localoptions nullglob noksharrays
    for _venvw_script in "$WORKON_HOME"/*/"$VIRTUALENVWRAPPER_ENV_BIN_DIR"/activate; do
        [ -e "$_venvw_script" ] || continue
        _venvw_script="${_venvw_script%/*/activate}"
        "$@" "${_venvw_script##*/}"
    done
}

virtualenvwrapper_show_workon_options() {
    virtualenvwrapper_verify_workon_home || return 1
    _venvw_each printf '%s\n'
}

_venvw_show() {
    printf '%s\n' "$1"
    printf '%*s\n' "${#1}" '' | command tr ' ' '='
    virtualenvwrapper_run_hook get_env_details "$1"
    printf '\n'
}

lsvirtualenv() {
    local _venvw_long=1 _venvw_word=''
    for _venvw_word in "$@"; do
        case "$_venvw_word" in
        -b) _venvw_long=0 ;;
        -l) _venvw_long=1 ;;
        -h | --help)
            printf '%s\n' 'Usage: lsvirtualenv [-b] [-l]' '' '  -b  names only' \
                '  -l  also what get_env_details prints (default)'
            return
            ;;
        *)
            _venvw_error "ERROR: lsvirtualenv takes -b, -l and -h, not '$_venvw_word'"
            return 2
            ;;
        esac
    done
    if [ $_venvw_long = 0 ]; then
        virtualenvwrapper_show_workon_options
    else
        virtualenvwrapper_verify_workon_home && _venvw_each _venvw_show
    fi
}

showvirtualenv() {
    case "${1-}" in
    -h | --help)
        printf '%s\n' 'Usage: showvirtualenv [NAME]' '' 'Shows the details of an environment, by default the active one.'
        return
        ;;
    '')
        virtualenvwrapper_verify_active_environment || return
        set -- "${VIRTUAL_ENV##*/}"
        ;;
    esac
    virtualenvwrapper_verify_workon_environment "$1" || return 1
    _venvw_show "$_venvw_name"
}

workon() {
    local _venvw_go="${VIRTUALENVWRAPPER_WORKON_CD:-1}" _venvw_to='' _venvw_name=''
    while [ $# -gt 0 ]; do
        case "$1" in
        -n | --no-cd) _venvw_go=0 ;;
        -c | --cd) _venvw_go=1 ;;
        -h | --help)
            printf '%s\n' 'Usage: workon [-c|--cd] [-n|--no-cd] [NAME|.]' '' \
                'Activates the environment NAME and leaves the one that is active; without a name,' \
                'lists them. "." is the name of the current folder.' '' \
                "  -c, --cd       go to the environment's project, whatever VIRTUALENVWRAPPER_WORKON_CD says" \
                '  -n, --no-cd    stay here'
            return
            ;;
        --) ;;
        *) _venvw_to="$1" ;;
        esac
        shift
    done
    virtualenvwrapper_verify_workon_home || return 1
    case "$_venvw_to" in
    '')
        virtualenvwrapper_show_workon_options
        return
        ;;
    .) _venvw_to="${PWD##*/}" ;;
    esac
    virtualenvwrapper_verify_workon_environment "$_venvw_to" || return 1
    _venvw_activate "$_venvw_name" "$_venvw_go"
}

_venvw_in_env() {
    local _venvw_env="$1"
    shift
    printf '%s\n' "$_venvw_env"
    printf '%*s\n' "${#_venvw_env}" '' | command tr ' ' '='
    . "$WORKON_HOME/$_venvw_env/$VIRTUALENVWRAPPER_ENV_BIN_DIR/activate"
    virtualenvwrapper_cd -- "$VIRTUAL_ENV" && "$@"
}

# The name comes last from _venvw_each, and the command has any number of words.
_venvw_in_each() {
    local -a _venvw_words
    _venvw_words=("$@")
    while [ $# -gt 1 ]; do shift; done
    if [ -n "${ZSH_VERSION-}" ]; then
        eval '_venvw_words[-1]=()'
    else
        unset '_venvw_words[${#_venvw_words[@]}-1]'
    fi
    (_venvw_in_env "$1" "${_venvw_words[@]}")
    printf '\n'
}

allvirtualenv() {
    case "${1-}" in
    '' | -h | --help)
        printf '%s\n' 'Usage: allvirtualenv COMMAND [ARGUMENT]...' '' \
            'Runs a command in each environment, with that one active (no hooks run) and its folder current.'
        [ -n "${1-}" ]
        return
        ;;
    esac
    virtualenvwrapper_verify_workon_home || return 1
    _venvw_each _venvw_in_each "$@"
}

# ---- places ----

cdvirtualenv() {
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_active_environment || return 1
    virtualenvwrapper_cd -- "$VIRTUAL_ENV${1:+/$1}"
}

cdsitepackages() {
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_active_environment || return 1
    _venvw_site_packages && virtualenvwrapper_cd -- "$_venvw_reply${1:+/$1}"
}

lssitepackages() {
    local _venvw_folder=''
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_active_environment || return 1
    _venvw_site_packages || return
    _venvw_folder="$_venvw_reply"
    command ls "$@" -- "$_venvw_folder"
    if [ -f "$_venvw_folder/_virtualenv_path_extensions.pth" ]; then
        printf '\n_virtualenv_path_extensions.pth:\n'
        command cat -- "$_venvw_folder/_virtualenv_path_extensions.pth"
    fi
}

cdproject() {
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_active_environment || return 1
    if ! _venvw_project_of "$VIRTUAL_ENV"; then
        _venvw_error "No project set in $VIRTUAL_ENV/$VIRTUALENVWRAPPER_PROJECT_FILENAME"
        return 1
    fi
    if [ ! -d "$_venvw_reply" ]; then
        _venvw_error "Project directory $_venvw_reply does not exist"
        return 1
    fi
    virtualenvwrapper_cd -- "$_venvw_reply"
}

# ---- what an environment sees ----

add2virtualenv() {
    local _venvw_file='' _venvw_line='' _venvw_word='' _venvw_delete=0 _venvw_paths='' _venvw_newline='
'
    case "${1-}" in
    -h | --help)
        printf '%s\n' 'Usage: add2virtualenv [-d] FOLDER...' '' \
            'Puts folders on the sys.path of the active environment; -d takes them off again.'
        return
        ;;
    esac
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_active_environment &&
        _venvw_site_packages || return 1
    _venvw_file="$_venvw_reply/_virtualenv_path_extensions.pth"
    if [ "${1-}" = -d ]; then
        _venvw_delete=1
        shift
    fi
    if [ -f "$_venvw_file" ]; then
        while IFS= read -r _venvw_line || [ -n "$_venvw_line" ]; do
            case "$_venvw_line" in
            '' | import\ *) ;;
            *) _venvw_paths="$_venvw_paths$_venvw_line$_venvw_newline" ;;
            esac
        done <"$_venvw_file"
    fi
    if [ $# = 0 ]; then
        printf '%s\n' 'Usage: add2virtualenv [-d] FOLDER...' '' 'Existing paths:'
        printf '%s' "$_venvw_paths"
        return 1
    fi
    for _venvw_word in "$@"; do
        _venvw_folder "$_venvw_word" || case "$_venvw_word" in
        /*) _venvw_reply="$_venvw_word" ;;
        *) _venvw_reply="$PWD/$_venvw_word" ;;
        esac
        _venvw_without "$_venvw_paths" "$_venvw_reply"
        _venvw_paths="$_venvw_rest"
        [ $_venvw_delete = 1 ] || _venvw_paths="$_venvw_reply$_venvw_newline$_venvw_paths"
    done
    unset _venvw_rest
    # A .pth file only appends; its two lines of code move what lies between them to the front.
    {
        printf '%s\n' 'import sys; sys.__venv_extensions = len(sys.path)'
        printf '%s' "$_venvw_paths"
        printf '%s\n' "import sys; at = getattr(sys, '__egginsert', 0); new = sys.path[sys.__venv_extensions:]; del sys.path[sys.__venv_extensions:]; sys.path[at:at] = new; sys.__egginsert = at + len(new); del sys.__venv_extensions, at, new"
    } >|"$_venvw_file.tmp" && command mv -f -- "$_venvw_file.tmp" "$_venvw_file"
}

# _venvw_without LINES LINE: the other lines, in _venvw_rest.
_venvw_without() {
    local line='' newline='
'
    _venvw_rest=
    while IFS= read -r line; do
        [ -z "$line" ] || [ "$line" = "$2" ] || _venvw_rest="$_venvw_rest$line$newline"
    done <<EOT
$1
EOT
    return 0
}

toggleglobalsitepackages() {
    local _venvw_quiet=0 _venvw_line='' _venvw_text='' _venvw_now='' _venvw_newline='
'
    case "${1-}" in
    -q) _venvw_quiet=1 ;;
    -h | --help)
        printf '%s\n' 'Usage: toggleglobalsitepackages [-q]' '' \
            "Lets the active environment see its interpreter's own packages, or no longer."
        return
        ;;
    esac
    virtualenvwrapper_verify_active_environment || return 1
    if [ ! -f "$VIRTUAL_ENV/pyvenv.cfg" ]; then
        _venvw_error "ERROR: $VIRTUAL_ENV has no pyvenv.cfg, which says whether it sees them"
        return 1
    fi
    while IFS= read -r _venvw_line || [ -n "$_venvw_line" ]; do
        case "$_venvw_line" in
        include-system-site-packages*=*[Tt]rue*)
            _venvw_now=Disabled
            _venvw_line='include-system-site-packages = false'
            ;;
        include-system-site-packages*=*)
            _venvw_now=Enabled
            _venvw_line='include-system-site-packages = true'
            ;;
        esac
        _venvw_text="$_venvw_text$_venvw_line$_venvw_newline"
    done <"$VIRTUAL_ENV/pyvenv.cfg"
    if [ -z "$_venvw_now" ]; then
        _venvw_now=Enabled
        _venvw_text="${_venvw_text}include-system-site-packages = true$_venvw_newline"
    fi
    printf '%s' "$_venvw_text" >|"$VIRTUAL_ENV/pyvenv.cfg.tmp" &&
        command mv -f -- "$VIRTUAL_ENV/pyvenv.cfg.tmp" "$VIRTUAL_ENV/pyvenv.cfg" || return
    [ $_venvw_quiet = 1 ] || printf '%s global site-packages\n' "$_venvw_now"
}

wipeenv() {
    local _venvw_line=''
    local -a _venvw_names
    _venvw_names=()
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_active_environment || return 1
    while IFS= read -r _venvw_line; do
        _venvw_line="${_venvw_line%%[ =@<>]*}"
        case "$_venvw_line" in
        '' | pip | setuptools | wheel | distribute) ;;
        *) _venvw_names+=("$_venvw_line") ;;
        esac
    done <<EOT
$("$VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR/python" -m pip --disable-pip-version-check list --format=freeze)
EOT
    if [ "${#_venvw_names[@]}" = 0 ]; then
        printf '%s\n' 'Nothing to remove.'
        return
    fi
    printf 'Uninstalling packages:\n'
    printf '  %s\n' "${_venvw_names[@]}"
    # venvfs does not know of what pip made editable from inside. By its name in the hub, since pip
    # removes nothing that the links of a folder lead to.
    _venvw_line="$(virtualenvwrapper_cd -- "$VIRTUAL_ENV/$VIRTUALENVWRAPPER_ENV_BIN_DIR" && pwd -P)" || return
    "$_venvw_line/python" -m pip uninstall -y "${_venvw_names[@]}"
}

# ---- projects ----

setvirtualenvproject() {
    local _venvw_env="${1-}" _venvw_folder="${2-$PWD}"
    case "$_venvw_env" in
    -h | --help)
        printf '%s\n' 'Usage: setvirtualenvproject [ENVIRONMENT [PROJECT]]' '' \
            'Binds an environment, a name or a folder, to the project folder that workon goes to.' \
            'By default: the active environment and the current folder.'
        return
        ;;
    '')
        virtualenvwrapper_verify_active_environment || return 1
        _venvw_env="$VIRTUAL_ENV"
        ;;
    */*) ;;
    *) _venvw_env="$WORKON_HOME/$_venvw_env" ;;
    esac
    if [ ! -d "$_venvw_env/" ]; then
        _venvw_error "ERROR: Environment '$_venvw_env' does not exist."
        return 1
    fi
    _venvw_folder "$_venvw_folder" || {
        _venvw_error "ERROR: Cannot associate virtualenv with \"$_venvw_folder\", it is not a directory"
        return 1
    }
    printf 'Setting project for %s to %s\n' "${_venvw_env##*/}" "$_venvw_reply"
    printf '%s\n' "$_venvw_reply" >|"$_venvw_env/$VIRTUALENVWRAPPER_PROJECT_FILENAME"
}

_venvw_mkproject_help() {
    printf '%s\n' 'Usage: mkproject [-f|--force] [-t TEMPLATE]... [mkvirtualenv options] NAME' '' \
        'Makes the environment NAME and the project folder NAME in PROJECT_HOME, and goes there.' '' \
        '  -f, --force    also when the project folder exists' \
        '  -t TEMPLATE    apply this template to the folder; repeatable' \
        '  -h, --help     show this text' '' 'Available templates:' ''
    _venvw_has_plugins project.template && _venvw_plugin_helper templates || printf '%s\n' '  none'
}

mkproject() {
    local _venvw_force=0 _venvw_word='' _venvw_name_of='' _venvw_at=''
    local -a _venvw_rest_words _venvw_templates
    _venvw_rest_words=() _venvw_templates=()
    while [ $# -gt 0 ]; do
        case "$1" in
        -h | --help)
            _venvw_mkproject_help
            return
            ;;
        -f | --force) _venvw_force=1 ;;
        -t)
            if [ $# -lt 2 ]; then
                _venvw_error 'ERROR: mkproject: -t needs a template'
                return 2
            fi
            _venvw_templates+=("$2")
            shift
            ;;
        *)
            _venvw_rest_words+=("$1")
            _venvw_name_of="${1%/}"
            ;;
        esac
        shift
    done
    case "$_venvw_name_of" in
    '' | -* | */*)
        _venvw_error 'ERROR: mkproject: the name of the project comes last' \
            'Usage: mkproject [-f|--force] [-t TEMPLATE]... [mkvirtualenv options] NAME'
        return 2
        ;;
    esac
    virtualenvwrapper_verify_workon_home && virtualenvwrapper_verify_project_home || return 1
    _venvw_at="$PROJECT_HOME/$_venvw_name_of"
    if [ $_venvw_force = 0 ] && [ -d "$_venvw_at" ]; then
        _venvw_error "ERROR: Project $_venvw_name_of already exists."
        return 1
    fi
    mkvirtualenv "${_venvw_rest_words[@]}" || return
    virtualenvwrapper_cd -- "$PROJECT_HOME" || return
    virtualenvwrapper_run_hook project.pre_mkproject "$_venvw_name_of"
    printf 'Creating %s\n' "$_venvw_at"
    command mkdir -p -- "$_venvw_at" || return
    setvirtualenvproject "$VIRTUAL_ENV" "$_venvw_at" || return
    virtualenvwrapper_cd -- "$_venvw_at" || return
    for _venvw_word in "${_venvw_templates[@]}"; do
        printf '\nApplying template %s\n' "$_venvw_word"
        _venvw_plugin_helper template "$_venvw_word" "$_venvw_name_of" "$_venvw_at" || return
    done
    virtualenvwrapper_run_hook project.post_mkproject
}

# ---- about ----

_virtualenvwrapper_version() {
    command "$_venvw_program" --version | { read -r _ _venvw_reply && printf '%s\n' "$_venvw_reply"; }
}

virtualenvwrapper() {
    printf '%s\n' 'The commands of virtualenvwrapper, on venvfs.' ''
    printf 'Version: %s\n' "$(_virtualenvwrapper_version)"
    printf '\nEnvironments are in WORKON_HOME: %s\n' "$WORKON_HOME"
    printf 'Hooks are in VIRTUALENVWRAPPER_HOOK_DIR: %s\n\nCommands:\n\n' "$VIRTUALENVWRAPPER_HOOK_DIR"
    printf '  %-25s %s\n' \
        mkvirtualenv 'make an environment and activate it' \
        mktmpenv 'make one that deactivate removes' \
        cpvirtualenv 'copy an environment' \
        rmvirtualenv 'remove environments' \
        wipeenv 'uninstall all packages of the active one' \
        workon 'list environments or switch to one' \
        deactivate 'leave the active one' \
        lsvirtualenv 'list environments with their details' \
        showvirtualenv 'show the details of one' \
        allvirtualenv 'run a command in each' \
        cdvirtualenv 'go to the folder of the active one' \
        cdsitepackages 'go to its site-packages' \
        lssitepackages 'list its site-packages' \
        add2virtualenv 'put folders on its sys.path' \
        toggleglobalsitepackages "let it see its interpreter's packages, or no longer" \
        mkproject 'make an environment and a project folder' \
        setvirtualenvproject 'bind an environment to a project folder' \
        cdproject 'go to the project folder of the active one' \
        virtualenvwrapper 'show this text'
    printf '\nEach takes --help.\n'
}

# ---- completion ----

_venvw_complete_bash() {
    local folder='' word="${COMP_WORDS[COMP_CWORD]}" names=''
    COMPREPLY=()
    case "$1" in
    cdvirtualenv) folder="${VIRTUAL_ENV-}" ;;
    cdsitepackages) _venvw_site_packages 2>/dev/null && folder="$_venvw_reply" ;;
    *)
        names="$(_venvw_each printf '%s\n')"
        while IFS= read -r names; do
            [ -n "$names" ] || continue
            case "$names" in
            "$word"* | "${word//\\/}"*) COMPREPLY+=("$(printf '%q' "$names")") ;;
            esac
        done <<<"$names"
        return 0
        ;;
    esac
    [ -n "$folder" ] || return 0
    while IFS= read -r names; do
        [ -z "$names" ] || COMPREPLY+=("${names#"$folder"/}/")
    done <<<"$(compgen -d -- "$folder/$word")"
    compopt -o nospace 2>/dev/null
}

_venvw_complete_zsh() {
    case "$1" in
    cdvirtualenv)
        [ -z "${VIRTUAL_ENV-}" ] || _path_files -/ -W "$VIRTUAL_ENV"
        ;;
    cdsitepackages)
        [ -z "${VIRTUAL_ENV-}" ] || { _venvw_site_packages && _path_files -/ -W "$_venvw_reply"; }
        ;;
    *) eval 'compadd -- "${(@f)$(_venvw_each printf "%s\n")}"' ;;
    esac
}

_venvw_names_zsh() {
    eval 'reply=("${(@f)$(_venvw_each printf "%s\n")}")'
}

_venvw_set_up_completion() {
    if [ -n "${ZSH_VERSION-}" ]; then
        if eval '(( $+functions[compdef] ))'; then
            eval '
                _venvw_complete() { _venvw_complete_zsh "$service"; }
                compdef _venvw_complete workon rmvirtualenv cpvirtualenv showvirtualenv setvirtualenvproject \
                    cdvirtualenv cdsitepackages'
        else
            compctl -K _venvw_names_zsh workon rmvirtualenv cpvirtualenv showvirtualenv setvirtualenvproject
        fi
    elif [ -n "${BASH_VERSION-}" ]; then
        complete -F _venvw_complete_bash workon rmvirtualenv cpvirtualenv showvirtualenv setvirtualenvproject
        complete -F _venvw_complete_bash -o nospace cdvirtualenv cdsitepackages
    fi
}

# ---- loading ----

# The first program of a name on PATH, without a fork.
_venvw_find_program() {
    local rest="$PATH:" folder=''
    while [ -n "$rest" ]; do
        folder="${rest%%:*}"
        rest="${rest#*:}"
        _venvw_reply="${folder:-.}/$1"
        [ ! -f "$_venvw_reply" ] || [ ! -x "$_venvw_reply" ] || return 0
    done
    _venvw_reply=
    return 1
}

_venvw_set_defaults() {
    _venvw_hub="${_venvw_hub:-${VENVFS_HUB:-$HOME/.venvfs}}"
    : "${VIRTUALENVWRAPPER_ENV_BIN_DIR:=bin}" "${VIRTUALENVWRAPPER_PROJECT_FILENAME:=.project}" \
        "${VIRTUALENVWRAPPER_WORKON_CD:=1}" "${VIRTUALENVWRAPPER_VIRTUALENV:=virtualenvwrapper_virtualenv}" \
        "${VIRTUALENVWRAPPER_VIRTUALENV_CLONE:=virtualenvwrapper_clone}"
    if [ -z "${VIRTUALENVWRAPPER_PYTHON-}" ]; then
        _venvw_find_program python3 || _venvw_find_program python || :
        VIRTUALENVWRAPPER_PYTHON="$_venvw_reply"
    fi
    if [ -z "${VIRTUALENVWRAPPER_HOOK_DIR-}" ]; then
        if _venvw_workon_home_is_hub; then # its root takes environments and no files
            VIRTUALENVWRAPPER_HOOK_DIR="${XDG_CONFIG_HOME:-$HOME/.config}/venvfs/hooks"
        else
            VIRTUALENVWRAPPER_HOOK_DIR="$WORKON_HOME"
        fi
        export VIRTUALENVWRAPPER_HOOK_DIR
    fi
}

# From shell-init, which every shell of a user runs, nothing is written until a command needs it.
virtualenvwrapper_initialize() {
    if [ -z "${WORKON_HOME-}" ] && [ -n "${_venvw_shell_init-}" ]; then
        WORKON_HOME="$_venvw_hub"
    fi
    _venvw_workon_home
    export WORKON_HOME="$_venvw_reply"
    _venvw_set_defaults
    if [ -z "${_venvw_shell_init-}" ]; then
        virtualenvwrapper_verify_workon_home -q && _venvw_make_log && _venvw_make_global_hooks || {
            _venvw_error "virtualenvwrapper.sh: WORKON_HOME, the folder of hooks or the log cannot be made"
            return 1
        }
    fi
    virtualenvwrapper_run_hook initialize || {
        _venvw_error 'virtualenvwrapper.sh: There was a problem running the initialization hooks.'
        return 1
    }
    _venvw_set_up_completion
}

if [ -z "${_venvw_shell_init-}" ]; then
    if [ -n "${BASH_VERSION-}" ]; then
        VIRTUALENVWRAPPER_SCRIPT="${BASH_SOURCE[0]}"
    else
        eval 'VIRTUALENVWRAPPER_SCRIPT="${(%):-%x}"'
    fi
    case "$VIRTUALENVWRAPPER_SCRIPT" in
    /*) ;;
    *) VIRTUALENVWRAPPER_SCRIPT="$PWD/$VIRTUALENVWRAPPER_SCRIPT" ;;
    esac
    export VIRTUALENVWRAPPER_SCRIPT
    _venvw_program=venvfs
    _venvw_share="${VIRTUALENVWRAPPER_SCRIPT%/*}"
    _venvw_hub=
fi
virtualenvwrapper_initialize
