"""Words for people: text that is safe on a terminal, and numbers of things."""


def plain(line: str) -> str:
    """The line with "?" for unprintable characters, such as control sequences in the name of a file."""
    return "".join(c if c.isprintable() else "?" for c in line)


def counted(number: int, noun: str) -> str:
    """1 image, 2,000 images, 2 classes, 3 passes."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"
