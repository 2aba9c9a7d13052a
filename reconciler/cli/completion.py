"""`standfast completion bash|zsh` → a script that completes commands, options and services."""

from typing import Any

from reconciler.cli import client, output

HELP = "print a completion script: source <(standfast completion bash)"
FILES = ("apply", "validate", "lint", "convert")
NAMELESS = ("run", "shell", "doctor", "completion", "explain", "prune", "timings", "support-bundle")

BASH = """\
_standfast() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} found
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    elif [ "${{word#-}}" != "$word" ]; then
        found=$(standfast "$verb" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)
        COMPREPLY=($(compgen -W "$found" -- "$word"))
    else
        case $verb in
            {files}) COMPREPLY=($(compgen -f -- "$word")) ;;
            {nameless}) COMPREPLY=() ;;
            *) found=$(standfast ls --names 2>/dev/null)
               COMPREPLY=($(compgen -W "$found" -- "$word")) ;;
        esac
    fi
}}
complete -o filenames -F _standfast standfast
"""
ZSH = """\
autoload -U +X bashcompinit && bashcompinit
"""


def arguments(parser: Any) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(args: Any) -> int:
    from reconciler.cli.main import COMMANDS

    script = BASH.format(commands=" ".join(COMMANDS), files="|".join(FILES), nameless="|".join(NAMELESS))
    output.say((ZSH + script if args.shell == "zsh" else script).rstrip("\n"))
    return client.OK
