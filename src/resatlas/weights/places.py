"""Where a file of weights may lie on this machine: our own cache, then those of torch, the Hugging Face hub, pytorchcv.

Nothing is copied: a file that another library downloaded is used where it lies. Only our own cache is written.
Sources: torch.hub.get_dir; huggingface_hub's constants and its layout of the cache; pytorchcv's model_store.py.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resatlas.data.official import cache
from resatlas.errors import CheckpointError
from resatlas.values.reading import text
from resatlas.weights.words import Word

SETTING = "RESATLAS_WEIGHTS"
"""The environment variable that names another folder for downloads."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in a repository of the hub, in timm's order of preference."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file that should hold the weights of a word, and the digest that it must have; "" if nobody published one."""

    file: Path
    digest: str


def own_folder() -> Path:
    """The folder of our downloads.

    Raises: CheckpointError if the user has no cache, and `SETTING` is not set.
    """
    named = os.environ.get(SETTING)
    if named:
        return Path(named).expanduser()
    kept = cache()
    if kept is None:
        raise CheckpointError(f"this user has no home directory for weights; set {SETTING} to a folder")
    return kept / "weights"


def own_name(word: Word) -> str:
    """The name of a word's file from the hub in our folder, where names of all repositories must differ."""
    return f"{word.hub.replace('/', '--')}.safetensors"


def candidates(word: Word) -> Iterator[Candidate]:
    """The files of a word on this machine, in the order of search."""
    home = _home()
    own = own_folder()
    yield from _existing(own / own_name(word), digest="") if word.hub else ()
    if word.file:
        yield from _existing(own / word.file, digest=word.digest)
        yield from _existing(_torch_home(home) / "hub" / "checkpoints" / word.file, digest=word.digest)
    if word.hub:
        yield from _of_hub(word.hub, _hub_cache(home))
    if word.file:
        yield from _existing(home / ".torch" / "models" / word.file, digest=word.digest)


def folders(word: Word) -> list[Path]:
    """The folders that are searched for a word."""
    home = _home()
    of_file = [_torch_home(home) / "hub" / "checkpoints"] if word.file else []
    of_hub = [_hub_cache(home) / _repository(word.hub)] if word.hub else []
    return [own_folder(), *of_file, *of_hub, *([home / ".torch" / "models"] if word.file else [])]


def _existing(file: Path, *, digest: str) -> Iterator[Candidate]:
    if os.path.lexists(file):
        yield Candidate(file=file, digest=digest)


def _of_hub(repository: str, root: Path) -> Iterator[Candidate]:
    """The file of the repository's newest commit that is there; the name of its blob is its sha256."""
    folder = root / _repository(repository)
    for commit in _commits(folder):
        for name in HUB_FILES:
            file = folder / "snapshots" / commit / name
            if not os.path.lexists(file):
                continue
            blob = file.resolve()
            if not blob.is_relative_to(folder.resolve()):
                raise CheckpointError(f"{file} is a link to a place outside its repository; remove it")
            known = f"sha256:{blob.name}" if _SHA256.fullmatch(blob.name) else ""
            yield Candidate(file=file, digest=known)
            return


def _commits(folder: Path) -> list[str]:
    """The commit that refs/main names, then the others, the newest first."""
    main = ""
    with suppress(OSError, ValueError):
        main = text(folder / "refs" / "main", most=100).strip()
    others: list[Path] = []
    with suppress(OSError):
        others = sorted((folder / "snapshots").iterdir(), key=lambda path: -path.stat().st_mtime)
    names = [main, *(path.name for path in others)]
    return [name for name in dict.fromkeys(names) if _COMMIT.fullmatch(name)]


def _repository(repository: str) -> str:
    return f"models--{repository.replace('/', '--')}"


def _torch_home(home: Path) -> Path:
    return _named("TORCH_HOME") or _xdg(home) / "torch"


def _hub_cache(home: Path) -> Path:
    named = _named("HF_HUB_CACHE") or _named("HUGGINGFACE_HUB_CACHE")
    return named or (_named("HF_HOME") or _xdg(home) / "huggingface") / "hub"


def _xdg(home: Path) -> Path:
    return _named("XDG_CACHE_HOME") or home / ".cache"


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names, if it is set."""
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None


def _home() -> Path:
    """The user's home directory; a path that does not exist for users without one."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")
