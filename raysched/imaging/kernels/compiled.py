"""How kernels are compiled: ahead of use, once per machine, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(signature: str) -> Callable[[Kernel], Kernel]:
    """Compile a kernel for the given types when its module is imported.

    Types are fixed, so nothing compiles later. The machine code is kept beside the module, or,
    where that folder is read-only, in the user's cache folder; where neither can be written, each
    process compiles for itself. A kernel may call those of its own file only: numba notices a
    change of that file alone.
    """

    def decorate(function: Kernel) -> Kernel:
        compile_now: Any = numba.njit(
            signature, cache=_can_cache(function), nogil=True, error_model="numpy"
        )
        return cast("Kernel", compile_now(function))

    return decorate


def _can_cache(function: Callable[..., object]) -> bool:
    try:
        FunctionCache(function)
    except RuntimeError:  # numba's way to say that it found no folder to write to
        return False
    return True
