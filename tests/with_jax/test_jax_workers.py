"""JAX on workers: the same bits with any number of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_support import bits_of
from workers_suite import SameBitsOnWorkers

pytestmark = pytest.mark.jax


class TestJax(SameBitsOnWorkers):
    backend = "jax"

    def test_one_shard_has_the_bits_of_a_whole_step_with_a_worker_too(self, text_file: Path) -> None:
        """XLA fuses a whole step otherwise than gradients and update that are compiled apart."""
        options = {
            "shards": 1,
            "max_steps": 12,
            "weight_decay": 0.1,
            "learning_rate": 0.01,
            "grad_clip": 0.05,
        }
        alone = bits_of(self.train(text_file, "alone", **options))
        assert bits_of(self.train(text_file, "on-one", workers=1, **options)) == alone
