"""Optimizers and learning-rate schedules, made of optax's.

Parameters of a stack of layers are one array with a leading layer axis. Quantities that optimizers
compute per parameter, such as norms and scales, are computed per layer.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from spectrodiff.training.settings import Optimization
from spectrodiff.training.task import Params

Schedule = Callable[[jax.Array | int], jax.Array]
Path = tuple[jax.tree_util.DictKey, ...]  # of a parameter in its tree

# Epsilon 1, epsilon 2 and clipping threshold of Adafactor (Shazeer & Stern 2018), as in T5X.
SQUARE_FLOOR, SCALE_FLOOR, CLIP_RMS = 1e-30, 1e-3, 1.0
FIXED = "positions"  # name of tables that are stored with the weights but not trained


def split_fixed(params: Params) -> tuple[Params, Params]:
    """Splits a tree into the trained parameters and the position tables."""
    trained: Params = {}
    fixed: Params = {}
    for name, value in params.items():
        if isinstance(value, dict):
            trained[name], fixed[name] = split_fixed(value)
        else:
            (fixed if name == FIXED else trained)[name] = value
    return trained, fixed


def join_fixed(trained: Params, fixed: Params) -> Params:
    """Inverts `split_fixed`."""
    joined = dict(trained)
    for name, value in fixed.items():
        joined[name] = (
            join_fixed(trained.get(name, {}), value) if isinstance(value, dict) else value
        )
    return joined


def learning_rate(settings: Optimization, total_steps: int) -> Schedule:
    """Returns the learning rate as a function of the step, counted from 0.

    Args:
        settings: peak, warm-up and schedule. "cosine" falls to zero at the last step; "rsqrt" falls
            with the inverse square root of the step after the warm-up.
        total_steps: length of the run.
    """
    warmup = settings.warmup_steps

    def rate(step: jax.Array | int) -> jax.Array:
        done = jnp.asarray(step, jnp.float32)
        value = jnp.float32(settings.learning_rate)
        if warmup:
            value *= jnp.minimum(1.0, (done + 1) / warmup)
        if settings.schedule == "cosine":
            progress = jnp.clip((done - warmup) / max(total_steps - warmup, 1), 0.0, 1.0)
            value *= 0.5 * (1 + jnp.cos(jnp.pi * progress))
        elif settings.schedule == "rsqrt":
            value *= jnp.sqrt(warmup / jnp.maximum(done + 1, warmup))
        return value

    return rate


def make_optimizer(settings: Optimization, rate: Schedule) -> optax.GradientTransformation:
    """Returns the optimizer for the trained part of a parameter tree (see `split_fixed`)."""
    steps = [] if settings.clip_norm is None else [optax.clip_by_global_norm(settings.clip_norm)]
    makers = {"adafactor": _adafactor, "adamw": _adamw, "muon": _muon}
    steps.append(makers[settings.optimizer](settings, rate))
    if settings.query_key_rate != 1.0:
        steps.append(_scale_queries_and_keys(settings.query_key_rate))
    return optax.chain(*steps)


def _scale_queries_and_keys(rate: float) -> optax.GradientTransformation:
    """Returns a transformation that multiplies the updates of query and key kernels by a rate."""

    def scale(updates: Params, _: Params | None) -> Params:
        return jax.tree_util.tree_map_with_path(
            lambda path, update: rate * update if {"query", "key"} & set(_names(path)) else update,
            updates,
        )

    return optax.stateless(scale)


def _adafactor(settings: Optimization, rate: Schedule) -> optax.GradientTransformation:
    """Returns Adafactor as in T5X: factored, decay 0.8, relative updates, no momentum."""
    return optax.chain(
        # Factors the two largest axes of a stacked kernel [L, D, W], that is each layer.
        optax.scale_by_factored_rms(decay_rate=0.8, epsilon=SQUARE_FLOOR),
        _per_leaf(
            lambda update, _, stacked: update / jnp.maximum(1.0, _rms(update, stacked) / CLIP_RMS)
        ),
        _per_leaf(
            lambda update, param, stacked: update * jnp.maximum(_rms(param, stacked), SCALE_FLOOR)
        ),
        optax.scale_by_learning_rate(rate),
    )


def _adamw(settings: Optimization, rate: Schedule) -> optax.GradientTransformation:
    return optax.adamw(
        rate,
        settings.beta1,
        settings.beta2,
        weight_decay=settings.weight_decay,
        mask=_is_matrix,
    )


def _muon(settings: Optimization, rate: Schedule) -> optax.GradientTransformation:
    """Returns Muon (Jordan et al. 2024) for the matrices of layers, Adam for everything else."""
    return optax.contrib.muon(
        rate,
        weight_decay=settings.weight_decay,
        weight_decay_mask=_is_matrix,
        adam_b1=settings.beta1,
        adam_b2=settings.beta2,
        muon_weight_dimension_numbers=_muon_axes,
        # Updates of the size of Adam's, so that one learning rate suits all parameters.
        consistent_rms=0.2,
    )


def _muon_axes(params: Params) -> Any:
    from optax.contrib import MuonDimensionNumbers

    def axes(path: Path, leaf: jax.Array) -> MuonDimensionNumbers | None:
        # A stack of kernels is a batch of matrices, one per layer. Other stacks (scales, biases,
        # taps of depthwise convolutions) are vectors of independent channels, which
        # orthogonalization would mix. FiLM's kernels have one input row per example, and cost more
        # than all the others together.
        names = _names(path)
        stacked = "layers" in names and names[-1] == "kernel" and leaf.ndim == 3
        if stacked and not any("film" in name for name in names):
            return MuonDimensionNumbers(reduction_axis=1, output_axis=2)
        return None

    return jax.tree_util.tree_map_with_path(axes, params)


def _is_matrix(params: Params) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: _names(path)[-1] == "kernel", params)


def _per_leaf(
    function: Callable[[jax.Array, jax.Array, bool], jax.Array],
) -> optax.GradientTransformation:
    """Returns a stateless transformation; True is passed for parameters of a stack of layers."""

    def apply(updates: Params, params: Params | None) -> Params:
        return jax.tree_util.tree_map_with_path(
            lambda path, update, param: function(update, param, "layers" in _names(path)),
            updates,
            params,
        )

    return optax.stateless(apply)


def _rms(array: jax.Array, stacked: bool) -> jax.Array:
    """Returns the root mean square of an array, or of each layer of a stack."""
    axes = tuple(range(1 if stacked else 0, array.ndim))
    return jnp.sqrt(jnp.mean(jnp.square(array), axis=axes, keepdims=True))


def _names(path: Path) -> list[str]:
    return [entry.key for entry in path]
