"""A solution's next revision, written whole from its schema: what it makes, marks, refuses and leaves alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from replicator.errors import HubMismatch, Terminal
from replicator.mapping.compiled import compile_folder
from replicator.solution import shipped
from replicator.solution.hub_fits import check_hub
from replicator.solution.migrate import MigrationTarget, alembic_config, migrate
from replicator.solution.revise import revise
from replicator.solution.table_comparison import unmade

pytestmark = pytest.mark.thorough

NUMBER = "  number: {length: 20, required: true"
TELEPHONE = "  telephone3: {length: 50}\n"
PHONE_3 = "  phone_3: {length: 50,"


@dataclass
class Own:
    """A solution of somebody's own, and the hub it was made for."""

    engine: sa.Engine
    folder: Path

    @property
    def target(self) -> MigrationTarget:
        return MigrationTarget(self.engine, compile_folder(self.folder / "schema"), self.folder)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / "schema" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def revise(self) -> str:
        """The text of the revision that is written."""
        path = revise(self.target, "What changes")
        assert path is not None
        return path.read_text(encoding="utf-8")

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def rows(self, query: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(query)).scalars())

    def constraint(self, name: str) -> list[Any]:
        return self.rows(f"select pg_get_constraintdef(oid) from pg_constraint where conname = '{name}'")

    def unmade(self) -> list[str]:
        with self.engine.connect() as connection:
            return unmade(connection, self.target.compiled)


@pytest.fixture
def own(hub: sa.Engine, tmp_path: Path) -> Own:
    shipped.write(tmp_path / "own")
    return Own(hub, tmp_path / "own")


def described(revision: str) -> list[str]:
    """What a person is asked to look at."""
    return re.findall(r"# A person has to look: (.*)", revision)


def test_a_field_of_ones_own_is_edited_revised_and_migrated(own: Own) -> None:
    """Mirror, common table, both before-images; length and values as constraints; foreign key and index."""
    own.edit("common/account.yaml", NUMBER, "  sector: {length: 12, values: [Trade, Craft]}\n"
             "  favourite: {reference: product}\n" + NUMBER)  # fmt: skip
    own.edit("sales/accounts.yaml", TELEPHONE, TELEPHONE + "  sic: {length: 20}\n")
    with pytest.raises(HubMismatch, match=r"no revision has made: .*common\.account\.sector.*replicator revise -m"):
        migrate(own.target)
    with pytest.raises(HubMismatch, match=r"no revision has made: .*replicator revise -m"):
        check_hub(own.target)
    path = revise(own.target, "Add the sector")
    assert path == own.folder / "migrations/versions/0002_add_the_sector.py"
    assert described(path.read_text(encoding="utf-8")) == []
    migrate(own.target)
    check_hub(own.target)
    assert own.unmade() == []
    assert revise(own.target, "Nothing") is None
    columns = "select attrelid::regclass::text from pg_attribute where attname = '{}' and attnum > 0 order by 1"
    tables = "('common.account', 'log.common_account', 'sales.accounts', 'log.sales_accounts')"
    assert own.rows(columns.format("sic").replace("order", f"and attrelid::regclass::text in {tables} order")) == [
        "log.sales_accounts", "sales.accounts",
    ]  # fmt: skip
    with pytest.raises(sa.exc.IntegrityError, match="ck_account_sector_known"):
        own.run("insert into common.account (organization_id, number, kind, status, sector) "
                "values (1, 'A', 'Person', 'Active', 'Banking')")  # fmt: skip
    assert own.constraint("fk_account_favourite_id") == [
        "FOREIGN KEY (favourite_id) REFERENCES common.product(id) DEFERRABLE INITIALLY DEFERRED"
    ]  # fmt: skip
    assert own.rows("select to_regclass('common.ix_account_favourite_id')::text") == ["common.ix_account_favourite_id"]
    command.downgrade(alembic_config(own.target), "solution@0001")
    assert own.rows("select version_num from sync.alembic_version order by 1") == ["0001", "replicator_0002"]
    assert "column common.account.sector" in own.unmade()


