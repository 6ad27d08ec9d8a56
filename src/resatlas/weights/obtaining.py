"""The file of a word: found on this machine or downloaded, and verified at every call. Nothing existing is replaced.

HF_ENDPOINT names another address of the hub, RESATLAS_WEIGHTS_MIRROR one with the files of all other sources, side by
side under their names.
"""

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from resatlas.errors import CheckpointError, FolderError, UsageError, quoted
from resatlas.runs.files import read_json
from resatlas.values.downloading import Arrived, NotFetched, Remote, download, locked, writable
from resatlas.values.notes import once
from resatlas.values.progress import Progress, silent
from resatlas.values.reading import opened
from resatlas.values.weights import check_offered
from resatlas.weights.digests import check
from resatlas.weights.places import HUB_FILES, SETTING, Candidate, candidates, folders, own_folder, own_name
from resatlas.weights.words import Word, is_word, own_words, resolve, table

Access = Literal["online", "offline"]
"""Whether missing weights may be downloaded."""

MIRROR = "RESATLAS_WEIGHTS_MIRROR"
_HUB = "https://huggingface.co"
_YES = ("1", "on", "yes", "true")
_BLOCK = 1 << 20
_ROOM = 1 << 24  # bytes that a file may have beyond twice its tensors: names, other tensors


@dataclass(frozen=True, kw_only=True)
class _Address:
    """An address of a word's file, the name it gets in our folder, and its published digest or ""."""

    url: str
    name: str
    digest: str
    packed: Literal["", "zip"] = ""


def obtain(text: str, *, access: Access = "online", progress: Progress = silent) -> Path:
    """The verified file of a word; it is downloaded to our folder if it is not on this machine.

    Raises: UnknownName; CheckpointError if a file on this machine is not the published one, or if there is none and it
        cannot be downloaded; FolderError if it cannot be stored; Stopped by Ctrl-C, after which the next call
        continues.
    """
    name = resolve(text)
    own = own_words()
    if name in own:
        return _of_package(name, own[name])
    word = table()[name]
    found = next(candidates(word), None)
    if found is None:
        found = _downloaded(word, access, progress)
    check(found, word.word)
    return found.file


def file_of(weights: str | Path, *, access: Access = "online", progress: Progress = silent) -> Path:
    """The verified file of a word; any other text is the path of a file, which is returned as it is.

    Raises: as `obtain`.
    """
    return obtain(str(weights), access=access, progress=progress) if is_word(weights) else Path(weights)


def _of_package(name: str, folder: Path) -> Path:
    """The file of a network in the package, with the digest of its description."""
    digest = read_json(folder / "config.json").get("weights_sha256", "")
    check(Candidate(file=folder / HUB_FILES[0], digest=f"sha256:{digest}"), name)
    return folder / HUB_FILES[0]


def is_offline(access: Access) -> bool:
    """Whether nothing may be downloaded: by the caller's wish, or by huggingface_hub's HF_HUB_OFFLINE."""
    return access == "offline" or os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES


def _downloaded(word: Word, access: Access, progress: Progress) -> Candidate:
    """The file of a word from the first address that has it."""
    if is_offline(access):
        by = "--offline" if access == "offline" else "HF_HUB_OFFLINE"
        raise CheckpointError(f"{_missing(word)}; {by} forbids a download")
    folder = own_folder()
    faults: list[str] = []
    with writable(folder, setting=SETTING), locked(folder):
        _check_room(folder, word)
        for address in _addresses(word):
            once(
                f"download {word.word}",
                f"{word.word}: about {word.bytes / 1e6:,.0f} MB from {address.url}; licence {word.licence}",
            )
            try:
                return _fetched(address, word, folder, progress)
            except NotFetched as error:
                faults.append(str(error).removesuffix("; rerun the command later"))
    raise CheckpointError(f"{'; '.join(faults)}; rerun the command later, or {_by_hand(word)}")


