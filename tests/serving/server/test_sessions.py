"""How sessions are configured: the defaults, the ConfigProto file over them, the flags over the file."""

from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf import rewriter_config_pb2

from serving.engine.servable import Servable, SessionOptions
from serving.errors import InvalidArgument, NotFound
from tests.serving import saved_models

ONE, TWO = rewriter_config_pb2.RewriterConfig.ONE, rewriter_config_pb2.RewriterConfig.TWO


def test_a_config_file_is_laid_over_the_defaults_and_flags_over_it(tmp_path: Path) -> None:
    file = tmp_path / "session.pbtxt"
    file.write_text(
        "allow_soft_placement: true inter_op_parallelism_threads: 7 intra_op_parallelism_threads: 5 "
        "graph_options { rewrite_options { min_graph_nodes: 200 } }"
    )
    config = SessionOptions(inter_op_threads=3, config_file=file).proto()
    assert config.allow_soft_placement
    assert (config.inter_op_parallelism_threads, config.intra_op_parallelism_threads) == (3, 5)
    assert config.graph_options.rewrite_options.min_graph_nodes == 200
    assert config.graph_options.rewrite_options.meta_optimizer_iterations == ONE
    file.write_text("graph_options { rewrite_options { meta_optimizer_iterations: TWO } }")
    assert (
        SessionOptions(config_file=file).proto().graph_options.rewrite_options.meta_optimizer_iterations
        == TWO
    )


@pytest.mark.parametrize("content", [None, b"graph_options {", b"unknown: 1", b"\xff\xfe"])
def test_a_file_that_is_missing_or_no_config_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "session.pbtxt"
    if content is not None:
        file.write_bytes(content)
    kind = NotFound if content is None else InvalidArgument
    with pytest.raises(kind, match=r"Invalid protobuf file.*session\.pbtxt"):
        SessionOptions(config_file=file).proto()


def test_a_model_answers_under_a_config_file(tmp_path: Path) -> None:
    file = tmp_path / "session.pbtxt"
    file.write_text("graph_options { rewrite_options { disable_meta_optimizer: true } }")
    model = Servable("line", 1, saved_models.line(tmp_path / "1"), SessionOptions(config_file=file))
    signature = model.signatures["serving_default"]
    (given,), (wanted,) = signature.inputs.values(), signature.outputs.values()
    (answer,) = model.run({given.name: np.array([1, 2, 5], np.float32)}, [wanted.name])
    model.close()
    assert answer.ravel().tolist() == [2.5, 3.0, 4.5]
