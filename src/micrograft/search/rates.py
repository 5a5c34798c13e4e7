"""Which learning rate to try next: what suits a method depends on it, on the network and on the data.

A best rate is one with worse ones on both sides. So where the best of those tried is the smallest or the largest, the
next one lies beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping


def next_rate(tried: Mapping[float, tuple[float, ...] | None]) -> float | None:
    """Beyond the smallest or the largest rate where that one is best; None where the best has worse ones on both sides.

    tried: two rates or more, and what each gave: larger is better, None where it diverged. Where all of them diverged
    it is a smaller one. Of rates that are equally good the one in the middle counts.

    >>> next_rate({1.0: (0.7,), 4.0: (0.8,)}), next_rate({1.0: (0.7,), 4.0: (0.8,), 16.0: None})
    (16.0, None)
    >>> next_rate({1.0: (0.8,), 4.0: (0.8,)}), next_rate({1.0: None, 4.0: None})
    (None, 0.25)
    """
    if len(tried) < 2:
        return None
    rates = sorted(tried)
    gains = [tried[rate] or () for rate in rates]  # nothing is less than anything
    best = max(gains)
    if not best or max(gains[1:]) < gains[0]:
        return rates[0] * rates[0] / rates[1]
    return rates[-1] * rates[-1] / rates[-2] if max(gains[:-1]) < best else None
