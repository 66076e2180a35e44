"""Opening what a predictor writes to."""

from pathlib import Path

import pytest

from cxr.errors import ServingError
from cxr.serving.opening import open_journal
from cxr.serving.settings import Settings


@pytest.mark.parametrize("state", ["file", "file/below"])
def test_a_state_folder_that_cannot_be_one_is_named(tmp_path: Path, state: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServingError, match=f"{state}/audit.key must be there, or its folder one that can be written"):
        open_journal(Settings(bundle=tmp_path, state=tmp_path / state))
