"""Every check: imports the modules that register checks, in the order in which they run.

Those of isolated processes come early in their stage: the processes then exhaust their memory while other checks run,
and TensorFlow waits for memory for ten seconds.
"""

# ruff: noqa: F401 - a module of checks is imported because that registers them

from __future__ import annotations

from charkit.testing import registry

# isort: off
from charkit.testing.checks import construction
from charkit.testing.checks import declarations
from charkit.testing.checks import arrays
from charkit.testing.checks import side_effects
from charkit.testing.checks import forward
from charkit.testing.checks import loss
from charkit.testing.checks import gradients
from charkit.testing.checks import rounding
from charkit.testing.checks import optimizer
from charkit.testing.checks import capabilities
from charkit.testing.checks import training
from charkit.testing.checks import processes
from charkit.testing.checks import threads
from charkit.testing.checks import leaks
from charkit.testing.checks import learning
from charkit.testing.checks import caching
from charkit.testing.checks import results
from charkit.testing.checks import addresses
from charkit.testing.checks import concurrency
from charkit.testing.checks import sampling
from charkit.testing.checks import failed_calls
from charkit.testing.checks import interrupted_calls
from charkit.testing.checks import robustness
from charkit.testing.checks import earlier_calls
from charkit.testing.checks import layouts
from charkit.testing.checks import sizes
from charkit.testing.checks import vocabularies
# isort: on


def all_checks() -> list[registry.Check]:
    """Every check, in the order of the stages."""
    return registry.registered()
