"""An int8 network learns: float32 additions to a frozen one, and its own int8 weights and int32 biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from micrograft import api
from micrograft.errors import MicrograftError
from micrograft.ir.graph import Graph, Node, TrainStep
from micrograft.ir.types import Array
from micrograft.ops.fixed_point import factor_of
from micrograft.ops.requantization import MULTIPLIER, SHIFT, Codes
from micrograft.ops.sparse_layer import SparseAttrs
from micrograft.passes.attach_optimizer import SGD
from micrograft.passes.float_head import float_head
from micrograft.passes.fuse_quantization import fuse_quantization
from micrograft.peft.bias import Bias
from micrograft.peft.full import Full
from micrograft.peft.head import Head
from micrograft.peft.ia3 import IA3
from micrograft.peft.lora import LoRA
from micrograft.peft.method import Method
from micrograft.peft.scheme import LayerScheme, Scheme
from micrograft.peft.sparse import Sparse
from micrograft.planning.memory import Ram
from micrograft.reference import Memory, run, run_step
from micrograft.samples import Samples, check_inputs
from micrograft.toolchain.emulator import Emulator
from micrograft.toolchain.runner import measure_ram
from tests.int8_networks import KEYWORDS, MCUNET, RESNET, drawn, inputs, model

Tensor = torch.Tensor
SPARSE = Sparse(
    Scheme(
        (
            LayerScheme("stem", weight=0.4, side="output"),
            LayerScheme("depthwise", bias=True, weight=0.5),
            LayerScheme("pointwise", bias=True, weight=0.3),
            LayerScheme("head", bias=True, weight=0.5),
        )
    )
)
METHODS: list[tuple[Method, ...]] = [
    (Head(),),
    (LoRA(rank=3),),
    (LoRA(rank=2, freeze_a=True), Head()),
    (Bias(),),
    (LoRA(rank=2, freeze_a=True), Bias()),
    (Full(),),
    (IA3(),),
    (SPARSE,),
    (Sparse(Scheme(SPARSE.scheme.layers[1:])), LoRA(rank=2)),
]


def samples(network: Graph, count: int) -> Array:
    images = np.random.default_rng(3).uniform(-2, 2, (count, 8, 8, 3)).astype(np.float32)
    return check_inputs(images, network.inputs[0])


def adapted(methods: tuple[Method, ...]) -> api.Library:
    network = fuse_quantization(drawn())
    recipe = api.Recipe(methods, SGD(lr=0.1), clip=None, name="net")
    return api.adapt(network, recipe, samples(network, 4))


@pytest.mark.parametrize("methods", METHODS)
def test_identity_at_start(methods: tuple[Method, ...]) -> None:
    """Before the first step the adapted network answers as the network with its float32 head, to the last bit."""
    plain, library = float_head(fuse_quantization(drawn())), adapted(methods)
    for sample in samples(plain, 5):
        before, after = (run(each, [sample])[each.outputs[0].value.name] for each in (plain, library.graph))
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("methods", METHODS)
def test_the_loss_falls(methods: tuple[Method, ...]) -> None:
    """Thirty steps on one sample lower its loss."""
    library = adapted(methods)
    (sample,) = samples(library.graph, 1)
    with api.host(library) as runner:
        losses = [runner.train_step(sample, np.array([2], np.int32)) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def assert_planned(measured: Ram, planned: Ram) -> None:
    """Every part is what was planned, to the byte; the stack's bound is a multiple of 8, at most 256 above."""
    assert measured.stack <= planned.stack <= measured.stack + 256
    assert replace(measured, stack=planned.stack) == planned


@pytest.mark.parametrize("methods", METHODS)
def test_board_and_host_agree_in_every_bit_and_the_plan_in_every_byte(methods: tuple[Method, ...]) -> None:
    """Five steps leave the same parameters on the emulated board; RAM planned is RAM measured there."""
    library = adapted(methods)
    place = api.board("stm32f446")
    bill = api.plan(library, api.Recipe(methods, SGD(lr=0.1), name="net"), place)
    data = samples(library.graph, 5)
    with api.host(library) as host, api.emulated(library, place) as board:
        for index, sample in enumerate(data):
            target = np.array([index], np.int32)
            assert host.train_step(sample, target) == board.train_step(sample, target)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        assert_planned(measure_ram(board, board.device, data[0], np.array([0], np.int32)), bill.ram)


