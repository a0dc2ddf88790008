# The commands of virtualenvwrapper. bash runs them (virtualenvwrapper.sh in $_venvw_share), hooks
# included, and says which environment is active behind them and in which folder; fish follows.
function _venvw_run
    set -l state (mktemp) || return
    set -lx _venvw_shell_init 1
    set -lx _venvw_share $_venvw_share
    bash -c '
        _venvw_program=venvfs
        _venvw_hub="${VENVFS_HUB:-$HOME/.venvfs}"
        _venvw_active="${VIRTUAL_ENV-}"
        [ -z "$_venvw_active" ] || PATH="${PATH#"$_venvw_active/bin:"}" # else its Python is asked for plugins
        . "$_venvw_share/virtualenvwrapper.sh" || exit
        if [ -n "$_venvw_active" ] && [ -r "$_venvw_active/bin/activate" ]; then
            . "$_venvw_active/bin/activate"
            _venvw_wrap_deactivate
        fi
        "$@"
        _venvw_code=$?
        printf "%s\n%s\n" "${VIRTUAL_ENV-}" "$PWD" >&3
        exit $_venvw_code' venvfs $argv 3>$state
    set -l code $status
    set -l said
    while read -l line
        set -a said $line
    end <$state
    command rm -f -- $state
    test (count $said) = 2 || return $code
    if test "$said[1]" != "$VIRTUAL_ENV"
        functions -q _venvw_deactivate_env && _venvw_plain_deactivate
        if test -n "$said[1]"
            source "$said[1]/bin/activate.fish"
            functions -c deactivate _venvw_deactivate_env
            function deactivate
                if set -q argv[1]
                    _venvw_plain_deactivate $argv
                else
                    _venvw_run deactivate
                end
            end
        end
    end
    test "$said[2]" = "$PWD" || cd $said[2]
    return $code
end

function _venvw_plain_deactivate
    _venvw_deactivate_env $argv
    functions -e _venvw_deactivate_env deactivate
end

if not functions -q workon
    for name in mkvirtualenv mktmpenv cpvirtualenv rmvirtualenv wipeenv workon lsvirtualenv showvirtualenv \
            allvirtualenv cdvirtualenv cdsitepackages lssitepackages add2virtualenv \
            toggleglobalsitepackages mkproject setvirtualenvproject cdproject virtualenvwrapper
        function $name -V name
            _venvw_run $name $argv
        end
    end
    for name in workon rmvirtualenv cpvirtualenv showvirtualenv setvirtualenvproject
        complete -c $name -f -a '(_venvw_run virtualenvwrapper_show_workon_options)'
    end
end
