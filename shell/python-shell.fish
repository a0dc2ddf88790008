# `venvfs python shell` selects for this shell, whose variables no program can change.
function venvfs
    if test "$argv[1]:$argv[2]" = python:shell; and test "$argv[3]" != --help
        set -e argv[1..2]
        PYENV_SHELL=fish command venvfs python sh-shell $argv | source
    else
        command venvfs $argv
    end
end
