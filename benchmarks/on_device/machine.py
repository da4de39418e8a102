"""Description of the machine."""

import datetime
import importlib.metadata
import os
import subprocess
import sys

import jax

from on_device.common import memory_limit
from on_device.results import Machine

PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin", "flax", "optax", "numpy")


def describe(minutes: float) -> Machine:
    """Returns device, versions and memory of this machine."""
    device = jax.devices()[0]
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    platform_version = getattr(device.client, "platform_version", "").replace("\n", " ")
    versions["backend"] = " ".join(platform_version.split())[:200]
    return Machine(
        device=device.device_kind,
        platform=device.platform,
        driver=_driver(),
        memory_bytes=memory_limit(),
        cpu_cores=len(os.sched_getaffinity(0)),
        versions=versions,
        started=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        minutes=minutes,
    )


def _driver() -> str:
    """Returns the driver version of an NVIDIA GPU, or ""."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
