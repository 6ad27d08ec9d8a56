"""Lines that are safe on a terminal."""


def plain(line: str) -> str:
    """The line with "?" for every character that would steer a terminal, as the name of a file may hold."""
    return "".join(c if c.isprintable() else "?" for c in line)
