"""Flags of the sampling, the same in all commands that render, and warnings about their values."""

import argparse
import logging
from collections.abc import Mapping
from typing import Any

from spectrodiff.checkpoints.downloads.addresses import shown
from spectrodiff.commands.shared.parser import YesNo
from spectrodiff.core.errors import printable
from spectrodiff.diffusion.sampling import Sampling

logger = logging.getLogger(__name__)

NAMES = (
    "steps",
    "sampler",
    "guidance",
    "guidance_times",
    "context_guidance",
    "spacing",
    "start",
    "variance",
    "mask_context",
    "overlap",
)
# Models of so few steps have been distilled to them.
_FEW_STEPS = 4


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a group of flags named like the fields of `Sampling`, each None if not given."""
    add = parser.add_argument_group("sampling (default: the model's settings)").add_argument
    add(
        "--steps",
        type=int,
        help="number of sampling steps; more are slower, and better unless the model is distilled",
    )
    add("--sampler", help="dpmpp, for few steps; ddpm, with 1000 steps in the paper; or ddim")
    add(
        "--guidance",
        type=float,
        help="weight of classifier-free guidance, 1 to 5; higher values follow the notes more "
        "closely, 1 takes half the time",
    )
    add(
        "--guidance_times",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="guide only the steps at these times, from 0, clean, to 1, noise; other steps take "
        "half the time",
    )
    add(
        "--context_guidance",
        type=float,
        metavar="WEIGHT",
        help="weight of the guidance by the segment before, beside --guidance for the notes; takes "
        "half as long again",
    )
    add("--spacing", help="steps of equal length in time, or in logsnr")
    add(
        "--start",
        type=float,
        metavar="TIME",
        help="time of the first step, above 0 and up to 1",
    )
    add(
        "--variance",
        help="variance of the ddpm sampler: large, small or medium:f with f from 0 to 1",
    )
    add(
        "--mask_context",
        action=YesNo,
        default=None,
        help="generate every segment without the one before it as context",
    )
    add(
        "--overlap",
        type=int,
        metavar="FRAMES",
        help="frames of 20 ms that a segment shares with the one before it, up to half a segment; "
        "makes joins smoother; each segment then adds as many frames fewer",
    )


def sampling_of(flags: argparse.Namespace) -> dict[str, Any]:
    """Returns the sampling settings that flags give."""
    given = vars(flags)
    return {name: given[name] for name in NAMES if given.get(name) is not None}


def warn_of_sampling(changes: Mapping[str, Any], own: Sampling, *, kind: str, model: str) -> None:
    """Warns of settings that a model ignores, or that are hardly what is wanted.

    Args:
        changes: settings that were asked for; None means the model's own.
        own: the model's own settings.
        kind: of the network, as in `ModelConfig.kind`.
        model: name of the model.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    named = printable(shown(model))
    if kind == "autoregressive":
        if given:
            what = ", ".join(given)
            logger.warning("%s is autoregressive: it ignores %s", named, what)
        return
    for name in ("guidance", "context_guidance"):
        weight = given.get(name)
        if weight is not None and weight < 0:
            logger.warning("%s %g: below 0 the model is led away from what it gets", name, weight)
        elif weight is not None and weight < 1:
            logger.warning("%s %g: below 1 the model follows it less than unguided", name, weight)
    steps = given.get("steps")
    if own.steps <= _FEW_STEPS and steps is not None and steps != own.steps:
        logger.warning(
            "%s is made for %s: steps %d may sound worse",
            named,
            f"{own.steps} step{'s' * (own.steps > 1)}",
            steps,
        )
    if own.steps <= _FEW_STEPS and own.guidance == 1 and given.get("guidance", 1) != 1:
        logger.warning(
            "%s is made to be unguided: guidance %g may sound worse",
            named,
            given["guidance"],
        )