@pytest.mark.parametrize(
    ("methods", "share"),
    [
        ((LoRA(rank=3), Head()), 1e-6),
        ((LoRA(rank=2), Bias()), 1e-6),
        ((Full(),), 1e-6),
        ((SPARSE,), 1e-6),
        ((IA3(),), 0.02),
    ],
)
def test_gradients_are_those_of_a_straight_through_network_in_pytorch(
    methods: tuple[Method, ...], share: float
) -> None:
    """Every trained tensor's gradient equals autograd's where rounding passes gradients and clamps stop them.

    share: of the largest element that another may be off. IA³'s are taken from outputs already rounded.
    """
    library = adapted(methods)
    step = library.step
    assert step is not None
    generator = np.random.default_rng(8)
    drawn_values = {param.name: _spread(param.data, generator) for param in step.graph.trainable}
    memory = {
        name: array if array.dtype.kind == "i" else array.astype(np.float64) for name, array in drawn_values.items()
    }
    for label, sample in enumerate(samples(library.graph, 3)):
        ours = _gradients(step, memory, sample, label)
        theirs = _autograd(library.graph, memory, sample, label)
        assert set(ours) == set(theirs)
        for name, gradient in ours.items():
            assert np.abs(gradient).max() > 0
            np.testing.assert_allclose(gradient, theirs[name], rtol=1e-6, atol=share * np.abs(gradient).max())


def _spread(data: Array, generator: np.random.Generator) -> Array:
    """A trained tensor of real numbers somewhat off its start, so that B is not zero; one of codes as it is."""
    if data.dtype.kind == "i":
        return data
    return np.asarray(data + 0.1 * generator.standard_normal(data.shape))


def _gradients(step: TrainStep, params: dict[str, Array], sample: Array, label: int) -> dict[str, Array]:
    memory = Memory(params, {state.name: state.initial for state in step.states})
    values = run_step(step, [sample, np.array([label], np.int32)], memory, dtype=np.float64).values
    return {name: values[gradient.name] for name, gradient in step.gradients.items()}


def _autograd(graph: Graph, params: dict[str, Array], sample: Array, label: int) -> dict[str, Array]:
    """The same by PyTorch, node by node; the codes themselves are our reference's."""
    codes = run(graph, [sample], params, dtype=np.float64)
    given = {param.name: torch.from_numpy(np.asarray(param.data, np.float64)) for param in graph.params}
    leaves = {name: torch.from_numpy(np.array(array, np.float64)).requires_grad_() for name, array in params.items()}
    values: dict[str, Tensor] = {**given, **leaves}
    values[graph.inputs[0].value.name] = torch.from_numpy(sample.astype(np.float64))
    for node in graph.nodes:
        result = MEANINGS[node.op](node, *(values[value.name] for value in node.inputs))
        y = getattr(getattr(node.attrs, "attrs", node.attrs), "y", None)
        if isinstance(y, Codes):
            exact = torch.from_numpy(codes[node.outputs[0].name].astype(np.float64))
            passed = result * torch.from_numpy(y.mask(codes[node.outputs[0].name]).astype(np.float64))
            result = passed + (exact - passed).detach()
        values[node.outputs[0].name] = result
    F.cross_entropy(values[graph.outputs[0].value.name], torch.tensor([label])).backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


def _convolved(node: Node, x: Tensor, weight: Tensor, groups: int) -> Tensor:
    conv = node.attrs.conv  # type: ignore[attr-defined]
    (top, bottom), (left, right) = conv.padding
    padded = F.pad(x.movedim(-1, 1), (left, right, top, bottom))
    return F.conv2d(padded, weight, None, conv.stride, 0, conv.dilation, groups).movedim(1, -1)


def _coded(node: Node, x: Tensor, weight: Tensor, bias: Tensor, factors: Tensor) -> Tensor:
    factor = factors
    if factors.ndim == 2:
        table = factors.numpy()
        factor = torch.from_numpy(factor_of(table[:, MULTIPLIER], table[:, SHIFT]))
    centred = x - node.attrs.x_zero  # type: ignore[attr-defined]
    if node.op == "quantized_depthwise_conv":
        sums = _convolved(node, centred, weight.movedim(-1, 0).movedim(1, 1), x.shape[-1])
    else:
        sums = _convolved(node, centred, weight.movedim(-1, 1), 1)
    return (sums + bias) * factor


def _sparse(node: Node, x: Tensor, frozen: Tensor, part: Tensor, index: Tensor, *others: Tensor) -> Tensor:
    attrs = node.attrs
    assert isinstance(attrs, SparseAttrs)
    whole = frozen.index_copy(0 if attrs.side == "output" else -1, index.long(), part)
    return MEANINGS[attrs.base](replace(node, op=attrs.base, attrs=attrs.attrs), x, whole, *others)


def _adapted(node: Node, *inputs: Tensor) -> Tensor:
    *base, down, up = inputs
    return _coded(node, *base) + down @ up.T / node.attrs.y.quant.scale  # type: ignore[attr-defined]


def _of_codes(node: Node, x: Tensor, weight: Tensor) -> Tensor:
    quant = node.attrs.x  # type: ignore[attr-defined]
    return _convolved(node, (x - quant.zero) * quant.scale, weight.movedim(-1, 1), 1)


def _sum(node: Node, a: Tensor, b: Tensor) -> Tensor:
    left, right, y = node.attrs.a, node.attrs.b, node.attrs.y.quant  # type: ignore[attr-defined]
    return ((a - left.zero) * left.scale + (b - right.zero) * right.scale) / y.scale


