"""A backend that follows PyTorch's default type, which is the user's, is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from charkit.testing import Subject, all_checks, run_check

pytestmark = pytest.mark.torch

_BACKEND = """
import torch
from charkit_torch.backend import TorchBackend


class Following(TorchBackend):
    name = "following"

    def __init__(self, *, precision, device, threads):
        super().__init__(precision=precision, device=device, threads=threads)
        if precision == "float32":
            self._dtype = torch.get_default_dtype()
"""
_PLUGIN = """
from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend():
    return BackendInfo("following", "charkit_following_backend:Following", "made for a test")
"""


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Installs the backend for this process and its children, and returns its name."""
    (tmp_path / "charkit_following_backend.py").write_text(_BACKEND, "utf-8")
    (tmp_path / "charkit_following.py").write_text(_PLUGIN, "utf-8")
    metadata = tmp_path / "charkit_following-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: charkit-following\nVersion: 1.0\n", "utf-8"
    )
    (metadata / "entry_points.txt").write_text("[charkit.backends]\nfollowing = charkit_following\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "following"


def test_the_default_of_the_user_is_not_followed(following: str) -> None:
    (check,) = (one for one in all_checks() if one.name == "user_defaults_do_not_matter")
    subject = Subject(following)
    try:
        result = run_check(check, subject)
    finally:
        subject.end()
    assert result.got == "float64 arrays"
    assert "tensor()" in result.look_at
