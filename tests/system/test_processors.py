"""How many processors this process may use: by affinity, and by the limit of a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charkit.system import processors
from charkit.system.cpu_quota import cpu_quota


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """A file system of control groups, which a test fills."""
    path = tmp_path / "groups"
    path.mkdir()
    return path


def _write(groups: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        # The narrowest of the group and those it is in.
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "150000 100000\n"}, 0.5),
        # Version 1, seen from a container: the path is that of the outside.
        (
            "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n",
            {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            3.0,
        ),
        ("1:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, None),
        ("2:cpuset:/\n0::/\n", {}, None),
        ("nonsense", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "1 0"}, None),
    ],
)
def test_the_limit_of_a_control_group(
    groups: Path, tmp_path: Path, membership: str, files: dict[str, str], quota: float | None
) -> None:
    (tmp_path / "cgroup").write_text(membership)
    _write(groups, files)
    assert cpu_quota(tmp_path / "cgroup", groups) == quota


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "missing", tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "quota", "count"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 64.0, 2), (None, 3.0, 3)],
)
def test_the_least_of_all_limits_counts(
    monkeypatch: pytest.MonkeyPatch, allowed: int | None, quota: float | None, count: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(processors, "allowed_processors", lambda: allowed and list(range(allowed)))
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    assert processors.available_processors() == count
