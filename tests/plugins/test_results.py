"""``charkit.backends()`` and ``charkit.verify()``: what a Python user gets, and what a notebook shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import charkit
from charkit.errors import BackendError, ConfigurationError
from charkit.plugins import InstalledBackend, InstalledBackends, find, installed
from charkit.testing import CheckResult, all_checks

USABLE = InstalledBackend(
    "sound", "usable", "charkit-sound", "1.0", ["cpu"], ["float32"], ["weight_decay"], "", "made up"
)
BROKEN = replace(USABLE, name="odd", status="broken", devices=[], reason="no <beads> & no frame", summary="")


def test_backends_are_listed_and_the_usable_ones_among_them() -> None:
    shares: list[float] = []
    found = charkit.backends(progress=shares.append)
    assert [backend.name for backend in found] == [plugin.name for plugin in installed()]
    (numpy,) = [backend for backend in found.usable if backend.name == "numpy"]
    assert numpy.usable
    assert (numpy.distribution, numpy.version) == ("charkit", charkit.__version__)
    assert numpy.devices == ["cpu"]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_notebook_shows_backends_as_a_table() -> None:
    found = InstalledBackends([USABLE, BROKEN])
    assert found.usable == (USABLE,)
    html = found._repr_html_()
    assert html.count("<tr>") == 3
    assert ">made up<" in html
    assert ">no &lt;beads&gt; &amp; no frame<" in html


def test_a_plugin_is_one_value() -> None:
    plugin = find("numpy")
    assert plugin in installed()
    assert plugin.label == f"backend 'numpy' (charkit {charkit.__version__})"
    assert plugin.info.name == plugin.backend_class.name == plugin.name == "numpy"
    assert plugin.info is plugin.info
    with pytest.raises(AttributeError):
        plugin.version = "2"  # type: ignore[misc]


def test_a_verification_is_typed_and_calls_back() -> None:
    asked: list[str] = []
    results: list[CheckResult] = []
    found = charkit.verify(
        "numpy",
        stages=["import"],
        on_check=lambda check, _: asked.append(check.name),
        on_result=results.append,
    )
    names = [check.name for check in all_checks() if check.stage == "import"]
    assert found.passed
    assert found.failures == ()
    assert found.verified_with == ""  # some stages are not all
    assert [check.name for check in found.checks] == names
    assert results == list(found.checks)
    assert list(dict.fromkeys(asked)) == names
    assert list(found.as_json()) == ["backend", "passed", "checks", "verified_with"]
    assert f"numpy: {len(names)} passed" in found._repr_html_()


def test_a_notebook_shows_what_failed() -> None:
    found = charkit.verify("numpy", stages=["import"])
    first, *others = found.checks
    wrong = replace(first, status="failed", expected="a < b", got="c", look_at="plugin.py")
    failed = replace(found, checks=(wrong, *others))
    assert not failed.passed
    assert failed.failures == (wrong,)
    html = failed._repr_html_()
    assert f"{len(others)} passed, 1 failed" in html
    assert f">{first.name}<" in html
    assert ">a &lt; b<" in html
    assert ">plugin.py<" in html


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"backend": "nmpy"}, BackendError, "unknown backend 'nmpy' (did you mean 'numpy'?)"),
        ({"device": "abacus:0"}, BackendError, "backend 'numpy' has no device 'abacus:0' here; it has cpu"),
        ({"threads": 0}, BackendError, "`threads` must be at least 1; given 0"),
        ({"stages": ["imports"]}, ConfigurationError, "given imports"),
    ],
)
def test_wrong_use_is_an_error_and_no_verdict(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as error:
        charkit.verify(**{"backend": "numpy", **options})
    assert words in str(error.value)
