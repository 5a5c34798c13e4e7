"""What every operator promises, checked on its own samples. A new operator is found here without being listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from micrograft.ir.graph import Attrs, Node
from micrograft.ir.types import Array, DType, TensorType, Value
from micrograft.ops import operators
from micrograft.ops.operator import Operator, Sample
from micrograft.toolchain.build import RUNTIME, build_library
from tests.ops.c_kernels import Kernels, c_call, node_of, type_of
from tests.ops.torch_meanings import MEANINGS

torch.set_num_threads(1)

STEP = 1e-6  # of the finite differences, in float64
PROBES = 64  # elements of an input whose derivative is checked


def _each_sample(which: Callable[[Operator], object] = bool) -> pytest.MarkDecorator:
    """Runs a test on every sample of the operators of this kind."""
    cases = [
        pytest.param(operator, sample, id=f"{name}-{index}")
        for name, operator in operators().items()
        if which(operator)
        for index, sample in enumerate(operator.samples())
    ]
    return pytest.mark.parametrize(("operator", "sample"), cases)


def _wide(arrays: Sequence[Array]) -> list[Array]:
    """The arrays with float32 widened to float64."""
    return [array.astype(np.float64) if array.dtype == np.float32 else array for array in arrays]


def _differentiable(sample: Sample) -> tuple[int, ...]:
    if sample.differentiable is not None:
        return sample.differentiable
    return tuple(index for index, array in enumerate(sample.inputs) if array.dtype == np.float32)


class Tape:
    """The least that a gradient rule may expect of the pass that calls it: evaluates each node at once."""

    def __init__(self, node: Node, inputs: Sequence[Array], wanted: Sequence[int]) -> None:
        self._wanted = {node.inputs[index].name for index in wanted}
        operator = operators()[node.op]
        self._outputs = dict(zip(operator.outputs, operator.types(node), strict=True))
        self.arrays: dict[str, Array] = {value.name: array for value, array in zip(node.inputs, inputs, strict=True)}
        for role, array in zip(operator.outputs, operator.evaluate(node.attrs, inputs), strict=True):
            self.arrays[f"y_{role}"] = array
        self.arrays[node.outputs[0].name] = self.arrays[f"y_{operator.outputs[0]}"]

    def needs(self, value: Value) -> bool:
        return value.name in self._wanted

    def keep(self, node: Node, output: str) -> Value:
        return Value(f"y_{output}", self._outputs[output])

    def constant(self, data: Array, name: str) -> Value:
        value = Value(f"constant_{len(self.arrays)}", type_of(data))
        self.arrays[value.name] = data
        return value

    def emit(self, op: str, *inputs: Value, attrs: Attrs | None = None) -> Value:
        return self.emit_all(op, *inputs, attrs=attrs, outputs=1)[0]

    def emit_all(self, op: str, *inputs: Value, attrs: Attrs | None = None, outputs: int) -> tuple[Value, ...]:
        operator, attrs = operators()[op], attrs if attrs is not None else Attrs()
        types = operator.infer(attrs, [value.type for value in inputs])
        values = tuple(Value(f"emitted_{len(self.arrays)}_{i}", type_) for i, type_ in enumerate(types[:outputs]))
        results = operator.evaluate(attrs, [self.arrays[each.name] for each in inputs])
        for value, array in zip(values, results, strict=False):
            assert array.shape == value.shape
            self.arrays[value.name] = array
        return values


def _gradients(operator: Operator, sample: Sample) -> tuple[Array, dict[int, Array]]:
    """A gradient dy of the output, and by the operator's rule that of each differentiable input, in float64.

    An output of shape () is a loss: its rule is given None, which means one.
    """
    assert operator.gradient
    inputs, wanted = _wide(sample.inputs), _differentiable(sample)
    node = node_of(operator.name, sample.attrs, sample.inputs, outputs=1)
    tape = Tape(node, inputs, wanted)
    y = node.outputs[0]
    dy, seed = np.ones(()), None
    if y.shape != ():
        dy, seed = np.random.default_rng(0).standard_normal(y.shape), Value("dy", TensorType(y.shape))
        tape.arrays[seed.name] = dy
    found = operator.gradient(tape, node, (seed,))
    assert len(found) == len(node.inputs)
    result = {}
    for index in wanted:
        value = found[index]
        assert value is not None, f"no gradient of input {operator.role(index)}"
        result[index] = tape.arrays[value.name]
    return dy, result


@_each_sample()
def test_shape_rule_agrees_with_the_meaning(operator: Operator, sample: Sample) -> None:
    """`infer` foretells shape and type of every output that `evaluate` gives, and keeps the precision."""
    types = operator.infer(sample.attrs, [type_of(array) for array in sample.inputs])
    outputs = operator.evaluate(sample.attrs, list(sample.inputs))
    assert len(types) == len(outputs) == len(operator.outputs)
    assert [type_of(np.asarray(array)) for array in outputs] == [replace(type_, quant=None) for type_ in types]
    wide = _wide(sample.inputs)
    floats = next((array.dtype for array in wide if array.dtype.kind == "f"), np.dtype(np.float32))
    for array, type_ in zip(operator.evaluate(sample.attrs, wide), types, strict=True):
        assert array.dtype == (floats if type_.dtype is DType.FLOAT32 else type_.dtype.numpy)


@pytest.mark.parametrize("operator", operators().values(), ids=list(operators()))
def test_operator_is_complete(operator: Operator) -> None:
    """An operator has samples, and a kernel for each of them unless it is a view, which costs nothing."""
    samples = list(operator.samples())
    assert samples
    for sample in samples:
        node = node_of(operator.name, sample.attrs, sample.inputs)
        assert operator.view or node.outputs[0].dtype in operator.kernels
        assert operator.macs(node) >= 0
        assert operator.work(node) >= 0 and (operator.work(node) > 0 or operator.view)
    for output, index in (*operator.inplace, *operator.mutates):
        assert output < len(operator.outputs) and index < len(operator.inputs)


@_each_sample(lambda operator: operator.gradient)
def test_gradient_agrees_with_finite_differences(operator: Operator, sample: Sample) -> None:
    """The gradient rule gives the derivative of sum(dy·y), as central differences in float64 measure it."""
    dy, gradients = _gradients(operator, sample)
    inputs = _wide(sample.inputs)

    def objective() -> float:
        return float(np.sum(dy * operator.evaluate(sample.attrs, inputs)[0]))

    generator = np.random.default_rng(1)
    for index, gradient in gradients.items():
        inputs[index] = inputs[index].copy()
        flat = inputs[index].reshape(-1)
        assert gradient.shape == inputs[index].shape
        for element in generator.permutation(flat.size)[:PROBES]:
            before = flat[element]
            flat[element] = before + STEP
            above = objective()
            flat[element] = before - STEP
            below = objective()
            flat[element] = before
            measured = (above - below) / (2 * STEP)
            assert gradient.reshape(-1)[element] == pytest.approx(measured, rel=1e-5, abs=1e-7)


@_each_sample(lambda operator: operator.name in MEANINGS)
def test_meaning_and_gradient_agree_with_pytorch(operator: Operator, sample: Sample) -> None:
    """Output and gradients equal PyTorch's, in float64, where PyTorch has the operator."""
    wanted = _differentiable(sample) if operator.gradient else ()
    tensors = [torch.from_numpy(array.copy()) for array in _wide(sample.inputs)]
    for index in wanted:
        tensors[index].requires_grad_()
    y = MEANINGS[operator.name](sample.attrs, *tensors)
    expected = operator.evaluate(sample.attrs, _wide(sample.inputs))[0]
    np.testing.assert_allclose(expected, y.detach().numpy(), rtol=1e-9, atol=1e-12)
    if not wanted:
        return
    dy, gradients = _gradients(operator, sample)
    y.backward(torch.from_numpy(dy))
    for index, gradient in gradients.items():
        theirs = tensors[index].grad
        assert theirs is not None
        np.testing.assert_allclose(gradient, theirs.numpy(), rtol=1e-8, atol=1e-11)


