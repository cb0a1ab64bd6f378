"""$batch: a multipart request of operations and change sets, and the multipart answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from typing import Protocol

from replicator.sandbox.odata_http import Call, RefusalError, Reply
from replicator.sandbox.writing import Records

_methods = ("GET", "POST", "PATCH", "PUT", "DELETE")


class BadBatchError(ValueError):
    """A batch whose text cannot be read."""


@dataclass(frozen=True)
class Operation:
    """One request inside a batch."""

    content_id: str | None
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class RequestedChangeSet:
    """Operations that happen together or not at all."""

    operations: list[Operation]


class Service(Protocol):
    """What a batch needs of the system it runs in."""

    most_operations: int

    def handle(self, call: Call, declared: dict[str, str] | None = None) -> Reply:
        """Carry out one operation, or raise RefusalError."""

    def error(self, refusal: RefusalError) -> Reply:
        """A refusal in the system's shape."""

    def stops(self, call: Call) -> bool:
        """Whether the batch ends with its first failure."""

    def batch_status(self, failed: bool, stops: bool) -> int:
        """The outer status."""

    def blamed(self, ids: list[str | None], failed: int) -> str | None:
        """The content id on the error of a change set."""

    def entity_path(self, answer: Reply, call: Call) -> str | None:
        """The address of the record an operation wrote."""


def parse_batch(content_type: str, body: bytes) -> list[Operation | RequestedChangeSet]:
    """The operations of a batch in their order."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    # the older policy: the newer ones take apart each header of each part, which is most of the time of a batch
    message = BytesParser(policy=policy.compat32).parsebytes(head + body)
    if not message.is_multipart() or not message.get_boundary():
        raise BadBatchError("The batch request has no boundary or no parts.")
    return [_part(part) for part in _parts(message)]


def _parts(message: Message) -> Iterator[Message]:
    payload = message.get_payload()
    assert isinstance(payload, list)
    for part in payload:
        assert isinstance(part, Message)
        yield part


def _part(part: Message) -> Operation | RequestedChangeSet:
    if part.is_multipart():
        return RequestedChangeSet([_operation(inner) for inner in _parts(part)])
    return _operation(part)


def _operation(part: Message) -> Operation:
    if part.is_multipart() or part.get_content_type() != "application/http":
        raise BadBatchError("A part of a batch must be of type application/http.")
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    head, body = _split(payload.lstrip(b"\r\n"))
    lines = head.decode("utf-8", "replace").replace("\r", "").split("\n")
    words = lines[0].split(" ") if lines else []
    if len(words) < 2 or words[0].upper() not in _methods:
        raise BadBatchError("A part of a batch must start with a request line.")
    url = " ".join(words[1:-1]) if words[-1].upper().startswith("HTTP/") else " ".join(words[1:])
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    content_id = part.get("Content-ID") or headers.get("content-id")
    return Operation(str(content_id) if content_id else None, words[0].upper(), url, headers, body)


def _split(payload: bytes) -> tuple[bytes, bytes]:
    """Head and body at the first empty line, whatever ends the lines."""
    normal = payload.find(b"\r\n\r\n")
    short = payload.find(b"\n\n")
    if normal >= 0 and (short < 0 or normal < short):
        return payload[:normal], payload[normal + 4 :].strip()
    if short >= 0:
        return payload[:short], payload[short + 2 :].strip()
    return payload.strip(), b""


class _Run:
    """One batch under way."""

    def __init__(self, service: Service, records: Records, call: Call) -> None:
        self._service = service
        self._records = records
        self._call = call
        self.stops = service.stops(call)
        self.failed = False

    def run(self, items: list[Operation | RequestedChangeSet]) -> Iterator[str]:
        """The parts of the answer, until the first failure ends it."""
        for item in items:
            yield self._change_set(item) if isinstance(item, RequestedChangeSet) else self._single(item)
            if self.failed and self.stops:
                return

    def _inner(self, operation: Operation) -> Call:
        inherited = {name: value for name, value in self._call.headers.items() if name == "authorization"}
        try:
            call = self._call.at(operation.url, operation.method, {**inherited, **operation.headers}, operation.body)
        except ValueError:
            raise RefusalError(400, f"The address '{operation.url}' in the batch is not valid.", "0x80060888") from None
        if call.path == "$batch":
            raise RefusalError(400, "A batch cannot contain a batch.", "0x80060888")
        return call

    def _single(self, operation: Operation) -> str:
        try:
            answer = self._service.handle(self._inner(operation))
        except RefusalError as refusal:
            self.failed = True
            answer = self._service.error(refusal)
        return _http_part(operation.content_id, answer)

    def _change_set(self, change_set: RequestedChangeSet) -> str:
        """All operations in one transaction; a failed one leaves only its own error."""
        boundary = f"changesetresponse_{self._records.new_guid()}"
        parts: list[str] = []
        try:
            with self._records.store.transaction():
                self._operations(change_set, parts)
        except RefusalError as refusal:
            self.failed = True
            ids = [operation.content_id for operation in change_set.operations]
            parts = [_http_part(self._service.blamed(ids, len(parts)), self._service.error(refusal))]
        inner = "".join(f"--{boundary}\r\n{part}" for part in parts)
        return f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n{inner}--{boundary}--\r\n"

    def _operations(self, change_set: RequestedChangeSet, parts: list[str]) -> None:
        declared: dict[str, str] = {}
        for operation in change_set.operations:
            if operation.method == "GET":
                raise RefusalError(400, "A change set cannot contain a GET request.", "0x80060888")
            call = self._inner(operation)
            answer = self._service.handle(call, declared)
            if operation.content_id and (path := self._service.entity_path(answer, call)):
                declared[operation.content_id] = path
            parts.append(_http_part(operation.content_id, answer))


def _http_part(content_id: str | None, answer: Reply) -> str:
    identified = f"Content-ID: {content_id}\r\n" if content_id else ""
    headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    if answer.text:
        headers += f"Content-Type: {answer.content_type}\r\n"
    reason = HTTPStatus(answer.status).phrase
    return (
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{identified}\r\n"
        f"HTTP/1.1 {answer.status} {reason}\r\n{headers}\r\n{answer.text}\r\n"
    )


def run_batch(service: Service, records: Records, call: Call) -> Reply:
    """Carry out a batch request."""
    try:
        items = parse_batch(call.header("content-type") or "", call.body)
    except (BadBatchError, ValueError) as error:
        raise RefusalError(400, f"The batch request could not be read: {error}", "0x80060888") from None
    number = sum(len(item.operations) if isinstance(item, RequestedChangeSet) else 1 for item in items)
    if number > service.most_operations:
        message = f"The batch request contains {number} operations, which is more than {service.most_operations}."
        raise RefusalError(400, message, "0x80060888")
    boundary = f"batchresponse_{records.new_guid()}"
    run = _Run(service, records, call)
    text = "".join(f"--{boundary}\r\n{part}" for part in run.run(items)) + f"--{boundary}--\r\n"
    status = service.batch_status(run.failed, run.stops)
    return Reply(status, text, {"OData-Version": "4.0"}, f"multipart/mixed; boundary={boundary}")
