"""comment every column

Why: whoever reads the log and schema sync with psql finds there what each column holds. Changes no table, and no row.
"""

from alembic import op

revision = '0007'
down_revision = '0006'

COMMENTS = {
    "log.change": {
        "seq": "The order in which changes were written, not that in which they were committed",
        "txid": "The transaction that wrote it; windows of the log go by this",
        "record_id": "id in the captured table",
        "at": "When the transaction began; the day of its partition",
    },
    "sync.map": {
        "id": "Stays the same for as long as the map has this name",
        "name": "source > target, as status shows it",
        "direction": "in: from a system to common; out: from common to a system",
        "system": "The system at its other end",
        "in_use": "Whether schema/ still has it",
    },
    "sync.delivery": {
        "map_id": "The map in sync.map",
        "state": "How it stands; no row is in step",
        "attempts": "Failures in a row since it was last marked",
        "tried_at": "When it was last decided or sent",
        "operation": "What was to be done: create, update, delete; of a skipped record how it stood, as was held",
        "code": "The kind of the failure: a word of the hub, or the code of the target or database",
        "field": "The field that is to blame, where it is a single one",
    },
    "sync.consumer": {
        "name": "Who reads the log; replicator is the only one",
        "at": "When it last read on",
    },
    "sync.entity_set": {
        "system": "The system that has it",
        "entity_set": "As the system calls it",
        "problem_since": "When a read first failed; null after one that did not",
    },
    "sync.snapshot": {
        "id": "Number of the read",
        "system": "The system that was read",
        "entity_set": "What was read of it",
        "started_at": "Before the first request",
        "finished_at": "When the mirror was written",
        "inserted": "Records that the mirror did not have",
        "updated": "Records that differed from the mirror",
        "deleted": "Records that were gone, and within the budget",
    },
    "sync.quarantine": {
        "id": "Number of the row",
        "system": "The system it was read from",
        "entity_set": "The entity set it was read from",
        "field": "The field that does not fit, where it is a single one",
        "reason": "What does not fit, in words",
        "at": "When it was read",
    },
    "sync.proposed_delete": {
        "id": "Number of the proposal",
        "system": "The system that shows the record no more",
        "entity_set": "The entity set that it was in",
        "record": "What people call the record",
        "proposed_at": "When its absence was first seen",
        "decided_at": "When a person decided",
        "decided_by": "A database role, or whom the console knows",
    },
    "sync.accepted": {
        "map_id": "The map in sync.map",
        "record_id": "Inbound: id in the mirror; outbound: id in common",
        "sent": "The value that was to be stored, as text",
        "stored": "The value that the target made of it, as text",
        "at": "When the target answered",
    },
    "sync.base": {
        "at": "When they last agreed",
    },
    "sync.conflict": {
        "id": "Number of the conflict, for sync.resolve",
        "common_id": "id in common",
        "entity": "The entity of the common model",
        "state": "open or decided",
        "since": "When it was noticed",
        "decided_at": "When it was decided, or the values came to agree",
    },
    "sync.lease": {
        "name": "What is led; replicator is the only one",
        "holder": "The host and process that leads, or led last",
        "expires_at": "Until then nobody else may lead",
    },
    "sync.hub": {
        "schema_hash": "Of the text of all generated objects; a program that would make others refuses to work",
        "objects_hash": "Repeats schema_hash",
        "at": "When they were made",
    },
    "sync.run": {
        "id": "Number of the window",
        "at": "When it was read",
        "changes": "Rows of the log in it",
        "records": "Distinct records among them",
        "marks": "Deliveries that were marked because of them",
    },
    "sync.pause": {
        "at": "When it began",
        "by": "A database role, or whom the console knows",
        "reason": "Why, in the words of who paused it",
    },
    "sync.decision": {
        "id": "Number of the decision",
        "at": "When it was made",
        "reason": "Why, in the words of who decided",
    },
    "sync.plan": {
        "id": "Number of the plan, for run --plan",
        "at": "When it was made",
        "by": "The database role that saved it",
    },
    "sync.planned": {
        "plan_id": "The plan in sync.plan",
        "flow": "The flow, by its name in sync.status",
        "operation": "create, update or delete",
    },
    "sync.refetch": {
        "system": "The system to be read",
        "entity_set": "The entity set to be read",
        "at": "When it was asked for",
    },
    "sync.alert": {
        "title": "What was told",
        "since": "When the trouble began",
        "records": "How many records are concerned now",
        "cleared_at": "When it was over; null while it lasts",
    },
    "sync.system": {
        "name": "The system, by its name in the configuration",
        "at": "When this was written",
    },
    "sync.alembic_version": {
        "version_num": "The last revision in migrations/ that was run",
    },
}


def upgrade() -> None:
    for table, columns in COMMENTS.items():
        for column, words in columns.items():
            op.execute(f"comment on column {table}.{column} is '{words}'")
    op.execute("comment on table sync.alembic_version is 'Which revision the tables of the hub are at'")


def downgrade() -> None:
    op.execute("comment on table sync.alembic_version is null")
    for table, columns in COMMENTS.items():
        for column in columns:
            op.execute(f"comment on column {table}.{column} is null")
