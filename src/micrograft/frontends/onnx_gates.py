"""ONNX activations that are made of others."""

from __future__ import annotations

from micrograft.frontends import gates
from micrograft.frontends.network import Tensor
from micrograft.frontends.onnx_operators import Call, handles


@handles("Sign")
def _sign(call: Call) -> Tensor:
    return gates.sign(call.network, call.x, origin=call.origin)


@handles("Shrink")
def _shrink(call: Call) -> Tensor:
    reach, bias = call.number("lambd", 0.5), call.number("bias", 0.0)
    if reach != bias:
        raise call.refused("a shrink whose bias is not its lambd is not supported")
    return gates.soft_shrink(call.network, call.x, reach, origin=call.origin)
