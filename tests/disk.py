"""Files that reach no disk before a test goes on."""


def unsynchronised(fd: object) -> None:
    """In the place of `os.fsync`: a killed process keeps what it wrote without it, and no test waits for the disk."""
