"""Words for people: text that is safe on a terminal, and numbers of things."""

from resatlas.values.language import numbered


def plain(line: str) -> str:
    """The line with "?" for unprintable characters, such as control sequences in the name of a file."""
    return "".join(c if c.isprintable() else "?" for c in line)


def capitalised(sentence: str) -> str:
    """The sentence with a capital letter at its beginning; its other letters are unchanged."""
    return f"{sentence[0].upper()}{sentence[1:]}"


def counted(number: int, noun: str) -> str:
    """1 image, 2,000 images, 2 classes, 3 passes."""
    return numbered(number, f"{{count:,}} {noun}", f"{{count:,}} {noun}{'es' if noun.endswith('s') else 's'}")


def size_text(size: float) -> str:
    """8.9 GiB, 412 MiB, 3 KiB."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << power:
            amount = size / (1 << power)
            return f"{amount:.1f} {unit}" if unit == "GiB" else f"{amount:.0f} {unit}"
    return f"{size:.0f} bytes"


def duration_text(seconds: float) -> str:
    """0.8 seconds, 41 minutes, 5.2 hours, 2.9 days."""
    for noun, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            amount = seconds / length
            return f"{amount:.1f} {noun}s" if amount < 10 and noun != "minute" else f"{amount:.0f} {noun}s"
    return f"{seconds:.0f} seconds" if seconds >= 10 else f"{seconds:.2g} seconds"
