"""Which BLAS library the NumPy backend reports, where a process has loaded more than one."""

from __future__ import annotations

import pytest

from charkit_numpy import backend
from charkit_numpy.backend import NumpyBackend


def pool(path: str, version: str, api: str = "blas") -> dict[str, str]:
    return {
        "user_api": api,
        "internal_api": "openblas",
        "version": version,
        "architecture": "Zen",
        "filepath": f"/site/{path}",
    }


OPENMP = pool("torch/lib/libgomp.so", "5", "openmp")
SCIPY = pool("scipy.libs/libscipy_openblas.so", "0.3.30")
WHEEL = pool("numpy.libs/libscipy_openblas64.so", "0.3.31")
MACOS = pool("numpy/.dylibs/libscipy_openblas64.dylib", "0.3.31")
SYSTEM = pool("lib/libopenblas.so.0", "0.3.20")


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        ([OPENMP, WHEEL, SCIPY], "openblas 0.3.31 Zen"),
        ([OPENMP, SCIPY, WHEEL], "openblas 0.3.31 Zen"),
        ([SCIPY, MACOS], "openblas 0.3.31 Zen"),
        ([SYSTEM, OPENMP], "openblas 0.3.20 Zen"),
        ([OPENMP], "unknown"),
    ],
)
def test_the_blas_is_that_of_numpy(
    loaded: list[dict[str, str]], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "threadpool_info", lambda: loaded)
    numpy = NumpyBackend(precision="float32", device="cpu", threads=1)
    assert numpy.versions()["blas"] == expected
