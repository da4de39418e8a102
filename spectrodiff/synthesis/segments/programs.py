"""Programs that take several of a segment's steps per call to the device."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from spectrodiff.synthesis.tuning import Tuning

# Programs of a kind, one per shape of arguments, that are kept in memory: those used last.
KEPT_PROGRAMS = 32


def steps_per_call(steps: int, about: int) -> int:
    """Returns the number of steps of every call but the last, which takes the rest.

    If a number near `about` divides the steps, there is no rest, which may be another program.

    Args:
        steps: of a segment.
        about: number of steps per call that is wanted.
    """
    near = range(about // 2, about + about // 2 + 1)
    divisors = [count for count in near if steps % count == 0]
    return min(steps, min(divisors, key=lambda count: abs(count - about), default=about))


def compile_steps(
    advance: Callable[..., Any],
    mesh: Mesh,
    in_specs: tuple[Any, ...],
    out_specs: Any,
    tuning: Tuning,
) -> Callable[..., Any]:
    """Compiles a function that takes some steps, once per shape of its arguments.

    Args:
        advance: its second argument is the state, whose memory is reused, and its last one the
            number of steps.
        mesh: devices with one axis `data`; each takes the steps of its own segments and never waits
            for another.
        in_specs: placement of the arguments but the last.
        out_specs: placement of the state after the steps.
        tuning: says whether the number of steps is a part of the program.
    """
    static = (len(in_specs),) if tuning.static_steps else ()
    if mesh.size == 1:
        return jax.jit(advance, donate_argnums=1, static_argnums=static)

    def advance_all(*arguments: Any) -> Any:
        *arrays, count = arguments
        return jax.shard_map(
            lambda *arrays: advance(*arrays, count),
            mesh=mesh,
            in_specs=in_specs,
            out_specs=out_specs,
        )(*arrays)

    return jax.jit(advance_all, donate_argnums=1, static_argnums=static)
