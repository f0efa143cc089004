"""A model of two ops, which lowers in milliseconds."""

from __future__ import annotations

import numpy as np
import pytest

from npusim import load_hardware
from npusim.explore.axes import bind, parse_axis
from npusim.explore.space import Space
from npusim.source import ModelSource


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    import openvino as ov
    from openvino import opset13 as op

    given = op.parameter([64, 256], np.float16, name="given")
    weights = op.constant(np.full((256, 256), 0.01, np.float16))
    model = ov.Model([op.exp(op.matmul(given, weights, False, False))], [given], "tiny")
    path = tmp_path_factory.mktemp("model") / "tiny.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return ModelSource(file=path)


@pytest.fixture
def space(tiny: ModelSource) -> Space:
    hw = load_hardware("lunarlake.yaml")
    texts = ["tiles=1,2,4", "ddr.bandwidth_gbps=34:136:3", "clocks.vpu_mhz=800,1200"]
    return Space(hw, tiny, bind([parse_axis(text) for text in texts], hw, tiny))
