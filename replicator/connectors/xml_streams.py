"""XML of strangers, read as a stream.

A document type or an entity in it is refused: the systems write none, and they are what makes such XML dangerous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar
from xml.parsers import expat

from replicator.errors import ReplicatorError


class Elements:
    """Whoever is told of a document; names come without their namespace."""

    hears_text: ClassVar[bool] = False
    """Whether it is told of characters, too, which takes time."""

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        """An element begins."""

    def text(self, text: str) -> None:
        """Characters within an element, maybe not all of them at once."""

    def end(self, tag: str) -> None:
        """An element ends."""


def tell(pieces: Iterable[bytes], elements: Elements, refused: Callable[[str], ReplicatorError]) -> Iterator[None]:
    """Tell of a document, with each step of one more piece. Raises what ``refused`` makes of the reason."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse(*_: object) -> int:
        raise refused("the document declares a document type, which is refused")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = lambda tag, values: elements.start(_local(tag), values)
    parser.EndElementHandler = lambda tag: elements.end(_local(tag))
    if elements.hears_text:
        parser.CharacterDataHandler = elements.text
    try:
        for piece in pieces:
            parser.Parse(piece, False)
            yield
        parser.Parse(b"", True)
    except expat.ExpatError as problem:
        raise refused(f"broken XML: {problem}") from problem
    yield


def tell_all(document: bytes, elements: Elements, refused: Callable[[str], ReplicatorError]) -> None:
    """Tell of a document that is all there."""
    for _ in tell([document], elements, refused):
        pass


def _local(tag: str) -> str:
    return tag.rpartition(" ")[2]