def test_other_lengths_and_values_replace_the_constraints(own: Own) -> None:
    """Alembic by itself sees no CHECK constraint of a table that is there."""
    own.edit("common/account.yaml", PHONE_3, "  phone_3: {length: 60,")
    own.edit(
        "common/account.yaml", "[Single, Married, Divorced, Widowed]", "[Single, Married, Divorced, Widowed, Other]"
    )
    assert own.unmade() == [
        "constraint ck_account_marital_status_known of common.account",
        "constraint ck_account_marital_status_known of common.account",
        "constraint ck_account_phone_3_length of common.account",
        "constraint ck_account_phone_3_length of common.account",
    ]  # fmt: skip
    own.revise()
    migrate(own.target)
    assert own.constraint("ck_account_phone_3_length") == [
        "CHECK ((char_length(phone_3) <= 60))"
    ]  # fmt: skip
    assert own.unmade() == []


def test_what_a_revision_does_to_rows_is_looked_at(own: Own) -> None:
    """No capture sees it; a revision that leaves them alone is not followed by a look at everything."""
    own.run("insert into sales.accounts (accountid, accountnumber, name) values (gen_random_uuid(), 'A-1', 'One')")
    own.run("update sync.map set marked_hash = hash")
    own.edit("common/account.yaml", PHONE_3, "  phone_3: {length: 60,")
    own.revise()
    migrate(own.target)
    assert own.rows("select count(*) from sync.map where in_use and marked_hash is null") == [0]
    own.edit("common/account.yaml", "  phone_3: {length: 60,", PHONE_3)
    assert revise(own.target, "Cut") is not None
    (written,) = [path for path in (own.folder / "migrations/versions").glob("*.py") if "cut" in path.name.lower()]
    text = written.read_text("utf-8")
    head = "def upgrade() -> None:\n"
    assert head in text
    written.write_text(
        text.replace(head, head + "    op.execute(\"update sales.accounts set name = 'Two'\")\n", 1), "utf-8"
    )
    migrate(own.target)
    assert own.rows("select count(*) from sync.map where in_use and marked_hash is not null") == [0]


def test_a_text_that_becomes_a_number_is_cast_and_marked(own: Own) -> None:
    """The length was a constraint in common: it goes before the column changes."""
    own.run("insert into sales.accounts (accountid, accountnumber, telephone3) "
            "values (gen_random_uuid(), 'A-1', ' 17.5 '), (gen_random_uuid(), 'A-2', '')",
            "update sales.accounts set telephone3 = telephone3 || ''")  # fmt: skip
    own.edit("sales/accounts.yaml", TELEPHONE, "  telephone3: {type: decimal}\n")
    own.edit("common/account.yaml", PHONE_3, "  phone_3: {type: decimal,")
    own.edit("sales/contacts.yaml", "      phone_3: mobilephone\n", "")
    with pytest.raises(HubMismatch, match=r"no revision has made: column .*sales.accounts.telephone3"):
        migrate(own.target)
    text = own.revise()
    assert described(text) == [
        f"{column} from TEXT to NUMERIC, which PostgreSQL does not do by itself; "
        "a value that the cast does not take stops the migration"
        for column in (
            "common.account.phone_3",
            "log.common_account.phone_3",
            "log.sales_accounts.telephone3",
            "sales.accounts.telephone3",
        )
    ]
    assert text.count("postgresql_using=\"nullif(btrim(telephone3), '')::numeric\"") == 2
    migrate(own.target)
    assert own.rows("select telephone3 from sales.accounts order by accountnumber") == [17.5, None]
    assert own.unmade() == []
    command.downgrade(alembic_config(own.target), "solution@-1")
    assert own.rows("select telephone3 from sales.accounts order by accountnumber") == ["17.5", None]


