"""Budgets of records for denied requests."""

import pytest

from cxr.serving.denials import Denials

STRANGER = None


@pytest.fixture
def now():
    """A clock that a test sets."""
    return [100.0]


@pytest.fixture
def denials(now):
    return Denials(most=2, most_keys=3, clock=lambda: now[0])


def taken(denials, *key_ids):
    return [denials.take(key_id) for key_id in key_ids]


def told(denials):
    return {event.key_id: event.omitted for event in denials.omitted()}


def test_each_key_and_the_strangers_together_have_a_budget_of_their_own(denials):
    assert taken(denials, STRANGER, STRANGER, STRANGER, "a", "b", "a", "a", "b", "b") == [
        True, True, False, True, True, True, False, True, False
    ]  # fmt: skip


def test_denials_without_a_record_are_told_once_by_key(denials):
    taken(denials, *5 * [STRANGER], *3 * ["a"], "b")
    assert denials.untold == 4
    assert told(denials) == {STRANGER: 3, "a": 1}
    assert denials.untold == 0
    assert told(denials) == {}


def test_keys_beyond_those_that_are_kept_share_the_budget_of_strangers(denials):
    assert taken(denials, "a", "b", "c", "d", "e", "f", "a") == [True, True, True, True, True, False, True]
    assert told(denials) == {STRANGER: 1}


def test_budgets_are_full_again_after_a_minute(denials, now):
    taken(denials, STRANGER, STRANGER)
    now[0] += 59.5
    assert taken(denials, STRANGER) == [False]
    assert denials.ends_in() == pytest.approx(0.5)
    now[0] += 1
    assert denials.ends_in() == 0
    assert taken(denials, STRANGER) == [True]
    assert denials.ends_in() == pytest.approx(60)
    assert told(denials) == {STRANGER: 1}
