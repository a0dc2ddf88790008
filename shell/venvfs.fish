# Completion of venvfs for fish. Everything it offers comes from the program itself.
function __venvfs_words
    commandline -opc
end

function __venvfs_needs_command
    test (count (__venvfs_words)) -eq 1
end

function __venvfs_needs_subcommand
    set -l words (__venvfs_words)
    test (count $words) -eq 2; and contains -- $words[2] store python pyenv tool
end

function __venvfs_subcommands
    set -l words (__venvfs_words)
    venvfs $words[2] --list-commands 2>/dev/null
end

function __venvfs_options
    set -l words (__venvfs_words)
    set -l path $words[2]
    contains -- $words[2] store python pyenv tool; and set path $words[2] $words[3]
    venvfs $path --list-options 2>/dev/null
end

function __venvfs_wants_env
    set -l words (__venvfs_words)
    contains -- $words[-1] -n --name
    or contains -- $words[2] show history diff clone rename export remove mount umount
end

function __venvfs_versions
    set -l words (__venvfs_words)
    test (count $words) -ge 3; and venvfs pyenv completions $words[3] 2>/dev/null | string match -v -- '-*'
end

function __venvfs_is
    set -l words (__venvfs_words)
    test (count $words) -ge 2; and test "$words[2]" = $argv[1]
end

complete -c venvfs -n __venvfs_needs_command -f -a '(venvfs --list-commands 2>/dev/null)'
complete -c venvfs -n __venvfs_needs_subcommand -f -a '(__venvfs_subcommands)'
complete -c venvfs -n 'not __venvfs_needs_command; and string match -q -- "-*" (commandline -ct)' -a '(__venvfs_options)'
complete -c venvfs -n 'not __venvfs_needs_command; and __venvfs_wants_env' -a '(venvfs list --names 2>/dev/null)'
complete -c venvfs -n '__venvfs_is python; or __venvfs_is pyenv' -f -a '(__venvfs_versions)'
complete -c venvfs -n '__venvfs_is help' -f -a '(venvfs --list-commands 2>/dev/null)'
complete -c venvfs -n '__venvfs_is shell-init' -f -a 'bash zsh fish'
