import contextlib
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.contracts.events import PredictionEvent
from cxr.drift.window import DurableWindow
from support.full_disk import files_at_most

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from drift.test_window import make
from cxr.drift.window import DurableWindow
from pathlib import Path
window = DurableWindow(Path(sys.argv[1]), capacity=50, segment=40)
for number in range(100000):
    window.append([make(number)])
    print(number, flush=True)
"""


def make(number):
    return PredictionEvent(
        request_id=f"r-{number}",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        bundle="a" * 64,
        embedding=np.array([number], "<f4").tobytes(),
        probabilities={"Normal": 1.0},
        decision="Normal",
        confidence=1.0,
        distance=0.0,
        statistics=(),
    )


@contextlib.contextmanager
def opened(folder, **options):
    window = DurableWindow(folder, **options)
    yield window
    window.close()


def kept(folder, **options):
    with opened(folder, **options) as window:
        return names(window)


def names(window):
    return [event.request_id for event in window.events]


def test_the_latest_events_are_there_after_a_restart(tmp_path):
    with opened(tmp_path / "w", capacity=30, segment=20) as window:
        for start in range(0, 95, 5):
            assert window.append([make(number) for number in range(start, start + 5)]) == 5
        assert names(window) == [f"r-{number}" for number in range(65, 95)]
    assert kept(tmp_path / "w", capacity=30, segment=20) == names(window)


def test_old_files_are_removed(tmp_path):
    with opened(tmp_path / "w", capacity=30, segment=20) as window:
        for number in range(500):
            window.append([make(number)])
    assert len(list((tmp_path / "w").iterdir())) <= 4


def test_an_event_counts_once_also_after_a_restart(tmp_path):
    with opened(tmp_path / "w") as window:
        assert window.append([make(1), make(1), make(2)]) == 2
    with opened(tmp_path / "w") as window:
        assert window.append([make(2), make(3)]) == 1


@given(st.integers(1, 800))
@settings(max_examples=30, deadline=None)  # also run where tests/conftest.py is not read
def test_a_torn_last_line_is_cut_off_and_the_rest_stays(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("torn")
    with opened(folder) as window:
        window.append([make(1), make(2)])
    (path,) = folder.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[: max(len(data) - cut, 0)])
    with opened(folder) as window:
        left = names(window)
        window.append([make(3)])
    assert left == ["r-1", "r-2"][: len(left)]
    assert kept(folder) == [*left, "r-3"]


def test_what_was_taken_survives_sigkill(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "w"), str(Path(__file__).parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        acknowledged = [int(process.stdout.readline()) for _ in range(70)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split()]
    found = [int(name.removeprefix("r-")) for name in kept(tmp_path / "w", capacity=50, segment=40)]
    assert found[-1] in (acknowledged[-1], acknowledged[-1] + 1)
    assert found == list(range(found[-1] - 49, found[-1] + 1))


def test_others_cannot_read_it(tmp_path):
    with opened(tmp_path / "w") as window:
        window.append([make(1)])
    assert (tmp_path / "w").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [0, 3])
def test_an_empty_batch_is_nothing(tmp_path, number):
    with opened(tmp_path / "w") as window:
        window.append([make(place) for place in range(number)])
        assert window.append([]) == 0
        assert len(window.events) == number


def test_where_no_file_can_be_begun_the_full_one_goes_on_until_one_can(tmp_path):
    with opened(tmp_path / "w", segment=2) as window:
        obstacle = tmp_path / "w" / "events-00000002.jsonl"
        obstacle.mkdir()
        assert [window.append([make(number)]) for number in range(4)] == [1] * 4
        obstacle.rmdir()
        assert [window.append([make(number)]) for number in range(4, 6)] == [1] * 2
        assert len(obstacle.read_bytes().splitlines()) == 1
    assert kept(tmp_path / "w") == [f"r-{number}" for number in range(6)]


@pytest.mark.parametrize("room", [0, 1, 100])
def test_what_a_full_disk_refuses_leaves_nothing_behind(tmp_path, room):
    with opened(tmp_path / "w") as window:
        window.append([make(0)])
        (path,) = (tmp_path / "w").iterdir()
        size = path.stat().st_size
        with files_at_most(size + room):
            for number in (1, 2):
                with pytest.raises(OSError, match="File too large"):
                    window.append([make(number)])
        assert path.stat().st_size == size
        assert window.append([make(1)]) == 1
    assert kept(tmp_path / "w") == ["r-0", "r-1"]
