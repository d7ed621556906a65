"""What the system says of the processor, also where it says little."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from charkit import machine

X86 = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 {}\n\nprocessor\t: 1\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\n"


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's list of processors, which a test writes."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "_CPUINFO", path)
    return path


@pytest.mark.parametrize(
    ("content", "has"),
    [
        (X86.format("avx512_bf16"), True),
        (X86.format("amx_bf16"), True),
        (X86.format("avx512f"), False),
        (ARM.format("bf16"), True),
        (ARM.format("sve"), False),
        ("processor\t: 0\n", True),  # the system doesn't say
    ],
)
def test_bfloat16_instructions(listing: Path, content: str, has: bool) -> None:
    listing.write_text(content)
    assert machine.has_bfloat16_instructions() == has


def test_the_processor_has_a_name(listing: Path) -> None:
    listing.write_text(X86.format(""))
    assert machine.processor_name() == "Some CPU @ 2 GHz"
    assert machine.processor_flags() == {"fpu", "avx2"}
    listing.write_text(ARM.format(""))
    assert machine.processor_name() == (platform.processor() or platform.machine())


def test_a_system_that_lists_no_processors(listing: Path) -> None:
    assert not listing.exists()
    assert machine.processor_name() == (platform.processor() or platform.machine())
    assert machine.processor_flags() == frozenset()
    assert machine.has_bfloat16_instructions()
