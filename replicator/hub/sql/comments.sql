-- What views hold, those first that follow from schema/, and their columns; what is written out says of itself what it is.

comment on view sync.captured is 'The captured tables, their before-images, and the column of their label';
comment on column sync.captured.place is 'What people call the table: system.EntitySet, or common and the entity';
comment on column sync.captured.relation is 'The captured table';
comment on column sync.captured.image is 'The table of schema log with its before-images';
comment on column sync.captured.label is 'The column with what people call the record';

comment on view sync.duplicates is 'Records of a target that bear one business key, as keys are compared';
comment on column sync.duplicates.key is 'The business key, its fields joined by commas';
comment on column sync.duplicates.mirror_ids is 'The records that bear it, by id in the mirror';
comment on column sync.duplicates.linked is 'Those among mirror_ids that are paired with a common record';

comment on view sync.field is 'The fields of the captured tables, and which belong together';
comment on column sync.field.relation is 'The captured table';
comment on column sync.field.number is 'Its place among the fields of the table, as schema/ has them';
comment on column sync.field.name is 'As the common model, or the system, calls it';
comment on column sync.field.column_name is 'The column that holds it';
comment on column sync.field.key_part is 'Its place in the key by which people name a record';
comment on column sync.field.reference is 'Common: the entity that it points at';
comment on column sync.field.master is 'Common: who may change it: systems, either side, or the hub';
comment on column sync.field.belongs_to is 'Of a system: the common field that a map pairs it with, by entity';

comment on view sync.missing is 'Inbound: what records point at that is not in its mirror';
comment on column sync.missing.field is 'The field that points at it';
comment on column sync.missing.entity_sets is 'Where it may be';
comment on column sync.missing.key is 'Its key, as the record gives it; between the parts of one stands the character 31';

comment on view sync.parents is 'What each record points at on its way, and whether that has landed';
comment on column sync.parents.field is 'The field that points at the parent, or the parts that a root waits for';
comment on column sync.parents.parent_table is 'The table that holds the parent';
comment on column sync.parents.parent_id is 'id in that table';
comment on column sync.parents.need is
    'required: the record waits for it; later: it goes without; if known: it does not matter';
comment on column sync.parents.landed is 'Whether the parent is where the record goes';
comment on column sync.parents.entity is 'The entity of the common model that the parent is, or has to become';

comment on view sync.part is 'The parts of each common record, in common and in the mirrors';
comment on column sync.part.entity is 'The entity of the root';
comment on column sync.part.root_id is 'id of the root in its common table';
comment on column sync.part.relation is 'The table that holds the part';
comment on column sync.part.record_id is 'id in that table';

comment on view sync.state is 'How a record may stand that is not in step, and what follows from it';
comment on column sync.state.state is 'As in sync.delivery; quarantined, orphaned, conflict and not_read have no delivery';
comment on column sync.state.meaning is 'What it means';
comment on column sync.state.todo is 'What a person does about it';
comment on column sync.state.next is 'What happens next; sync.explain says more where it knows more';
comment on column sync.state.moves is 'Whether it goes on by itself';
comment on column sync.state.needs_person is 'Whether it stays until somebody decides or corrects something';
comment on column sync.state.may_retry is 'Whether sync.retry takes it';
comment on column sync.state.may_skip is 'Whether sync.skip takes it: yes, by name, or no';
comment on column sync.state.settled is 'Whether nothing is left to do: status ends with 0 all the same';

comment on view sync.status is 'How each flow stands';
comment on column sync.status.rank is 'Dependency rank: lower goes first';
comment on column sync.status.records is 'Rows of the table that they come from';
comment on column sync.status.mirrored is 'Records of the entity set in its mirror';
comment on column sync.status.in_step is 'Linked records with nothing to do';
comment on column sync.status.pending is 'Marked, and taken up with the next cycle';
comment on column sync.status.in_flight is 'Sent and not answered yet, or without an answer';
comment on column sync.status.blocked is 'They wait for parents, or another record has their business key';
comment on column sync.status.failed is 'A passing failure; tried again by themselves';
comment on column sync.status.rejected is 'They do not fit, or the target said no';
comment on column sync.status.quarantined is 'Inbound: rows that the last read of their entity set could not take in';
comment on column sync.status.not_eligible is 'A condition of the map leaves them out';
comment on column sync.status.reported is
    'Somebody changed or removed them in the target, and the map only reports that';
