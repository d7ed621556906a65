"""Every check: this module imports all that register some, in the order in which they run."""

from __future__ import annotations

from charkit.testing import registry

# isort: off
from charkit.testing.checks import contact  # noqa: F401
from charkit.testing.checks import declarations  # noqa: F401
from charkit.testing.checks import arrays  # noqa: F401
from charkit.testing.checks import surroundings  # noqa: F401
from charkit.testing.checks import forward  # noqa: F401
from charkit.testing.checks import loss  # noqa: F401
from charkit.testing.checks import gradients  # noqa: F401
from charkit.testing.checks import optimiser  # noqa: F401
from charkit.testing.checks import capabilities  # noqa: F401
from charkit.testing.checks import training  # noqa: F401
from charkit.testing.checks import processes  # noqa: F401
from charkit.testing.checks import growth  # noqa: F401
from charkit.testing.checks import learning  # noqa: F401
from charkit.testing.checks import keeping  # noqa: F401
from charkit.testing.checks import sampling  # noqa: F401
from charkit.testing.checks import robustness  # noqa: F401
from charkit.testing.checks import sizes  # noqa: F401
# isort: on


def all_checks() -> list[registry.Check]:
    """Every check, in the order of the stages."""
    return registry.registered()
