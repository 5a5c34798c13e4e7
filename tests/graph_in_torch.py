"""A graph of ours as a PyTorch module: its parameters under the user's names, its operators by their torch meaning."""

from __future__ import annotations

import torch

from micrograft.ir.graph import Graph, Param
from tests.ops.torch_meanings import MEANINGS


class GraphInTorch(torch.nn.Module):
    """Computes `graph` on one sample in the user's layout; parameters are in the user's layout too."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        for param in graph.params:
            *path, last = param.source.split(".")
            module: torch.nn.Module = self
            for name in path:
                if name not in dict(module.named_children()):
                    module.add_module(name, torch.nn.Module())
                module = module.get_submodule(name)
            module.register_parameter(last, torch.nn.Parameter(torch.from_numpy(param.to_user(param.data).copy())))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = dict(self.named_parameters())
        values = {param.name: _from_user(param, own[param.source]) for param in self._graph.params}
        (source,), (result,) = self._graph.inputs, self._graph.outputs
        order = [source.permutation.index(axis) for axis in range(x.ndim)]
        values[source.value.name] = x.permute(order)
        for node in self._graph.nodes:
            inputs = [values[value.name] for value in node.inputs]
            values[node.outputs[0].name] = MEANINGS[node.op](node.attrs, *inputs)
        return values[result.value.name].permute(result.permutation)


def _from_user(param: Param, data: torch.Tensor) -> torch.Tensor:
    """`Param.from_user`, which autograd can follow."""
    axes = param.axes or param.value.shape
    permuted = data.reshape([axes[axis] for axis in param.permutation])
    order = [param.permutation.index(axis) for axis in range(len(axes))]
    return permuted.permute(order).reshape(param.value.shape)
