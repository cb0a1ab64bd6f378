"""The errors of the program: each is Transient or Terminal when raised, and says what, which and what to do next.

ReplicatorError
├── Transient                 trying again later may succeed
│   ├── HubUnavailable        the hub's database does not answer
│   ├── SystemUnavailable     a system does not answer, or answers 5xx
│   │   └── NotSent           it could not be connected to, or no token was to be had: nothing was done
│   ├── Throttled             a system asks for a pause (429)
│   ├── UnexpectedAnswer      a system answered what its protocol does not know: HTML, half JSON, looping pages
│   ├── ExportUnderWay        a system has not ended an export yet; the next read goes on waiting for it
│   ├── TokenExpired          the change token is too old; a whole read is needed
│   ├── LeaseLost             another replicator leads on this hub
│   └── Stopping              this replicator is asked to stop: no further request is begun
└── Terminal                  nobody but a person can mend it
    ├── ConfigurationError    the configuration file or a setting is wrong
    ├── SchemaError           a file of schema/ is wrong
    ├── HubMismatch           the hub's schema is older, newer or other than this program's
    │   └── HubMigrated           it became so while this program worked on it
    ├── AccessDenied          a system refuses the right to read or write (403)
    │   └── CredentialsRefused    a system, or who issues its tokens, refuses the credentials (401)
    └── RequestRefused        a system refuses a request as such: unknown entity set or field, bad query
"""

from __future__ import annotations

from typing import ClassVar


class ReplicatorError(Exception):
    """Base of all errors raised on purpose: ``message`` says what and which, ``hint`` what to do next."""

    usual_hint: ClassVar[str] = ""
    """What to do next where whoever raises the error knows nothing better."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Transient(ReplicatorError):
    """Trying again later may succeed."""


class Terminal(ReplicatorError):
    """Trying again cannot succeed; a person has to change something."""


class ExportEnded(ReplicatorError):
    """An export of a system gives nothing whole, now or later; Transient where another one may."""


class ExportUnderWay(Transient):
    """An export of a system has not ended yet: the next read goes on waiting for it."""


class HubUnavailable(Transient):
    """The hub's database cannot be reached."""


class SystemUnavailable(Transient):
    """A system cannot be reached or answers with a failure of its own."""

    usual_hint = "'replicator run' tries it again by itself; where it lasts, see whether the system is up"


class NotSent(SystemUnavailable):
    """The request never reached the system: nothing was done."""


class Throttled(Transient):
    """A system asks for a pause; ``retry_after`` is in seconds."""

    usual_hint = "'replicator run' goes on by itself after the pause; fewer parallel_requests draw less throttling"

    def __init__(self, message: str, *, retry_after: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UnexpectedAnswer(Transient):
    """A system's answer does not follow its protocol."""

    usual_hint = (
        "'replicator run' tries it again by itself; where it lasts, check the system's url and kind, "
        "and whether a proxy or a sign-in page answers in its place"
    )


class TokenExpired(Transient):
    """The change token is no longer accepted; the entity set has to be read whole."""

    usual_hint = "the set is read whole"


class LeaseLost(Transient):
    """Another replicator leads on this hub."""


class Stopping(Transient):
    """This replicator is to stop, so that a request was not begun."""


class ConfigurationError(Terminal):
    """A setting or the configuration file is wrong."""

    usual_hint = "docs/configuration.md explains every key, and 'replicator init' writes a commented file"


class SchemaError(Terminal):
    """A file of ``schema/`` is wrong; the message names file, line and field."""

    usual_hint = "docs/mapping.md explains the files of schema/, and 'replicator check-schema' checks them"


class HubMismatch(Terminal):
    """The hub's schema does not fit this program."""


class HubMigrated(HubMismatch):
    """The hub was migrated while this program worked on it: it does not know what it would write into."""

    usual_hint = (
        "start it again with the version and the schema/ that the hub was migrated with; systemd's Restart= does that"
    )


class AccessDenied(Terminal):
    """A system refuses the credentials or the right to read or write."""


class CredentialsRefused(AccessDenied):
    """A system, or who issues its tokens, does not accept the credentials."""


class RequestRefused(Terminal):
    """A system refuses a request as such."""


OF_THE_LEAD = LeaseLost, HubMigrated
"""Whoever led does not any more: nothing may be written from here on, and nothing but the lead has failed."""
OF_THE_SYSTEM = CredentialsRefused, NotSent, Throttled
"""Problems of a system as a whole: whatever else it is asked for would fare the same."""
