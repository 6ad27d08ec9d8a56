"""Small files in the exact formats of the published ones."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from hashlib import md5

import numpy as np
from scipy.io import savemat

from resatlas.data.cifar import PIXELS, Cifar
from resatlas.data.official import Checksum, Official
from resatlas.data.svhn import MatFile

NOWHERE = "https://nowhere.invalid/"


def official(name: str, content: bytes, *, site: str = NOWHERE) -> Official:
    """A file of that content, as if it were published."""
    checksum = Checksum(algorithm="md5", digest=md5(content, usedforsecurity=False).hexdigest())
    return Official(name=name, site=site, bytes=len(content), checksum=checksum)


def cifar(published: Cifar, *, site: str = NOWHERE) -> tuple[Cifar, dict[str, bytes], bytes]:
    """(the set with few images of every class, its files by their paths in the archive, the archive)."""
    small = replace(published, train_images=max(len(published.train), 2), test_images=1)
    draw = np.random.default_rng(0)
    files = {small.words: "\n".join((*small.classes, "", "")).encode(), "readme.html": b"<html></html>"}
    for names, images in ((small.train, small.train_images), (small.test, small.test_images)):
        labels = draw.permutation(np.repeat(np.arange(len(small.classes)), images)).astype(np.uint8)
        both = np.stack((labels // 5, labels), 1)[:, -small.labels :]
        records = np.concatenate((both, draw.integers(0, 256, (len(labels), PIXELS), np.uint8)), 1)
        files |= {name: part.tobytes() for name, part in zip(names, np.split(records, len(names)), strict=True)}
    files = {f"{small.folder}/{name}": content for name, content in files.items()}
    archive = packed(files)
    return replace(small, archive=official(small.archive.name, archive, site=site)), files, archive


def packed(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz of these files, and of a folder for each that has one."""
    members = [member(folder, type=tarfile.DIRTYPE) for folder in sorted({path.rpartition("/")[0] for path in files})]
    return tar_gz(*((member, b"") for member in members), *((member(path), files[path]) for path in files))


def member(name: str, *, type: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:  # noqa: A002 - tar's word
    """A member of that name and type."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = type, link
    return made


def tar_gz(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar.gz of these members; a size that is set is kept, for any content."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, inside in members:
            member.size = member.size or len(inside)
            content.write(member.tobuf(tar.format, tar.encoding, tar.errors))
            content.write(inside + bytes(-len(inside) % tarfile.BLOCKSIZE))
            tar.offset = content.tell()
    return gzip.compress(content.getvalue(), mtime=0)


def svhn(file: MatFile, *, n: int, seed: int, site: str = NOWHERE) -> tuple[MatFile, bytes]:
    """(the file as if it had been published with n images, its content)."""
    draw = np.random.default_rng(seed)
    arrays = {
        "X": draw.integers(0, 256, (32, 32, 3, n), np.uint8),
        "y": (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None],
    }
    return mat(file, arrays, n=n, site=site)


def mat(file: MatFile, arrays: dict[str, np.ndarray], *, n: int, site: str = NOWHERE) -> tuple[MatFile, bytes]:
    """(the file as if it had been published with these arrays and n images, its content)."""
    content = io.BytesIO()
    savemat(content, arrays, do_compression=True)
    whole = content.getvalue()
    return replace(file, official=official(file.official.name, whole, site=site), images=n), whole
