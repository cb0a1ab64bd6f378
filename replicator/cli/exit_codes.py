"""How commands end: errors as one message, and the exit code that says what kind of problem it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from replicator.errors import HubMigrated, ReplicatorError, Transient

EXIT_CODES = """
\b
Exit codes:
  0  done; for once, status, plan and reconcile: everything is in step, or would be
  1  an error that a person has to mend
  2  wrong usage
  3  once, status, plan and reconcile: something is or stays pending, blocked, failed, rejected, reported, held,
     orphaned or in conflict, or was not read; status: the daemon is gone; run --plan: something of the plan was
     refused; wait: the time is over; check, hints list: something was found
  4  a passing failure: the hub or a system could not be reached
  5  the hub was migrated while this command worked on it; started again it goes on, if it is what the hub was made with
"""


MIGRATED = 5


def exit_code(problem: ReplicatorError) -> int:
    """By which a script tells what kind of problem it was."""
    if isinstance(problem, HubMigrated):
        return MIGRATED
    return 4 if isinstance(problem, Transient) else 1


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Errors raised on purpose become one message and an exit code; anything else is a defect and shows itself."""
    try:
        yield
    except ReplicatorError as problem:
        _say(f"error: {problem.message}", keep="\n\t")
        if problem.hint:
            _say(f"  next: {problem.hint}")
        sys.exit(exit_code(problem))
    except BrokenPipeError:
        raise  # click's own: whoever read the output has seen enough
    except OSError as problem:
        _say(f"error: {problem.filename or 'a file'}: {problem.strerror or problem}")
        sys.exit(1)
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as problem:
        code = _code_of_hub_trouble(problem)
        if code is None:
            raise
        sys.exit(code)


def _say(text: str, *, keep: str = "") -> None:
    from replicator.cli.output import say

    say(text, err=True, keep=keep)


def _code_of_hub_trouble(problem: Exception) -> int | None:
    """Tell what the hub's database says, and the exit code for it; None where it is not the hub that failed."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from replicator.hub.database_errors import passes, remedy, words_of

    if not isinstance(problem, DBAPIError | psycopg.Error):
        return None
    _say(f"error: the hub: {words_of(problem)}")
    _say(f"  next: {remedy(problem)}, then run the command again")
    return 4 if passes(problem) else 1
