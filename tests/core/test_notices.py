"""What follows from precision and device is said by the core, for every backend in the same words."""

from __future__ import annotations

from typing import ClassVar

import pytest

from charkit import notices
from charkit.notices import notices_for
from charkit_numpy.backend import NumpyBackend

SLOW = "this processor has no bfloat16 instructions: bfloat16 can be far slower here than float32"


class Rounding(NumpyBackend):
    """A backend with more devices and precisions than it has."""

    name: ClassVar[str] = "rounding"
    found: ClassVar[list[str]] = ["cpu"]

    @classmethod
    def devices(cls) -> list[str]:
        return cls.found

    def notices(self) -> tuple[str, ...]:
        return ("its own",)


def made(precision: str, device: str) -> Rounding:
    backend = Rounding(precision="float32", device="cpu", threads=1)
    backend.precision, backend.device = precision, device
    return backend


@pytest.mark.parametrize(
    ("found", "device", "said"),
    [
        (["cpu"], "cpu", ()),
        (
            ["cpu", "cuda:0", "cuda:1"],
            "cpu",
            ("a GPU is available but not used; choose it with `device='cuda:0'`",),
        ),
        (["cuda:0", "cpu"], "cpu", ("a GPU is available but not used; choose it with `device='cuda:0'`",)),
        (
            ["cpu", "npu:0"],
            "cpu",
            ("the device npu:0 is available but not used; choose it with `device='npu:0'`",),
        ),
        (["cpu", "cuda:0", "cuda:1"], "cuda:0", ()),
    ],
)
def test_an_idle_device(
    monkeypatch: pytest.MonkeyPatch, found: list[str], device: str, said: tuple[str, ...]
) -> None:
    monkeypatch.setattr(Rounding, "found", found)
    assert notices_for(made("float32", device)) == (*said, "its own")


@pytest.mark.parametrize(
    ("precision", "device", "has", "said"),
    [
        ("float32", "cpu", False, ()),
        ("bfloat16", "cpu", True, ()),
        ("bfloat16", "cpu", False, (SLOW,)),
        ("bfloat16", "cuda:0", False, ()),
    ],
)
def test_bfloat16_without_instructions(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, has: bool, said: tuple[str, ...]
) -> None:
    monkeypatch.setattr(notices, "has_bfloat16_instructions", lambda: has)
    assert notices_for(made(precision, device)) == (*said, "its own")


def test_what_else_bfloat16_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "has_bfloat16_instructions", lambda: True)
    monkeypatch.setattr(Rounding, "bfloat16_rounds", "the logits")
    assert notices_for(made("float32", "cpu")) == ("its own",)
    assert notices_for(made("bfloat16", "cpu")) == (
        "in bfloat16, rounding rounds the operands of matrix products, as well as the logits",
        "its own",
    )
