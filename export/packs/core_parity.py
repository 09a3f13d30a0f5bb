"""The gate between a pack's int8 graphs and the core's weights: onnxruntime and the core, every convolution and addition, byte for byte.

Takes a graph and the weights that `export.core_weights` made of it, runs both on integers from ordinary to the largest that the pack
admits, and raises on the first byte that differs, with the node's name.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from ...runtime.core import Core
from .parity import ParityError

SIZES = ((1, 1), (1, 7), (9, 4), (13, 21))
"""Rows and columns: smaller than a tile of 4, not a multiple of it, and several rows of tiles."""

SPREADS = (8.0, 120.0, 5000.0)
"""Of latents in grid units: those of a coarse file, of a fine one, and beyond 16 bits."""

PRECISION_LIMIT, LEVEL_LIMIT = 200, 15


def case(channels: int, rows: int, columns: int, spread: float, l1_limit: int, seed: int) -> dict[str, NDArray[np.int32]]:
    """Inputs of a denoiser, int32 (C, rows, columns): latents whose L1 norm is at most `l1_limit`, and about that at large spreads."""
    random = np.random.default_rng(seed)
    shape = (channels, rows, columns)
    values = np.rint(random.laplace(0.0, spread, shape)).astype(np.int64)
    norm = np.maximum(np.abs(values).sum(axis=0), 1)
    values = np.where(norm > l1_limit, np.sign(values) * (np.abs(values) * l1_limit // norm), values)
    # the whole limit in one channel at one position: more than 16 bits
    values[:, 0, 0] = 0
    values[-1, 0, 0] = -l1_limit
    precision = random.integers(0, PRECISION_LIMIT + 1, shape if spread > 1000 else (channels, 1, 1))
    return {
        "latents": values.astype(np.int32),
        "levels": random.integers(-LEVEL_LIMIT, LEVEL_LIMIT + 1, shape).astype(np.int32),
        "precision": np.broadcast_to(precision, shape).astype(np.int32),
        # up to what no float32 holds exactly any more
        "half_width": random.integers(0, 1 << 26, shape).astype(np.int32) >> random.integers(0, 26, shape),
    }


def check_core_parity(graph: bytes, weights: bytes, channels: int, l1_limit: int, core: Core, linear: int = 0) -> int:
    """How many bytes were compared, all equal: of every layer, and of the result (a decoder's needs its pack's `linear`, opened in `core`).

    Raises ParityError for the first layer that differs.
    """
    model = onnx.load_from_string(graph)
    layers = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "QLinearConv")]
    result = model.graph.output[0].name
    for node in layers:
        model.graph.output.append(helper.make_tensor_value_info(node.output[0], onnx.TensorProto.UINT8, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in model.graph.input]
    network = core.network(weights, l1_limit)
    compared = 0
    for seed, (rows, columns) in enumerate(SIZES):
        for spread in SPREADS:
            inputs = case(channels, rows, columns, spread, l1_limit, seed)
            wanted = session.run(None, {name: inputs[name].astype(np.float32)[None] for name in names})
            arrays = [inputs[name] if name in names else None for name in ("latents", "levels", "precision", "half_width")]
            # the stem is written with its channels first, all others with them last
            expected = [wanted[1].transpose(0, 2, 3, 1), *wanted[2:]]
            for number, (node, levels) in enumerate(zip(layers, expected, strict=True)):
                found = np.frombuffer(core.run(network, 0, arrays, levels.size, number), np.uint8)
                compared += _compare(found, levels.reshape(-1), f"node '{node.name}' ({node.op_type}) at {rows} x {columns} positions")
            whole = wanted[0].reshape(-1) if result == "rgba" else wanted[0].astype(np.int32).reshape(-1).view(np.uint8)
            found = np.frombuffer(core.run(network, linear, arrays, whole.size), np.uint8)
            compared += _compare(found, whole, f"'{result}' at {rows} x {columns} positions")
    core.free(network)
    return compared


def _compare(found: NDArray[np.uint8], expected: NDArray[np.uint8], what: str) -> int:
    if found.shape != expected.shape:
        raise ParityError(f"the core gives {found.size} bytes of {what}, onnxruntime {expected.size}")
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        at = int(wrong[0])
        raise ParityError(
            f"the core differs from onnxruntime in {len(wrong)} bytes of {what}, first at {at}: {found[at]}, not {expected[at]}; "
            "the graph must not be exported"
        )
    return found.size
