"""Definition of a network: structure, parameter shapes and initial values, all from its module.

The constructor of a module takes its sizes, `rngs`, and options (type of the matrix products,
rematerialization) that change neither names nor shapes of the parameters.
"""

import functools
import inspect
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import jax
from flax import nnx

Params = dict[str, Any]  # nested: names to dicts or arrays
Shape = tuple[int, ...]
Module = TypeVar("Module", bound=nnx.Module)


@dataclass(frozen=True)
class Definition(Generic[Module]):
    """A network without the values of its parameters; can be a static argument of `jax.jit`.

    Attributes:
        graph: structure of the module.
        shapes: tree of the parameters' shapes and types, as `jax.ShapeDtypeStruct`.
    """

    graph: nnx.GraphDef[Module]
    shapes: Params = field(compare=False, repr=False)

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        # Computed once: it takes longer than the look-ups that need it.
        return hash(self.graph)

    def merge(self, params: Params) -> Module:
        """Returns the network with these parameters."""
        return nnx.merge(self.graph, params)

    @property
    def named_shapes(self) -> dict[str, Shape]:
        """Shape of every parameter by name, the levels of the tree joined by "/"."""
        leaves = jax.tree_util.tree_leaves_with_path(self.shapes)
        return {"/".join(entry.key for entry in path): leaf.shape for path, leaf in leaves}


def define(network: type[Module], config: Hashable, **options: Any) -> Definition[Module]:
    """Returns the definition of a network; cached, and no array is allocated.

    Args:
        network: class of the module.
        config: sizes.
        options: other arguments of the constructor, hashable.
    """
    arguments = inspect.signature(network.__init__).parameters.values()
    defaults = {each.name: each.default for each in arguments if each.default is not each.empty}
    definition: Definition[Module] = _define(network, config, tuple((defaults | options).items()))
    return definition


@functools.lru_cache(maxsize=64)
def _define(
    network: type[nnx.Module], config: Hashable, options: tuple[tuple[str, Any], ...]
) -> Definition[Any]:
    constructor: Any = network
    module = nnx.eval_shape(lambda: constructor(config, rngs=nnx.Rngs(0), **dict(options)))
    graph, state = nnx.split(module)
    return Definition(graph, nnx.to_pure_dict(state))


def init_params(
    network: type[nnx.Module], config: Hashable, seed: int, random_bits: str | None = None
) -> Params:
    """Returns the parameters of a network before training, float32.

    Parameter n, in the order of construction, is drawn with `fold_in(key(seed), n)`; the layers of
    a stack share one n.

    Args:
        network: class of the module.
        config: sizes.
        seed: seed of the random key.
        random_bits: implementation of the random key; JAX's default if None.
    """
    params: Params = _initial(network, config, jax.random.key(seed, impl=random_bits))
    return params


# Compiled once per network, not per seed: compilation takes longer than the computation.
@jax.jit(static_argnums=(0, 1))
def _initial(network: Any, config: Hashable, key: jax.Array) -> Params:
    return nnx.to_pure_dict(nnx.state(network(config, rngs=nnx.Rngs(key))))
