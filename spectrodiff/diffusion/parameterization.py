"""What the network's output means: the noise eps, the clean features x0, or v.

With z = alpha x0 + sigma eps, v = alpha eps - sigma x0 (Salimans & Ho 2022). Each of the three
together with z determines the others. Arrays broadcast: z and outputs [..., F, M], alpha and sigma
[..., 1, 1] or scalars.
"""

from typing import Any, Literal, get_args

from spectrodiff.core.errors import ConfigError

Prediction = Literal["eps", "x0", "v"]


def check_prediction(name: str) -> None:
    """Raises ConfigError unless `name` is a prediction type."""
    if name not in get_args(Prediction):
        raise ConfigError("prediction", "'eps', 'x0' or 'v'", repr(name))


def to_x0(prediction: Prediction, output: Any, z: Any, alpha: Any, sigma: Any) -> Any:
    """The clean features that the network's output stands for."""
    if prediction == "eps":
        return (z - sigma * output) / alpha
    if prediction == "v":
        return alpha * z - sigma * output
    return output


def to_eps(prediction: Prediction, output: Any, z: Any, alpha: Any, sigma: Any) -> Any:
    """The noise that the network's output stands for."""
    if prediction == "eps":
        return output
    if prediction == "v":
        return sigma * z + alpha * output
    return (z - alpha * output) / sigma


def v_of(x0: Any, eps: Any, alpha: Any, sigma: Any) -> Any:
    """The velocity v that belongs to clean features and noise."""
    return alpha * eps - sigma * x0