def _addresses(word: Word) -> Iterator[_Address]:
    """The addresses of a word: first the file with a published digest, then the hub.

    Raises: UsageError if a setting is not an https address.
    """
    if word.file:
        site = _setting(MIRROR, word.site)
        ending = f".{word.packed}" if word.packed else ""
        yield _Address(url=f"{site}{word.file}{ending}", name=word.file, digest=word.digest, packed=word.packed)
    if word.hub:
        url = f"{_setting('HF_ENDPOINT', _HUB)}{word.hub}/resolve/main/{HUB_FILES[0]}"
        yield _Address(url=url, name=own_name(word), digest="")


def _setting(variable: str, default: str) -> str:
    """The address that an environment variable names, with a slash at its end."""
    address = os.environ.get(variable) or default
    if not address.startswith("https://"):
        raise UsageError(f"{variable} must be an address https://…; got {quoted(address)}")
    return address.rstrip("/") + "/"


def _fetched(address: _Address, word: Word, folder: Path, progress: Progress) -> Candidate:
    """The file of one address, verified before it gets its name.

    Raises: NotFetched; CheckpointError if the bytes that arrived are others than the published ones.
    """
    ending = f".{address.packed}" if address.packed else ""
    part = folder / f"{address.name}{ending}.part"
    most = 2 * word.bytes + _ROOM
    try:
        arrived = download(Remote(name=f"{address.name}{ending}", url=address.url, most=most), part, progress)
    except NotFetched:
        if part.exists() and part.stat().st_size == 0:
            part.unlink()
        raise
    held = part
    try:
        if address.packed:
            held = folder / f"{address.name}.part"
            _unpack(part, address.name, held, most=most)
        check_offered(held)
        if digest := address.digest or _announced(arrived):
            check(Candidate(file=held, digest=digest), word.word)
    except CheckpointError as error:
        for file in {part, held}:
            file.unlink(missing_ok=True)
        fault = str(error).removesuffix("; remove it and rerun the command")
        raise CheckpointError(f"{address.url}: {fault}; it is removed: rerun the command later") from None
    held.rename(folder / address.name)  # it does not exist: it was searched, and the folder is locked
    part.unlink(missing_ok=True)
    return Candidate(file=folder / address.name, digest=address.digest)


def _announced(arrived: Arrived) -> str:
    """The sha256 that the hub announced, if it is one."""
    digits = arrived.announced.lower()
    return f"sha256:{digits}" if len(digits) == 64 and digits.isalnum() else ""


def _unpack(archive: Path, name: str, target: Path, *, most: int) -> None:
    """Write the one file of that name in a zip archive to the target.

    Raises: CheckpointError if the archive is damaged, has no such file, or has a larger one.
    """
    try:
        with opened(archive) as source, zipfile.ZipFile(source) as content, content.open(name) as member:
            _copy(partial(member.read, _BLOCK), target, most=most)
    except KeyError:
        raise CheckpointError(f"{archive.name} contains no {name}") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        raise CheckpointError(f"{archive.name} is damaged or not a zip archive: {error}") from None


def _copy(read: Callable[[], bytes], target: Path, *, most: int) -> None:
    left = most
    with target.open("wb") as file:
        while block := read():
            left -= len(block)
            if left < 0:
                raise CheckpointError(f"{target.name} unpacks to more than {most:,} bytes")
            file.write(block)


def _check_room(folder: Path, word: Word) -> None:
    """Check that the disk of our folder has enough free bytes.

    Raises: FolderError
    """
    need = word.bytes * (2 if word.packed else 1)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise FolderError(
            f"{folder} has {free:,} bytes free, but {word.word} needs {need:,}; set {SETTING} to another folder"
        )


def _missing(word: Word) -> str:
    names = " or ".join([*([word.file] if word.file else []), *([own_name(word)] if word.hub else [])])
    places = ", ".join(map(str, folders(word)))
    return f"{word.word} is not on this machine: {names} is in none of {places}"


def _by_hand(word: Word) -> str:
    """How to place a file by hand."""
    if word.file:
        packed = f", unpacked from {word.file}.{word.packed}," if word.packed else ""
        return f"put {word.file}{packed} of {word.site} into {own_folder()}"
    return f"put {HUB_FILES[0]} of {word.hub} as {own_name(word)} into {own_folder()}"
