"""Diffusion: noise schedule, parameterization, loss, sampler, guidance."""