@pytest.mark.parametrize(
    ("using", "words"),
    [("", "cannot be cast automatically to type numeric"), (", postgresql_using='telephone3::numeric'", "17.5 EUR")],
)
def test_a_revision_that_does_not_fit_the_values_is_refused_with_what_to_write(
    own: Own, using: str, words: str
) -> None:
    own.run("insert into sales.accounts (accountid, accountnumber, telephone3) "
            "values (gen_random_uuid(), 'A-1', '17.5 EUR')")  # fmt: skip
    own.edit("sales/accounts.yaml", TELEPHONE, "  telephone3: {type: decimal}\n")
    own.edit("common/account.yaml", PHONE_3, "  phone_3: {type: decimal,")
    own.edit("sales/contacts.yaml", "      phone_3: mobilephone\n", "")
    own.revise()
    (file,) = [each for each in (own.folder / "migrations/versions").iterdir() if each.name.startswith("0002")]
    text = file.read_text(encoding="utf-8")
    cast = re.compile(r",\s*postgresql_using=\"nullif\(btrim\(telephone3\), ''\)::numeric\"")
    file.write_text(cast.sub(using, text), encoding="utf-8")
    with pytest.raises(Terminal, match=re.escape(words)) as refused:
        migrate(own.target)
    assert "telephone3" in refused.value.message.lower()
    assert "postgresql_using" in refused.value.hint
    assert own.rows("select telephone3 from sales.accounts") == ["17.5 EUR"]


def test_a_new_system_gets_its_schema_and_one_that_goes_loses_it(own: Own) -> None:
    crm = own.folder / "schema" / "crm"
    crm.mkdir()
    (crm / "Units.yaml").write_text(
        "entity_set: Units\ndescription: Units of the shop.\nkey: [Code]\nfields:\n  Code: {length: 100}\n"
        "maps:\n  - from: unit\n    fields:\n      Code: code\n",
        encoding="utf-8",
    )
    text = own.revise()
    assert "create schema crm" in text
    migrate(own.target)
    assert own.rows("select obj_description('crm'::regnamespace)") == [
        "Mirrors of the entity sets of crm: the last image known of each record"
    ]
    assert own.rows("select to_regclass('sync.link_crm_units__unit')::text") == ["sync.link_crm_units__unit"]
    (crm / "Units.yaml").unlink()
    crm.rmdir()
    migrate(own.target)  # what is too much is in nobody's way
    gone = own.revise()
    assert "drop schema crm" in gone
    assert described(gone) == ["what it holds is gone for good"] * 3
    migrate(own.target)
    assert own.rows("select to_regnamespace('crm')::text") == [None]
    command.downgrade(alembic_config(own.target), "solution@-1")
    assert own.rows("select to_regclass('crm.units')::text") == ["crm.units"]


def test_what_rows_that_are_there_need_is_marked(own: Own) -> None:
    own.edit(
        "common/product.yaml", "  number: {length: 70,", "  grade: {length: 5, required: true}\n  number: {length: 70,"
    )
    own.edit("ops/SellableReleasedProducts.yaml", "    fields:\n", "    fields:\n      grade: {constant: A}\n")
    assert described(own.revise()) == ["rows that are there already need a value before this can be run"]


def test_new_words_need_no_revision(own: Own) -> None:
    own.edit("common/unit.yaml", "description: A unit of measure", "description: One unit of measure")
    own.edit("common/unit.yaml", "The symbol in ops", "The sign in ops")
    assert revise(own.target, "Words") is None
    migrate(own.target)
    assert own.rows("select obj_description('common.unit'::regclass)")[0].startswith("One unit of measure")


def test_a_revision_is_not_written_on_another_that_has_not_run(own: Own) -> None:
    own.edit("sales/accounts.yaml", TELEPHONE, TELEPHONE + "  sic: {length: 20}\n")
    own.revise()
    own.edit("sales/accounts.yaml", TELEPHONE, TELEPHONE + "  ownership: {length: 20}\n")
    with pytest.raises(HubMismatch, match=r"up to 0002.*replicator migrate.*delete that file"):
        revise(own.target, "Another")
    assert len(list((own.folder / "migrations/versions").glob("*.py"))) == 2


def test_a_column_too_many_is_in_the_way_only_where_it_needs_a_value(own: Own) -> None:
    own.run("alter table common.unit add remark text", "create index of_the_administrator on common.unit (id)")
    migrate(own.target)
    own.run("alter table common.unit add must integer not null")
    with pytest.raises(HubMismatch, match=r"column common\.unit\.must"):
        migrate(own.target)
