"""Vocabularies whose symbols just fit, or just don't fit, into integers narrower than int32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from charkit.testing.cases import make_case
from charkit.testing.checked_calls import check_gradients, check_nats, check_prediction
from charkit.testing.memory import memory_limit
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject

#: By the size of a vocabulary, symbols of it around the largest number of int8 and of int16. With 600 and 70,000
#: symbols, other checks go beyond uint8 and uint16.
_SYMBOLS = {200: (127, 128, 199), 60_000: (32_767, 32_768, 59_999)}
#: Other checks have gradients in a vocabulary of 200.
_DIFFERENTIATED = 60_000
#: Less than an array of vocabulary by vocabulary takes, which would take seconds.
_MUCH = 3 << 30


@check_precisions("gradients", among=("float32",))
def symbols_of_every_size(subject: Subject, precision: str) -> None:
    """With 200 and with 60,000 symbols, those that don't fit into int8 or int16 are still distinguished from others."""
    for size, symbols in _SYMBOLS.items():
        case = make_case(num_layers=1, num_steps=2, vocabulary_size=size)
        inputs = np.array([symbols, symbols[1:] + symbols[:1]], np.int32).T.copy()  # (batch, time)
        case = replace(case, symbols=inputs, targets=inputs[:, ::-1].copy())
        parts = subject.parts(precision, case.model, case.weights)
        look_at = f"lstm.py, output.py and loss.py: symbols and targets stay int32, even with a vocabulary of {size:,}"
        try:
            with memory_limit(_MUCH):
                check_prediction(parts, precision, case, f"{look_at}, for several streams")
                check_prediction(parts, precision, case.sequences([1]), f"{look_at}, for a single stream")
                check_nats(parts, precision, case, look_at)
                if size == _DIFFERENTIATED:
                    check_gradients(parts, precision, case, f"{look_at}, in the backward pass")
        except MemoryError:
            return  # an array of vocabulary by vocabulary is wasteful, but not wrong
