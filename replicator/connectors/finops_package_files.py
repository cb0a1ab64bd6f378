"""An exported package: a zip file with a manifest, and one file for each entity, of which one holds the records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from replicator.connectors.finops_package_rows import READERS, PackageUnusable, ReadRows, Wanted
from replicator.connectors.protocol import Row, shown
from replicator.connectors.xml_streams import Elements, tell_all

_manifest, _header = "manifest.xml", "packageheader.xml"
"""What a package holds beside its records, in lower case."""
_one_entity, _entity, _file = "DataManagementPackageEntityData", "EntityName", "InputFilePath"
_refresh, _everything = "DefaultRefreshType", "FullPush"
"""Elements of a manifest, and how one says that an entity is exported whole."""
_largest_manifest = 2**24
_encrypted = 1
_broken_inside = (BadZipFile, zlib.error, EOFError)
_broken_outside = (NotImplementedError, ValueError, struct.error)
"""What the standard library makes of broken directories besides."""


def rows(package: BinaryIO, wanted: Wanted) -> Iterator[Row]:
    """The records of a package, as they come. Raises PackageUnusable."""
    file, read = _opened(package, wanted)
    try:
        yield from read(file, wanted)
    except _broken_inside as problem:
        raise _no_zip(wanted, problem) from problem


def _opened(package: BinaryIO, wanted: Wanted) -> tuple[IO[bytes], ReadRows]:
    try:
        with ZipFile(package) as archive:
            entry = _entry(archive, wanted)
            return archive.open(entry), READERS[_suffix(entry.filename)]
    except (*_broken_inside, *_broken_outside) as problem:
        raise _no_zip(wanted, problem) from problem


def _no_zip(wanted: Wanted, problem: Exception) -> PackageUnusable:
    return wanted.unusable(f"the package is no whole zip file ({type(problem).__name__})")


def _entry(archive: ZipFile, wanted: Wanted) -> ZipInfo:
    files = [each for each in archive.infolist() if not each.is_dir()]
    named = None
    for each in files:
        if each.filename.lower() == _manifest:
            _check(each, wanted, _largest_manifest)
            named = named_file(archive.read(each), wanted)
    name = data_file([each.filename for each in files], named, wanted)
    entry = archive.getinfo(name)
    _check(entry, wanted, wanted.largest)
    return entry


def _check(entry: ZipInfo, wanted: Wanted, largest: int) -> None:
    """Refuse what cannot be unpacked, or to too much: of no entry more is unpacked than it says."""
    file = f"the file {shown(entry.filename)}"
    if entry.flag_bits & _encrypted:
        raise wanted.unusable(f"{file} is encrypted")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise wanted.unusable(f"{file} is packed in a way that is not known here")
    if entry.file_size > largest:
        hint = "nothing of it is used; allow more answer_bytes for this system, or export fewer fields"
        raise wanted.unusable(f"{file} unpacks to {entry.file_size} bytes, and {largest} are allowed", hint)


def named_file(manifest: bytes, wanted: Wanted) -> str:
    """The name of the entity's file, as the manifest of a package has it. Raises PackageUnusable, also where the
    project exports only what changed since its last run: then all other records would seem to be gone.
    """
    listed = _Manifest()
    tell_all(manifest, listed, lambda why: wanted.unusable(f"the manifest of the package: {why}"))
    found = [each for each in listed.entities if each.get(_entity, "").lower() == wanted.entity.lower()]
    if len(found) != 1:
        there = ", ".join(shown(each.get(_entity, "")) for each in listed.entities) or "nothing"
        times = "does not hold" if not found else "holds more than once"
        raise wanted.unusable(f"the package {times} the entity {shown(wanted.entity)} (it holds {there})")
    (only,) = found
    if only.get(_refresh, _everything) != _everything:
        hint = "nothing of it is used; set the entity to full push in the export project, and it is exported anew"
        raise wanted.unusable(f"the project does not export all records ({shown(only[_refresh])})", hint)
    return _base(only.get(_file, ""))


class _Manifest(Elements):
    """What a manifest says of each of its entities."""

    hears_text = True

    def __init__(self) -> None:
        self.entities: list[dict[str, str]] = []
        self._tag = ""

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        self._tag = tag
        if tag == _one_entity:
            self.entities.append({})

    def text(self, text: str) -> None:
        if self._tag in (_entity, _file, _refresh) and self.entities:
            self.entities[-1][self._tag] = self.entities[-1].get(self._tag, "") + text

    def end(self, tag: str) -> None:
        self._tag = ""


def data_file(names: Sequence[str], named: str | None, wanted: Wanted) -> str:
    """Which file of a package holds the records: the one that its manifest names; without a manifest the one that
    bears the entity's name, or the only one that can be it. Raises PackageUnusable where there is none, or several.
    """
    files = [name for name in names if _base(name).lower() not in (_manifest, _header)]
    if named is not None:
        found = [name for name in files if _base(name).lower() == named.lower()]
    else:
        readable = [name for name in files if _suffix(name) in READERS]
        found = [name for name in readable if PurePosixPath(name).stem.lower() == wanted.entity.lower()] or readable
    if len(found) != 1:
        there = ", ".join(map(shown, found or files)) or "nothing"
        what = "several files that may be" if found else "no file"
        raise wanted.unusable(f"the package has {what} of the entity {shown(wanted.entity)} ({there})")
    if _suffix(found[0]) not in READERS:
        hint = "nothing of it is used; give the entity a source data format of CSV or XML in the export project"
        raise wanted.unusable(f"the file {shown(found[0])} is neither CSV nor XML", hint)
    return found[0]


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
