"""Diffusion: noise schedule, parameterisation, loss, sampler, guidance."""
