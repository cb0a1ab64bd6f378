"""Days that a system stores as the instant at which they begin for a person."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.connectors import dataverse, finops
from replicator.connectors.protocol import FieldProblem
from replicator.mapping.language import EntitySetSpec, SystemField
from replicator.mapping.local_days import day_of, midnight, time_zone

UTC = datetime.UTC
zones = sorted(name for name in available_timezones() if "/" in name)
days = st.dates(datetime.date(1900, 1, 1), datetime.date(2150, 12, 31))
recent = st.dates(datetime.date(1980, 1, 1), datetime.date(2060, 12, 31))


def local(name: str = "Europe/Berlin") -> SystemField:
    return SystemField.model_validate({"type": "date", "stored_as": "local midnight", "time_zone": name})


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


@given(days, st.sampled_from(zones))
def test_a_day_that_is_written_is_read_again_in_every_zone_whatever_its_clocks_do(
    day: datetime.date, zone: str
) -> None:
    assert day_of(midnight(day, time_zone(zone)), time_zone(zone)) == day


@given(recent, st.sampled_from(zones))
def test_the_day_that_a_person_typed_arrives_whatever_zone_is_configured(day: datetime.date, zone: str) -> None:
    typed = midnight(day, ZoneInfo(zone))
    east = typed.time() > datetime.time(12)
    west = typed.time() < datetime.time(10)
    for configured in ("UTC", "Europe/Berlin", "America/Los_Angeles"):
        own = day_of(typed, time_zone(configured))
        # Between 10 and 12 in UTC it is midnight for two days; and what is midnight where the zone is, is that day.
        assert own == day or not (east or west) or midnight(own, time_zone(configured)) == typed


@pytest.mark.parametrize(
    ("typed", "zone", "day"),
    [
        ("2026-11-30T23:00:00Z", "UTC", "2026-12-01"),  # Berlin in winter
        ("2026-06-30T22:00:00Z", "UTC", "2026-07-01"),  # Berlin in summer
        ("2026-12-01T00:00:00Z", "Europe/Berlin", "2026-12-01"),  # London
        ("2026-12-01T05:00:00Z", "Europe/Berlin", "2026-12-01"),  # New York
        ("2026-11-30T18:30:00Z", "Europe/Berlin", "2026-12-01"),  # Delhi
        ("2026-11-30T15:00:00Z", "America/New_York", "2026-12-01"),  # Tokyo
        ("2026-12-01T10:00:00Z", "Europe/Berlin", "2026-12-01"),  # Honolulu
        ("2026-11-30T11:00:00Z", "Pacific/Auckland", "2026-12-01"),  # Auckland in summer
        ("2026-11-30T11:00:00Z", "Pacific/Fiji", "2026-12-01"),  # the same, for people an hour apart
        ("2026-12-01T11:00:00Z", "Pacific/Pago_Pago", "2026-12-01"),
        ("2026-12-01T12:00:00Z", "UTC", "2026-12-01"),  # noon, as programs write a day that no zone is to change
        ("2026-12-01T03:00:07Z", "America/New_York", "2026-11-30"),  # nobody's midnight
        ("2026-09-06T04:00:00Z", "America/Santiago", "2026-09-06"),  # clocks skipped midnight
        ("0001-01-01T00:00:00Z", "UTC", "0001-01-01"),
    ],
)
def test_an_instant_is_the_day_of_the_person_who_typed_it(typed: str, zone: str, day: str) -> None:
    assert day_of(instant(typed), time_zone(zone)) == datetime.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("zone", "sent"),
    [
        ("Europe/Berlin", "2026-11-30T23:00:00Z"),
        ("America/Los_Angeles", "2026-12-01T08:00:00Z"),
        ("UTC", "2026-12-01T00:00:00Z"),
    ],
)
def test_a_day_goes_out_as_the_midnight_of_its_zone(zone: str, sent: str) -> None:
    day = datetime.date(2026, 12, 1)
    plain = SystemField.model_validate({"type": "date", "stored_as": "local midnight"})
    for encoded, convert in ((dataverse.encoded, dataverse.converter), (finops.encoded, finops.converter)):
        own = EntitySetSpec(entity_set="things", description="", key=("id",), fields={"day": local(zone)})
        assert encoded(own, {"day": day}) == {"day": sent}
        assert convert("day", local(zone))(sent) == day
        of_the_system = own.model_copy(update={"fields": {"day": plain}})
        assert encoded(of_the_system, {"day": day}, time_zone(zone)) == {"day": sent}
        assert convert("day", plain, time_zone(zone))(sent) == day


def test_a_day_that_begins_before_all_time_is_told_by_its_field() -> None:
    things = EntitySetSpec(entity_set="things", description="", key=("id",), fields={"day": local("Asia/Tokyo")})
    with pytest.raises(FieldProblem, match=r"^day: .*0001-01-01.* does not begin"):
        dataverse.encoded(things, {"day": datetime.date(1, 1, 1)})
    with pytest.raises(FieldProblem, match="is not a date and time"):
        dataverse.converter("day", local("America/New_York"))("9999-12-31T23:00:00Z")


def test_a_zone_that_is_none_is_refused_where_it_is_said() -> None:
    with pytest.raises(ValueError, match=r"'Berlin' is no time zone of this machine, as Europe/Berlin or UTC"):
        local("Berlin")
    with pytest.raises(ValueError, match="'stored_as' belongs to fields of type date"):
        SystemField.model_validate({"type": "text", "stored_as": "local midnight"})
    with pytest.raises(ValueError, match="'time_zone' belongs to 'stored_as: local midnight'"):
        SystemField.model_validate({"type": "date", "time_zone": "UTC"})
