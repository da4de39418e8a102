"""Programs for NVIDIA GPUs on a machine without one: they can be lowered, not run."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from spectrodiff.models import attention


def pretend_gpu(patch: pytest.MonkeyPatch) -> None:
    """Lets networks be traced as on a GPU with cuDNN's attention."""
    patch.setattr(jax, "default_backend", lambda: "gpu")
    patch.setattr(attention, "has_fused_kernel", lambda: True)
    # JAX asks the library for its version while tracing.
    patch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)


def lower(function: Callable[..., Any], *arguments: Any) -> str:
    """Returns the program of a function for a GPU; arguments may be shapes."""
    traced = jax.jit(function).trace(*arguments)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


def custom_calls(program: str) -> Counter[str]:
    """Returns how often a program calls each function from outside of XLA."""
    return Counter(re.findall(r"custom_call @([\w$.]+)", program))
