"""Is the live side there? One clear message when it is not."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Collection

from ..core.errors import MissingExtraError
from .compat import Applied, apply_remedies
from .compat.remedies import Side

_PACKAGES = ("torch", "hivemind", "transformers", "petals")
HOW = (
    "PETALS needs an environment of its own with Python 3.11. From a checkout: make swarm-env "
    '(then .swarm-env/bin/swarmplan swarm ...). By hand: pip install "swarmplan[swarm]", then '
    "pip install --no-deps petals==2.2.0.post1 tensor_parallel==1.0.23 (and bitsandbytes, peft for "
    "8- and 4-bit blocks and adapters), both with "
    "-c swarm/constraints.txt"
)


class MissingPetalsError(MissingExtraError):
    """The packages of a live swarm are not installed here."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__("swarm")
        self.args = (f"this needs a live-swarm environment; missing: {', '.join(missing)}\n{HOW}",)


def missing_packages() -> list[str]:
    """Packages of the live side that cannot be found."""
    return [name for name in _PACKAGES if importlib.util.find_spec(name) is None]


def quiet_imports() -> None:
    """transformers 4.34 warns at import of names that torch renamed, PETALS and hivemind of what
    torch will drop, torch of the messages that hivemind unpacks without a copy, bitsandbytes of
    kernels that nobody asked for; no user can act on it."""
    warnings.filterwarnings("ignore", message=r".*_register_pytree_node")
    warnings.filterwarnings("ignore", message=r".?torch\.jit\.script.? is deprecated")
    warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor, ")
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    # It misses a package with faster kernels for a CPU at every start.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def prepare(side: Side, *, also: Collection[str] = ()) -> tuple[Applied, ...]:
    """Check that PETALS is installed and mend it for this process.

    Parameters
    ----------
    also : optional remedies to apply.

    Raises
    ------
    MissingPetalsError
        Naming what is missing and how to install it.
    """
    missing = missing_packages()
    if missing:
        raise MissingPetalsError(missing)
    quiet_imports()
    return apply_remedies(side, also=also)
