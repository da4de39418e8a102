"""A program that runs train.py and fails at a chosen step."""

# Runs train.py on a disk that is full while step 4 is saved.
FULL_AT_STEP_4 = """
import contextlib, resource, signal, sys, jax
from spectrodiff.commands import program, train
from spectrodiff.core.errors import OutputError
from spectrodiff.training.checkpointing import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
save = Checkpoints.save
def limited(self, step, *arguments):
    if step == 4:
        # Compiled programs are not cached meanwhile: their files would be truncated.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    else:
        with contextlib.suppress(OutputError):
            self.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    save(self, step, *arguments)
Checkpoints.save = limited
program.finish(program.run(train.main))
"""
