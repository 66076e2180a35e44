"""What the trail keeps of denied requests."""

import asyncio

import pytest

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.log import AuditLog
from cxr.serving.audit.record import DenialsOmitted, KeyUse
from cxr.serving.denials import Denials
from cxr.serving.events import EventQueue
from cxr.serving.journal import Journal
from cxr.serving.security.pseudonyms import Pseudonyms
from support.audit_trail import KEY, Stored, until

REVOKED = "0123456789ab"
MOST = 3


@pytest.fixture
def now():
    """The clock of the budgets, which a test sets."""
    return [0.0]


@pytest.fixture
def journal(tmp_path, now):
    return Journal(
        audit=AuditLog.open(tmp_path / "audit", key=KEY),
        events=EventQueue(None),
        pseudonyms=Pseudonyms(KEY),
        denials=Denials(most=MOST, clock=lambda: now[0]),
    )


async def flood(journal, count, *, key_id=None):
    for number in range(count):
        await journal.denied("unauthenticated", key_id=key_id, scope="predict", request_id=f"request-{number}")


def recorded(tmp_path, kind):
    """Key and number of each record of a kind: 1, or what it counts."""
    lines = [line for path in Stored(tmp_path / "audit").files() for line in path.read_bytes().splitlines(True)]
    events = [Chain(KEY).record(line).event for line in lines]
    return [(event.key_id, getattr(event, "omitted", 1)) for event in events if isinstance(event, kind)]


def test_a_flood_without_a_key_hides_no_denial_that_names_one(journal, tmp_path):
    async def deny():
        await flood(journal, 5 * MOST)
        await flood(journal, 1, key_id=REVOKED)
        await journal.close()

    asyncio.run(deny())
    assert recorded(tmp_path, KeyUse) == [*MOST * [(None, 1)], (REVOKED, 1)]


def test_the_end_of_the_process_records_how_many_denials_have_no_record(journal, tmp_path):
    async def deny():
        await flood(journal, MOST + 4)
        await flood(journal, MOST + 2, key_id=REVOKED)
        await journal.close()

    asyncio.run(deny())
    assert recorded(tmp_path, DenialsOmitted) == [(None, 4), (REVOKED, 2)]
    assert Stored(tmp_path / "audit").verify().intact


def test_the_end_of_the_minute_records_how_many_denials_have_no_record(journal, tmp_path, now):
    async def deny():
        await flood(journal, MOST)
        now[0] = 60.0  # the minute's last instant
        await flood(journal, 2)
        await asyncio.to_thread(until, lambda: recorded(tmp_path, DenialsOmitted))
        before_the_end = recorded(tmp_path, DenialsOmitted)
        await journal.close()
        return before_the_end

    assert asyncio.run(deny()) == recorded(tmp_path, DenialsOmitted) == [(None, 2)]


def test_a_flood_within_the_budget_leaves_no_such_record(journal, tmp_path):
    async def deny():
        await flood(journal, MOST)
        await journal.close()

    asyncio.run(deny())
    assert recorded(tmp_path, DenialsOmitted) == []
