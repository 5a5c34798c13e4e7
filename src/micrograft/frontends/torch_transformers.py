"""The ATen operators of transformers, one small handler each, as in `torch_operators`."""

from __future__ import annotations

import numpy as np

from micrograft.frontends import layers, transformers
from micrograft.frontends.network import Tensor
from micrograft.frontends.torch_operators import Call, handles


@handles("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu")
def _attention(call: Call) -> Tensor:
    if float(call.get("dropout_p", 0.0)):
        raise call.refused("its dropout is in training mode", "export the model after model.eval()")
    scale = call.get("scale")
    return transformers.attention(
        call.network, call.tensor("query"), call.tensor("key"), call.tensor("value"), call.optional("attn_mask"),
        None if scale is None else float(scale), causal=bool(call.get("is_causal", False)), origin=call.origin,
    )  # fmt: skip


@handles("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def _layer_norm(call: Call) -> Tensor:
    shape = call.get("normalized_shape")
    root = "eps" in call.arguments and "bias" not in call.arguments
    epsilon = call.get("eps", float(np.finfo(np.float32).eps))
    affine = (call.optional("weight"), call.optional("bias"))
    op = "rms_norm" if root else "layer_norm"
    return transformers.layer_norm(call.network, op, call.x, len(shape), affine, float(epsilon), origin=call.origin)


@handles("group_norm", "native_group_norm")
def _group_norm(call: Call) -> Tensor:
    groups = int(call.get("num_groups") or call.get("group"))
    affine = (call.optional("weight"), call.optional("bias"))
    return transformers.group_norm(
        call.network, call.x, groups, affine, float(call.get("eps", 1e-5)), origin=call.origin
    )


@handles("instance_norm")
def _instance_norm(call: Call) -> Tensor:
    if not call.get("use_input_stats", True):
        raise call.refused("an instance norm with running statistics is not supported")
    affine = (call.optional("weight"), call.optional("bias"))
    epsilon = float(call.get("eps", 1e-5))
    return transformers.group_norm(call.network, call.x, call.x.shape[1], affine, epsilon, origin=call.origin)


@handles("gelu")
def _gelu(call: Call) -> Tensor:
    op = "gelu_tanh" if call.get("approximate", "none") == "tanh" else "gelu"
    return call.network.add(op, (call.x,), origin=call.origin)


@handles("silu")
def _silu(call: Call) -> Tensor:
    return call.network.add("silu", (call.x,), origin=call.origin)


@handles("mm", "matmul", "bmm")
def _matmul(call: Call) -> Tensor:
    other = call.tensor("mat2" if "mat2" in call.arguments else "other")
    return transformers.matmul(call.network, call.x, other, origin=call.origin)


@handles("baddbmm")
def _baddbmm(call: Call) -> Tensor:
    if call.get("alpha", 1) != 1 or call.get("beta", 1) != 1:
        raise call.refused("baddbmm with alpha or beta is not supported")
    product = transformers.matmul(call.network, call.tensor("batch1"), call.tensor("batch2"), origin=call.origin)
    return layers.arithmetic(call.network, "add", product, call.tensor("self"), origin=call.origin)


@handles("expand", "broadcast_to")
def _expand(call: Call) -> Tensor:
    return transformers.expand(call.network, call.x, call.get("size"), origin=call.origin)


@handles("embedding")
def _embedding(call: Call) -> Tensor:
    weight, tokens = call.tensor("weight"), call.tensor("indices")
    padding = int(call.get("padding_idx", -1))
    if call.get("scale_grad_by_freq", False):
        raise call.refused("gradients divided by how often a row is read (scale_grad_by_freq) are not supported")
    return transformers.embedding(call.network, weight, tokens, padding, origin=call.origin)