def _mean(node: Node, x: Tensor) -> Tensor:
    factor = float(factor_of(np.array(node.attrs.multiplier), np.array(node.attrs.shift)))  # type: ignore[attr-defined]
    return (x - node.attrs.x_zero).sum(dim=(1, 2), keepdim=True) * factor  # type: ignore[attr-defined]


def _scaled_factors(node: Node, factors: Tensor, scale: Tensor) -> Tensor:
    """Factors that are scaled, as real numbers; `_coded` reads them instead of a table."""
    table = factors.numpy()
    return torch.from_numpy(factor_of(table[:, MULTIPLIER], table[:, SHIFT])) * scale


MEANINGS: dict[str, Callable[..., Tensor]] = {
    "scaled_factors": _scaled_factors,
    "quantized_conv": _coded,
    "quantized_depthwise_conv": _coded,
    "adapted_conv": _adapted,
    "sparse_layer": _sparse,
    "sparse_quantized_layer": _sparse,
    "conv_of_codes": _of_codes,
    "quantized_add": _sum,
    "quantized_mean": _mean,
    "max_pool": lambda node, x: F.max_pool2d(x.movedim(-1, 1), node.attrs.kernel, node.attrs.stride).movedim(1, -1),
    "reshape": lambda node, x: x.reshape(node.attrs.shape),
    "dequantize": lambda node, x: (x - node.attrs.x.zero) * node.attrs.x.scale,
    "linear": lambda node, x, weight, bias=None: F.linear(x, weight, bias),
    "mul": lambda node, x, scale: x * scale,
    "linear_add": lambda node, x, weight, addend: addend + x @ weight.T,
}


def test_one_int8_layer_is_not_adapted_by_ia3_and_lora() -> None:
    """A layer rounds its sums once, scaled or with a detour; both on one layer are refused."""
    with pytest.raises(MicrograftError, match=r"ia3 and lora cannot both adapt one int8 layer.*own targets"):
        adapted((IA3(), LoRA()))


@pytest.mark.slow
def test_the_scheme_of_49_kb_needs_less_ram_than_tinyengine() -> None:
    """MCUNet learns by the example's scheme on an STM32F746: the RAM of the plan, two thirds of TinyEngine's 251,360
    bytes or less, and the bits of the host."""
    network, x = api.load(model(MCUNET), classes=10), inputs(MCUNET, 1)
    scheme = Scheme.read(Path(__file__).parents[1] / "examples" / "mcunet" / "sparse_49kb.toml")
    convolutions = [node.origin for node in network.nodes if node.op in ("quantized_conv", "quantized_depthwise_conv")]
    assert [layer.layer for layer in scheme.layers] == [*convolutions[-20:], "classifier"]
    shares = {convolutions.index(layer.layer): layer.weight for layer in scheme.layers[:-1] if layer.weight}
    assert shares == {24: 0.25, 27: 0.5, 30: 0.5}
    recipe = api.Recipe((Sparse(scheme),), SGD(lr=0.01), name="net")
    library, place = api.adapt(network, recipe), api.board("stm32f746")
    data = api.check_samples(library, Samples(x, np.array([3])))
    assert data.y is not None
    bill = api.plan(library, recipe, place)
    assert bill.ram.total < 0.66 * 251_360
    with api.host(library) as host, api.emulated(library, place) as board:
        assert host.train_step(data.x[0], data.y[0]) == board.train_step(data.x[0], data.y[0])
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        assert_planned(measure_ram(board, board.device, data.x[0], data.y[0]), bill.ram)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place", "methods"),
    [
        (KEYWORDS, "stm32f446", (Head(),)),
        (RESNET, "stm32f746", (Head(),)),
        (MCUNET, "stm32f746", (Head(),)),
        (KEYWORDS, "stm32f746", (Full(),)),
        (KEYWORDS, "stm32f746", (IA3(), Bias())),
    ],
)
def test_published_networks_learn_on_a_board(name: str, place: str, methods: tuple[Method, ...]) -> None:
    """With a new head of ten classes, on the emulated board: the bits of the host, the RAM of the plan."""
    network = api.load(model(name), classes=10)
    x = inputs(name, 2)
    recipe = api.Recipe(methods, name="net")
    library = api.adapt(network, recipe, x)
    data = api.check_samples(library, Samples(x, np.array([3, 7])))
    assert data.y is not None
    bill = api.plan(library, recipe, api.board(place))
    with api.host(library) as host, api.emulated(library, api.board(place)) as board:
        for sample, target in zip(data.x, data.y, strict=True):
            assert host.train_step(sample, target) == board.train_step(sample, target)
        assert host.state() == board.state()
        assert isinstance(board.device, Emulator)
        assert_planned(measure_ram(board, board.device, data.x[0], data.y[0]), bill.ram)
