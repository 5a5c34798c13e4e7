"""einsum of one or two tensors, or of several from left to right, as sums, transpositions and one batched product.

Each letter of two operands is of one of four kinds: of both and of the result (a batch), of both alone (summed over
in the product), or of one operand and the result (rows, columns). What one operand has alone is summed away first.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence

from micrograft.frontends import layers, transformers
from micrograft.frontends.network import Network, Tensor, refused


def einsum(network: Network, equation: str, operands: Sequence[Tensor], *, origin: str) -> Tensor:
    """What torch.einsum and ONNX's Einsum give. Raises MicrograftError for a diagonal."""
    terms, result = _letters(equation.replace(" ", ""), operands)
    if any(len(set(term)) < len(term) for term in (*terms, result)):
        raise refused(f"the einsum {equation!r} takes a diagonal, which is not supported", origin)
    term, y = terms[0], operands[0]
    for index in range(1, len(operands)):
        later = set(result).union(*terms[index + 1 :])
        kept = "".join(letter for letter in dict.fromkeys(term + terms[index]) if letter in later)
        wanted = result if index + 1 == len(operands) else kept
        y = _product(network, (term, y), (terms[index], operands[index]), wanted, origin)
        term = wanted
    return _arranged(network, y, term, result, origin)


def _letters(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    """The terms of the operands and of the result, with letters in the place of dots."""
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    counts = [len(x.shape) - len(term) + 3 for term, x in zip(terms, operands, strict=True) if "..." in term]
    most = free[: max(counts, default=0)]
    spelled = [
        term.replace("...", "".join(most[len(most) - (len(x.shape) - len(term) + 3) :])) if "..." in term else term
        for term, x in zip(terms, operands, strict=True)
    ]
    if not arrow:
        named = [letter for letter in "".join(spelled) if letter not in most]
        result = "..." + "".join(sorted(letter for letter in set(named) if named.count(letter) == 1))
    return spelled, result.replace("...", "".join(most))


def _arranged(network: Network, x: Tensor, term: str, wanted: str, origin: str) -> Tensor:
    """`x`, whose axes are called `term`, with those of `wanted` alone, in its order."""
    gone = [axis for axis, letter in enumerate(term) if letter not in wanted]
    y = layers.total(network, x, gone, keep=False, mean=False, origin=origin) if gone else x
    left = [letter for letter in term if letter in wanted]
    return network.transpose(y, [left.index(letter) for letter in wanted], origin=origin)


def _product(
    network: Network, first: tuple[str, Tensor], second: tuple[str, Tensor], result: str, origin: str
) -> Tensor:
    """Two operands, each with the letters of its axes."""
    (left, a), (right, b) = first, second
    batch = [letter for letter in left if letter in right and letter in result]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right and letter in result]
    columns = [letter for letter in right if letter not in left and letter in result]
    sizes = dict(zip(right, b.shape, strict=True)) | dict(zip(left, a.shape, strict=True))

    def lengths(letters: Sequence[str]) -> tuple[int, ...]:
        return tuple(sizes[letter] for letter in letters)

    a = _arranged(network, network.value(a, trains=True), left, "".join([*batch, *rows, *summed]), origin)
    b = _arranged(network, network.value(b, trains=True), right, "".join([*batch, *summed, *columns]), origin)
    lead = (math.prod(lengths(batch)),) if batch else ()
    a = network.reshape(a, (*lead, math.prod(lengths(rows)), math.prod(lengths(summed))), origin=origin)
    b = network.reshape(b, (*lead, math.prod(lengths(summed)), math.prod(lengths(columns))), origin=origin)
    y = transformers.matmul(network, a, b, origin=origin)
    y = network.reshape(y, lengths([*batch, *rows, *columns]), origin=origin)
    order = [[*batch, *rows, *columns].index(letter) for letter in result]
    return network.transpose(y, order, origin=origin)
