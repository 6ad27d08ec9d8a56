"""`resatlas completion`: print a script with which a shell completes commands."""

import argparse
from typing import Literal, get_args

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements

Shell = Literal["bash", "zsh", "fish"]

OPTIONS: Requirements = {}

_USE = """\
to use it:
  bash  in ~/.bashrc: eval "$(resatlas completion bash)"
  zsh   in ~/.zshrc, after compinit: eval "$(resatlas completion zsh)"
  fish  once: resatlas completion fish > ~/.config/fish/completions/resatlas.fish"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _USE
    parser.add_argument("shell", choices=get_args(Shell), help="the shell")


def run(options: argparse.Namespace) -> Outcome:
    """The script."""
    from resatlas.cli.completions import script

    text = script(options.shell)
    return Outcome({"shell": options.shell, "script": text}, text)
