"""Labels in charts stand where no line passes through them."""

from __future__ import annotations

import numpy as np
import pytest

from charkit_pages.label_placement import Box, place_label

FRAME = Box(0, 0, 300, 200)
SIZE = (100.0, 15.0)


def line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, np.float64)


@pytest.mark.parametrize(
    ("points", "crossed"),
    [
        ([(0, 50), (300, 50)], True),  # straight through, with no point inside
        ([(0, 0), (300, 100)], True),
        ([(149, 0), (151, 200)], True),  # steeply
        ([(0, 61), (300, 61)], False),
        ([(0, 0), (99, 50)], False),  # ends before it
        ([(201, 50), (300, 50)], False),
        ([(150, 50)], True),
        ([(150, 70)], False),
    ],
)
def test_a_line_that_passes_through_a_box(points: list[tuple[float, float]], crossed: bool) -> None:
    assert Box(100, 40, 200, 60).is_crossed_by(line(*points)) is crossed


def test_the_name_of_an_area_is_just_below_its_edge() -> None:
    edge = line((0, 100), (300, 100))
    box = place_label(SIZE, edge, FRAME, [edge], [], below=True)
    assert box is not None
    assert (box.top, box.right) == (96, 296)


def test_it_moves_down_or_aside_where_a_line_is_in_the_way() -> None:
    edge, wave = line((0, 100), (300, 100)), line((0, 90), (300, 90))
    box = place_label(SIZE, edge, FRAME, [edge, wave], [], below=True)
    assert box is not None
    assert box.top < 90
    right = line((200, 1), (200, 2), (201, 99), (300, 99))
    box = place_label(SIZE, edge, FRAME, [edge, right], [], below=True)
    assert box is not None
    assert box.right < 200
    assert box.top == 96


def test_it_is_above_where_there_is_no_room_below() -> None:
    edge = line((0, 10), (300, 10))
    box = place_label(SIZE, edge, FRAME, [edge], [], below=True)
    assert box is not None
    assert box.bottom > 10


def test_the_name_of_a_line_is_above_it_or_just_below() -> None:
    rule = line((0, 100), (300, 100))
    box = place_label(SIZE, rule, FRAME, [rule], [], below=False)
    assert box is not None
    assert box.bottom == 104
    high = line((0, 190), (300, 190))
    box = place_label(SIZE, high, FRAME, [high], [], below=False)
    assert box is not None
    assert box.top == 186


def test_no_two_labels_overlap() -> None:
    rule = line((0, 100), (300, 100))
    first = place_label(SIZE, rule, FRAME, [rule], [], below=False)
    assert first is not None
    second = place_label(SIZE, rule, FRAME, [rule], [first], below=False)
    assert second is not None
    assert not first.overlaps(second)


def test_without_room_there_is_no_label() -> None:
    rule = line((0, 100), (300, 100))
    scribble = line(*((x, 200 * (x % 2)) for x in range(301)))
    assert place_label(SIZE, rule, FRAME, [rule, scribble], [], below=True) is None
    assert place_label((400.0, 15.0), rule, FRAME, [rule], [], below=True) is None
