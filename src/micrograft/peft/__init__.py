"""Adaptation methods, one file each: a configuration and a transform. The table is found, not written."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from micrograft.peft.method import Method


@functools.cache
def methods() -> Mapping[str, type[Method]]:
    """The name that a person writes, to the method.

    >>> sorted(methods())
    ['bias', 'full', 'head', 'ia3', 'lora', 'sparse']
    """
    found: dict[str, type[Method]] = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if inspect.isclass(value) and issubclass(value, Method) and value is not Method:
                found[value.name] = value
    return MappingProxyType(dict(sorted(found.items())))
