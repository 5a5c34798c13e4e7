"""The ATen operators of transformers, one small handler each, as in `torch_operators`."""

from __future__ import annotations

import numpy as np

from micrograft.frontends import layers, transformers
from micrograft.frontends.network import Constant, Tensor
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


@handles("sum")
def _sum(call: Call) -> Tensor:
    axes = call.get("dim")
    every = range(len(call.x.shape)) if axes is None or axes == [] else axes
    keep = bool(call.get("keepdim", False))
    chosen = [every] if isinstance(every, int) else list(every)
    return layers.total(call.network, call.x, chosen, keep=keep, mean=False, origin=call.origin)


@handles("slice")
def _slice(call: Call) -> Tensor:
    axis, step = int(call.get("dim", 0)), int(call.get("step", 1))
    start, stop = int(call.get("start", 0)), int(call.get("end", call.x.shape[axis]))
    return transformers.part(call.network, call.x, axis, start, stop, step, origin=call.origin)


@handles("narrow")
def _narrow(call: Call) -> Tensor:
    axis, start = int(call.get("dim")), int(call.get("start"))
    start += call.x.shape[axis] if start < 0 else 0
    return transformers.part(call.network, call.x, axis, start, start + int(call.get("length")), origin=call.origin)


@handles("select")
def _select(call: Call) -> Tensor:
    axis, index = int(call.get("dim")), int(call.get("index"))
    return transformers.select(call.network, call.x, axis, index, origin=call.origin)


@handles("unbind")
def _unbind(call: Call) -> tuple[Tensor, ...]:
    axis = int(call.get("dim", 0))
    indices = range(call.x.shape[axis])
    return tuple(transformers.select(call.network, call.x, axis, index, origin=call.origin) for index in indices)


@handles("split", "split_with_sizes")
def _split(call: Call) -> tuple[Tensor, ...]:
    axis = int(call.get("dim", 0))
    sizes = call.get("split_sizes") or call.get("split_size")
    whole = call.x.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, whole - start) for start in range(0, whole, sizes)]
    return tuple(transformers.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("chunk")
def _chunk(call: Call) -> tuple[Tensor, ...]:
    axis = int(call.get("dim", 0))
    whole = call.x.shape[axis]
    size = -(-whole // int(call.get("chunks")))
    sizes = [min(size, whole - start) for start in range(0, whole, size)]
    return tuple(transformers.split(call.network, call.x, axis, sizes, origin=call.origin))


@handles("index_select")
def _index_select(call: Call) -> Tensor:
    index = call.tensor("index")
    if not isinstance(index, Constant):
        raise call.refused("its indices are computed from the data, and must be constant")
    return transformers.take(call.network, call.x, int(call.get("dim")), index.data, origin=call.origin)


@handles("stack")
def _stack(call: Call) -> Tensor:
    parts = call.get("tensors")
    axis = int(call.get("dim", 0)) % (len(parts[0].shape) + 1)
    ones = [layers.unsqueeze(call.network, each, [axis], origin=call.origin) for each in parts]
    return layers.concat(call.network, ones, axis, origin=call.origin)


@handles("expand", "broadcast_to")
def _expand(call: Call) -> Tensor:
    return transformers.expand(call.network, call.x, call.get("size"), origin=call.origin)


@handles("embedding")
def _embedding(call: Call) -> Tensor:
    weight, tokens = call.tensor("weight"), call.tensor("indices")
    padding = int(call.get("padding_idx", -1))
    return transformers.embedding(call.network, weight, tokens, padding, origin=call.origin)
