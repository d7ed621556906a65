"""How much memory a run would need, for the message that refuses a text with too many distinct characters."""

from __future__ import annotations

from charkit.config import RunConfig
from charkit.errors import VocabularySizeError
from charkit.weights import parameter_count

#: Copies of the weights at the peak: the weights, Adam's two moments and the gradients of two halves of a batch; and
#: while the run is saved, a snapshot of weights and moments and its bytes. The last is for intermediate results.
WEIGHT_COPIES = 5 + 3 + 3 + 1
#: Copies of a batch's logits: themselves, and their gradient.
LOGITS_COPIES = 2
GIGABYTE = 1e9


def estimated_bytes(config: RunConfig) -> int:
    """The memory that training takes at its peak, as measured on NumPy with the vocabulary as the largest dimension.

    It was within 30 % for 4,000 to 40,000 symbols. The other activations of the network are left out: they are the
    smaller part where the vocabulary is large.
    """
    item = 8 if config.training.precision == "float64" else 4
    logits = config.data.batch_size * config.data.num_steps * config.model.vocabulary_size
    return item * (WEIGHT_COPIES * parameter_count(config.model) + LOGITS_COPIES * logits)


def with_needed_memory(error: VocabularySizeError, config: RunConfig) -> VocabularySizeError:
    """The same error with the memory that the configured model would need for such a vocabulary, if that is much."""
    model, data, gigabytes = config.model, config.data, estimated_bytes(config) / GIGABYTE
    if gigabytes < 1:  # no reason against it
        return error
    needed = (
        f"with all of them, a model of {model.num_layers} x {model.lstm_size} and batches of {data.batch_size:,} x "
        f"{data.num_steps:,} would need about {gigabytes:,.1f} GB of memory"
    )
    return VocabularySizeError(error.size, error.limit, error.text_symbols, needed)
