"""Objects that stay do not slow down the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from charkit.system.garbage_collection import collection_paused, lasting_objects


@pytest.fixture(autouse=True)
def collector_as_it_was() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    gc.unfreeze()
    (gc.enable if was_enabled else gc.disable)()


def generation_of(wanted: object) -> int | None:
    """The youngest generation with that object; None if it is in none."""
    return next(
        (which for which in range(3) if any(each is wanted for each in gc.get_objects(generation=which))),
        None,
    )


def test_objects_that_stay_are_in_the_oldest_generation_at_once() -> None:
    gc.unfreeze()
    with lasting_objects():
        assert not gc.isenabled()
        staying: list[object] = [object()]
    assert gc.isenabled()
    assert generation_of(staying) == 2
    assert gc.get_freeze_count() == 0  # they are still collected once they are in no use


def test_objects_that_a_program_has_frozen_stay_so() -> None:
    gc.freeze()
    with lasting_objects():
        staying: list[object] = [object()]
    assert gc.get_freeze_count() > 0
    assert generation_of(staying) == 0


def test_a_collector_that_is_off_stays_off_and_an_error_passes() -> None:
    gc.disable()
    with pytest.raises(ZeroDivisionError), lasting_objects(), collection_paused():
        raise ZeroDivisionError
    assert not gc.isenabled()