comment on column sync.status.held is 'Updates of a first delivery that wait for a decision';
comment on column sync.status.skipped is 'Somebody decided to leave them alone';
comment on column sync.status.observed is 'What a flow in mode observe would write';
comment on column sync.status.conflicts is 'Open ones, with the flow of the system whose change met another';
comment on column sync.status.last_snapshot is 'When the entity set was last read';
comment on column sync.status.problem is 'Why it cannot be read';
comment on column sync.status.oldest is 'When the oldest mark that is on its way was made';
comment on column sync.status.lag_seconds is 'How long ago that was';
comment on column sync.status.last_success is 'When a record last arrived';
comment on column sync.status.paused is 'Whether it stands still on purpose';
comment on column sync.status.mode is 'apply, or observe: nothing is sent';

comment on function sync.find_gone is 'Records deleted since: those that an entity and a key meant';
comment on function sync.find is 'The records that an entity, or system.EntitySet, and a key mean';
comment on view sync.unlinked is 'Records of targets that are paired with no common record; never touched';
comment on column sync.unlinked.parted_at is 'When it was last parted from one; null where it never had one';
comment on view sync.unaccounted is
    'Records of targets that bear keys which the hub could have given, and that neither a pair nor a record''s key explains';
comment on column sync.unaccounted.record_id is 'id in the mirror of the entity set';
comment on view sync.orphans is
    'Records of targets that a restored hub found and does not know, as long as they are there and paired with nothing';
comment on column sync.orphans.record_id is 'id in the mirror of the entity set';
comment on column sync.orphans.since is 'When it was noticed';
comment on column sync.orphans.decided_at is 'When a person decided to leave it as it is; null: nobody did';
comment on column sync.orphans.decided_by is 'A database role, or whom the console knows';
comment on view sync.unexplained is 'The balance: records that are not in step and no delivery says why';
comment on view sync.differences is 'Records whose counterpart is not as it should be, field by field';
comment on view sync.pair is 'All crosswalks as one, by the ids of both sides';
comment on view sync.crosswalk is 'Which record of a system is which common record';
comment on schema desired is 'What common and each system should hold, by map';

-- A word means one thing wherever it stands, but for the columns of which a view says something else.
do $comments$
declare
    silent record;
begin
    for silent in
        select format('%I.%I.%I', c.relnamespace::regnamespace::text, c.relname, a.attname) as place, w.meaning
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        join (values
            ('action', 'What is to be done: create, update, delete, ...; or the verdict, where that is not present'),
            ('attempts', 'Failures in a row since it was last marked'),
            ('cause', 'What all records share that fail for one reason; sync.causes groups by it'),
            ('code', 'The kind of the failure: a word of the hub, or the code of the target or database'),
            ('common_id', 'id in the common table of the entity'),
            ('eligible', 'Whether the conditions of the map let the record go'),
            ('ended_at', 'When the pair was parted; null while it lives'),
            ('entity', 'The entity of the common model'),
            ('entity_set', 'The entity set, as its system calls it'),
            ('field', 'The field that is to blame, where it is a single one'),
            ('fields', 'By field: the value that the target holds, and the one that it should hold'),
            ('flow', 'The way the record goes: source > target; a part goes with its root'),
            ('later', 'References that are filled in when what they point at has arrived'),
            ('map', 'The map, source > target; of a part its own'),
            ('map_id', 'The map in sync.map'),
            ('mirror_id', 'id in the mirror of the entity set'),
            ('next_at', 'When it is tried again by itself; null: it is not'),
            ('operation', 'What is to be done: create, update, delete, ...'),
            ('reason', 'Why, in words; for a rejection the system''s own'),
            ('record', 'What people call the record'),
            ('record_id', 'Inbound: id in the mirror; outbound: id in common; of a part that of its root'),
            ('records', 'How many records'),
            ('relation', 'The table that holds it'),
            ('root_id', 'For a part: id of its root'),
            ('since', 'When it was first marked'),
            ('source_id', 'id in the table it comes from'),
            ('state', 'How it stands, as in sync.delivery'),
            ('system', 'The system, by its name in the configuration'),
            ('system_key', 'The key fields of the system, joined by commas'),
            ('target_id', 'id in the table that holds what it becomes; null: not linked'),
            ('tried_at', 'When it was last decided or sent'),
            ('verdict', 'present, absent, not eligible, history, blocked or invalid; only absent deletes'),
            ('waits_for', 'Each parent that is missing, in words')
        ) w (name, meaning) on w.name = a.attname
        where c.relkind = 'v' and c.relnamespace::regnamespace::text in ('desired', 'sync')
          and col_description(c.oid, a.attnum) is null
    loop
        execute format('comment on column %s is %L', silent.place, silent.meaning);
    end loop;
end
$comments$;
