"""Models that are written: both files or neither, and a word about why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from npusim.errors import UserError
from npusim.files.models import save_model


def test_a_model_that_cannot_be_written_leaves_nothing_and_says_how_much_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(model: ov.Model, path: Path, **_: bool) -> None:
        path.write_text("<net")
        raise RuntimeError("Check failed at serialize.cpp:\nbasic_ios::clear: iostream error")

    monkeypatch.setattr(ov, "save_model", full)
    x = op.parameter([1], np.float16)
    with pytest.raises(UserError, match=r"cannot write to .*m.xml: basic_ios.*; [\d,]+ KiB are free there"):
        save_model(ov.Model([op.relu(x)], [x], "m"), tmp_path / "m.xml")
    assert list(tmp_path.iterdir()) == []