def _runs(operator: Operator, sample: Sample) -> Iterator[tuple[Node, tuple[tuple[int, int], ...]]]:
    """Each way to run a sample's kernel: the node, with and without its optional outputs, and what is shared."""
    for count in range(1, len(operator.outputs) + 1):
        node = node_of(operator.name, sample.attrs, sample.inputs, outputs=count)
        yield node, operator.mutates
        for output, index in operator.inplace:
            if output < count and index < len(node.inputs) and node.outputs[output].type == node.inputs[index].type:
                yield node, (*operator.mutates, (output, index))


def _check(found: Array, expected: Array, known: Array) -> None:
    """`found` is `expected`: exactly where it is no float or only moves the `known` elements, else within rounding."""
    if found.dtype != np.float32 or np.isin(expected, known).all():
        np.testing.assert_array_equal(found, expected)
    else:
        largest = float(np.max(np.abs(expected), initial=0.0))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6 * largest)


@_each_sample(lambda operator: operator.kernels)
def test_kernel_agrees_with_the_meaning(kernels: Kernels, operator: Operator, sample: Sample) -> None:
    """A kernel computes the operator's meaning, in place too, and writes nothing but its outputs."""
    expected = operator.evaluate(sample.attrs, _wide(sample.inputs))
    floats = [array.reshape(-1) for array in _wide(sample.inputs) if array.dtype == np.float64]
    known = np.concatenate([np.zeros(1), *floats])
    for node, shared in _runs(operator, sample):
        outputs, inputs = kernels.run(node, sample.inputs, shared)
        for found, array in zip(outputs, expected, strict=False):
            _check(found, array, known)
        written = {index: expected[output] for output, index in shared}
        for index, (found, array) in enumerate(zip(inputs, sample.inputs, strict=True)):
            if index in written:
                _check(found, written[index], known)
            else:
                np.testing.assert_array_equal(found, array, err_msg=f"the kernel changed input {index}")


@_each_sample(lambda operator: operator.kernels and not operator.mutates)
def test_kernel_gives_the_same_bits_in_place(kernels: Kernels, operator: Operator, sample: Sample) -> None:
    """Sharing a buffer, or asking for an optional output, changes no bit of a result."""
    first: dict[int, bytes] = {}
    for node, shared in _runs(operator, sample):
        for index, array in enumerate(kernels.run(node, sample.inputs, shared)[0]):
            assert first.setdefault(index, array.tobytes()) == array.tobytes()


def test_kernel_calls_match_their_declarations(tmp_path: Path) -> None:
    """Every call that an operator writes compiles without a warning against the kernel's header.

    That is: struct and fields by name, number and element type of the pointers; six arguments at most.
    """
    include = RUNTIME / "include"
    lines = [f'#include "{header.name}"' for header in sorted(include.glob("*.h"))]
    for name, operator in operators().items():
        for index, sample in enumerate(operator.samples()):
            for way, (node, _) in enumerate(_runs(operator, sample) if operator.kernels else []):
                for number, call in enumerate(operator.kernels[node.outputs[0].dtype](node)):
                    assert len(call.pointers) <= 5
                    lines.append(c_call(call, f"{name}_{index}_{way}_{number}"))
    source = tmp_path / "calls.c"
    source.write_text("\n".join(lines))
    kernels = sorted((RUNTIME / "kernels").glob("*.c"))
    build_library([source, *kernels], [include], tmp_path / "calls.so", strict=True, optimize="-O0")
