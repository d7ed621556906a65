"""The same model as users of each framework would write it themselves, from the framework's documentation.

Charkit's backends are measured against these layers: ``compare(own_layers=True)`` and ``benchmarks/training.py``
train them on the same batches from the same weights. Each module has a class with

    step(inputs, targets, learning_rate) -> loss        int32 (batch, time) arrays; nats per symbol
    reset_state(streams)                        zero state where the text starts again; bool (batch,), None for all

``versions`` and ``notices`` for the reader of a comparison, and a function ``make`` that builds it from the canonical
weights. Dropout is the framework's own.
"""
