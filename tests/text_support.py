"""What the tests of texts share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from charkit.errors import CharkitError
from charkit.text.corpus import Corpus

Write = Callable[[bytes], str]


def text_of(corpus: Corpus) -> str:
    return corpus.vocabulary.decode(corpus.symbols)


def message_of(kind: type[CharkitError], action: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message
