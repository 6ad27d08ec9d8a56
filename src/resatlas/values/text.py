"""Text that is safe to print on a terminal."""


def plain(line: str) -> str:
    """The line with "?" for unprintable characters, such as control sequences in the name of a file."""
    return "".join(c if c.isprintable() else "?" for c in line)
