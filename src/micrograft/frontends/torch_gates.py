"""ATen activations that are made of others."""

from __future__ import annotations

from micrograft.frontends import gates
from micrograft.frontends.network import Tensor
from micrograft.frontends.torch_operators import Call, handles


@handles("glu")
def _glu(call: Call) -> Tensor:
    return gates.glu(call.network, call.x, int(call.get("dim", -1)), origin=call.origin)


@handles("log_sigmoid", "log_sigmoid_forward")
def _log_sigmoid(call: Call) -> Tensor:
    return gates.log_sigmoid(call.network, call.x, origin=call.origin)


@handles("softshrink")
def _soft_shrink(call: Call) -> Tensor:
    return gates.soft_shrink(call.network, call.x, float(call.get("lambd", 0.5)), origin=call.origin)


@handles("sign", "sgn")
def _sign(call: Call) -> Tensor:
    return gates.sign(call.network, call.x, origin=call.origin)
