import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.loss import DenoisingLoss
from spectrodiff.diffusion.parameterization import to_eps, to_x0, v_of
from spectrodiff.diffusion.schedule import CosineSchedule, alpha_sigma


@pytest.fixture(scope="module")
def reference(golden):
    arrays = dict(np.load(golden / "diffusion.npz"))
    alpha, sigma = alpha_sigma(CosineSchedule().logsnr(arrays["t"].astype(float)))
    arrays["alpha"] = alpha[:, None, None].astype(np.float32)
    arrays["sigma"] = sigma[:, None, None].astype(np.float32)
    return arrays


def test_noisy_example(reference):
    z = reference["alpha"] * reference["x0"] + reference["sigma"] * reference["eps"]
    np.testing.assert_allclose(z, reference["z"], atol=1e-6)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_conversions_meet_reference(reference, prediction):
    arguments = (prediction, *(reference[k] for k in ("model_output", "z", "alpha", "sigma")))
    # Dividing by alpha = 0.1 or sigma = 0.08 multiplies rounding errors.
    np.testing.assert_allclose(to_x0(*arguments), reference[f"from_{prediction}_x0"], atol=1e-4)
    np.testing.assert_allclose(to_eps(*arguments), reference[f"from_{prediction}_eps"], atol=1e-4)


def both_estimates(reference):
    """An output of x0 and eps, and the x0 and eps in float64 that it stands for."""
    alpha, sigma, z = (reference[name].astype(float) for name in ("alpha", "sigma", "z"))
    rng = np.random.default_rng(0)
    output = rng.normal(size=(*z.shape[:2], 2 * z.shape[2])).astype(np.float32)
    own, from_eps = output[..., :128], (z - sigma * output[..., 128:]) / alpha
    x0 = sigma**2 * own + (1 - sigma**2) * from_eps
    return output, x0, (z - alpha * x0) / sigma


def test_conversions_of_both_estimates(reference):
    output, x0, eps = both_estimates(reference)
    arguments = ("x0_and_eps", output, *(reference[k] for k in ("z", "alpha", "sigma")))
    np.testing.assert_allclose(to_x0(*arguments), x0, atol=2e-6)
    np.testing.assert_allclose(to_eps(*arguments), eps, atol=1e-5)


@pytest.mark.parametrize("logsnr", [-20.0, 20.0])
def test_both_estimates_at_the_ends(logsnr):
    """The x0 of the network counts where all is noise, and the eps where all is signal."""
    alpha, sigma = alpha_sigma(np.float32([[[logsnr]]]))
    x0, eps, wrong = np.float32([[[0.5]]]), np.float32([[[-0.3]]]), np.float32([[[9.0]]])
    z = alpha * x0 + sigma * eps
    output = np.concatenate([x0, wrong] if logsnr < 0 else [wrong, eps], axis=-1)
    found = to_x0("x0_and_eps", output, z, alpha, sigma)
    np.testing.assert_allclose(found, x0, atol=2e-3)
    np.testing.assert_allclose(to_eps("x0_and_eps", output, z, alpha, sigma), eps, atol=2e-3)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("target", ["eps", "x0", "x0_and_eps", "max_x0_eps"])
def test_losses_of_both_estimates(reference, target, norm):
    output, x0_hat, eps_hat = both_estimates(reference)
    size = np.abs if norm == "l1" else np.square
    on_x0, on_eps = size(x0_hat - reference["x0"]), size(eps_hat - reference["eps"])
    wanted = {
        "eps": on_eps,
        "x0": on_x0,
        "x0_and_eps": on_x0 + on_eps,
        # For each feature: as the errors are proportional, this is that of the whole example.
        "max_x0_eps": np.maximum(on_x0, on_eps),
    }[target].mean(axis=(1, 2))
    inputs = (jnp.asarray(reference[k]) for k in ("x0", "eps", "alpha", "sigma"))
    loss = DenoisingLoss(target, norm)("x0_and_eps", jnp.asarray(output), *inputs)
    np.testing.assert_allclose(loss, wanted, rtol=2e-5)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("target", ["eps", "x0", "x0_and_eps", "max_x0_eps"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_losses_meet_reference(reference, prediction, target, norm):
    inputs = (jnp.asarray(reference[k]) for k in ("model_output", "x0", "eps", "alpha", "sigma"))
    loss = DenoisingLoss(target, norm)(prediction, *inputs)
    np.testing.assert_allclose(loss, reference[f"loss_{prediction}_{target}_{norm}"], rtol=2e-5)


def test_loss_on_v_sees_its_own_output(reference):
    output, x0, eps, alpha, sigma = (
        jnp.asarray(reference[k]) for k in ("model_output", "x0", "eps", "alpha", "sigma")
    )
    expected = np.abs(output - (alpha * eps - sigma * x0)).mean(axis=(1, 2))
    loss = DenoisingLoss("v", "l1")("v", output, x0, eps, alpha, sigma)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_exact_predictions_cost_nothing(reference):
    x0, eps, alpha, sigma = (jnp.asarray(reference[k]) for k in ("x0", "eps", "alpha", "sigma"))
    both = jnp.concatenate([x0, eps], axis=-1)
    exact = {"eps": eps, "x0": x0, "v": v_of(x0, eps, alpha, sigma), "x0_and_eps": both}
    for prediction, output in exact.items():
        loss = DenoisingLoss("x0_and_eps", "l1")(prediction, output, x0, eps, alpha, sigma)
        np.testing.assert_allclose(loss, 0.0, atol=2e-5)


def test_unknown_names_are_refused():
    with pytest.raises(
        ConfigError, match=r"DenoisingLoss.target: expected one of eps, .* 'epsilon'"
    ):
        DenoisingLoss(target="epsilon")
    with pytest.raises(ConfigError, match=r"DenoisingLoss.norm: expected one of l1, l2, got 'l3'"):
        DenoisingLoss(norm="l3")
