"""Runs on Ray: the bits of one process, which cluster is used, what is declared to it, and what can't be."""

# Over 300 lines: each test is short, and a Ray that has started serves them all.

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ray_cluster import RayCluster, left_running, processes_of

import charkit
from charkit.distributed import pool as pool_module
from charkit.errors import BackendError, EngineError
from charkit.runs.records import SESSIONS
from charkit.runs.run import Run
from charkit.training.result import TrainResult
from cli_support import TINY, Toolkit, start, wait_for_step
from support import SMALL
from training_support import bits_of

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
SHARDED: dict[str, Any] = {
    **SMALL,
    "batch_size": 8,
    "dropout": 0.3,
    "shards": 8,
    "max_steps": 12,
    "threads": 1,
}
TESTS = Path(__file__).parent.parent


def _train(text: Path, name: str, **options: Any) -> TrainResult:
    return charkit.train(text, run=name, **{**SHARDED, **options})


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where clusters that are started by the engine have their files; there must be nothing in the end."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    folder = tempfile.mkdtemp(prefix="own-", dir="/tmp")
    monkeypatch.setattr("charkit_ray.connection._FOLDERS", Path(folder))
    yield Path(folder)
    assert left_running(folder) == []
    assert list(Path(folder).iterdir()) == []
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    made = RayCluster(2)
    yield made
    made.end()


def test_the_bits_are_those_of_one_process(own_folder: Path, text_file: Path) -> None:
    seen: list[bool] = []
    alone = _train(text_file, "alone")
    on_ray = _train(
        text_file,
        "on-ray",
        workers=2,
        engine="ray",
        on_event=lambda event: seen.append(len(processes_of(str(own_folder))) > 2),
    )
    assert bits_of(on_ray) == bits_of(alone)
    assert seen[-1]  # the processes of the cluster were found while there were some
    session = Run.open(on_ray.run).records(SESSIONS)[-1]
    assert (session["workers"], session["engine"]) == (2, "ray")


def test_ctrl_c_saves_the_run_and_ends_the_cluster(
    own_folder: Path, text_file: Path, toolkit: Toolkit
) -> None:
    options = (*TINY, "--batch-size=8", "--dropout=0.3", "--shards=8", "--log-every=1")
    code = (
        "import sys; from pathlib import Path; import charkit_ray.connection; from charkit_cli.main import run; "
        f"charkit_ray.connection._FOLDERS = Path({str(own_folder)!r}); sys.exit(run(sys.argv[1:]))"
    )
    command = [
        "train",
        str(text_file),
        *options,
        "--workers=2",
        "--engine=ray",
        "--run=stopped",
        "--epochs=9999",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as driver:
        wait_for_step(driver, Path("stopped"), 5)
        os.killpg(
            driver.pid, signal.SIGINT
        )  # as a terminal does, which asks nobody which processes are Ray's
        _, said = driver.communicate(timeout=120)
    assert driver.returncode == 130, said
    assert "a worker" not in said
    step = Run.open(Path("stopped")).checkpoint("latest")[0].snapshot.step
    toolkit.ok("train", "--resume=stopped", "--threads=1", f"--max-steps={step + 5}")
    toolkit.ok("train", text_file, *options, "--run=whole", f"--max-steps={step + 5}")
    runs = [Run.open(Path(name)).checkpoint("latest")[0].snapshot.arrays() for name in ("stopped", "whole")]
    assert {name: array.tobytes() for name, array in runs[0].items()} == {
        name: array.tobytes() for name, array in runs[1].items()
    }


def test_a_cluster_of_this_machine_is_used_only_if_it_is_named(
    cluster: RayCluster, own_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    found: list[str] = []

    def note(event: Any) -> None:
        if ray.is_initialized():  # asked before, it would connect by itself
            found.append(ray.get_runtime_context().gcs_address)

    options: dict[str, Any] = {"workers": 1, "engine": "ray", "on_event": note, "max_steps": 2}
    # where `ray start` notes its cluster, which ray.init() without an address would take
    Path(os.environ["RAY_TMPDIR"], "ray", "ray_current_cluster").write_text(cluster.address)
    _train(text_file, "on-its-own", **options)
    assert found
    assert cluster.address not in found
    found.clear()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    _train(text_file, "where-the-environment-says", **options)
    assert set(found) == {cluster.address}


def test_a_cluster_at_local_is_one_that_charkit_starts(
    own_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    _train(
        text_file,
        "here",
        workers=1,
        engine="ray",
        address="local",
        max_steps=2,
        on_event=lambda event: seen.append(len(processes_of(str(own_folder)))),
    )
    assert max(seen) > 2


def test_a_worker_on_a_gpu_has_one_of_its_own(cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_ray.engine import RayEngine

    nodes = [cluster.add({"PYTHONPATH": str(TESTS)}, num_cpus=4, num_gpus=2)]
    engine = RayEngine.connect(cluster.address, 1)
    try:
        service, values = "with_ray.reporting_service:Reporter", {"device": "cuda:3", "threads": 2}
        workers = [engine.start_worker(service, values) for _ in range(3)]
        calls = [engine.submit(worker, "report", {}, {}) for worker in workers]
        reports = []
        deadline = time.monotonic() + 120
        while len(reports) < 2:
            assert time.monotonic() < deadline
            for call in engine.wait(calls, 1.0):
                calls.remove(call)
                reports.append(engine.result(call).values)
        assert sorted(report["visible"] for report in reports) == ["0", "1"]
        assert [report["device"] for report in reports] == ["cuda:0", "cuda:0"]  # its only one
        assert [report["resources"]["CPU"] for report in reports] == [2.0, 2.0]
        assert engine.wait(calls, 2.0) == []  # there is no third GPU
    finally:
        engine.close()
        for node in nodes:
            cluster.remove(node)


PLANTED = {
    "a node without charkit-ray": (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'charkit_ray':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n",
        BackendError,
        r"a worker failed to start: ModuleNotFoundError: No module named 'charkit_ray'; install charkit",
    ),
    "a node with another charkit": (
        "import charkit.version\ncharkit.version.version = lambda: '0.0.1'\n",
        EngineError,
        r"a worker has charkit 0\.0\.1, but this process has \d.*; install the same version everywhere",
    ),
    "a node with another processor": (
        "import charkit.machine\ncharkit.machine.processor_name = lambda: 'another processor'\n",
        EngineError,
        r"a worker differs from this process.*processor another processor .here: .*`mixed_machines=True`",
    ),
}


@pytest.mark.parametrize("case", PLANTED)
def test_nodes_that_are_not_like_the_driver_are_refused(
    cluster: RayCluster, text_file: Path, tmp_path: Path, case: str
) -> None:
    code, error, message = PLANTED[case]
    (tmp_path / "sitecustomize.py").write_text(code, "utf-8")
    node = cluster.add({"PYTHONPATH": str(tmp_path)}, num_cpus=8)
    try:
        with pytest.raises(error, match=message):  # three workers: at least one is on the new node
            _train(text_file, "refused", workers=3, engine="ray", address=cluster.address)
    finally:
        cluster.remove(node)
    assert not Path("refused").exists()


def test_more_workers_than_a_cluster_has_processors_for(
    cluster: RayCluster, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.settle()  # nodes that earlier tests removed would be counted until they are missed
    monkeypatch.setattr(pool_module, "_START_SECONDS", 15.0)
    message = r"\d of 8 workers did not start within 15 s: the Ray cluster has 2 processors"
    with pytest.raises(EngineError, match=message):
        _train(text_file, "too-many", workers=8, engine="ray", address=cluster.address)
    assert not Path("too-many").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (
            "127.0.0.1:1",
            "error: no Ray cluster at '127.0.0.1:1': Connection refused; check the address, and run",
        ),
        (
            "ray://127.0.0.1:1",
            "error: --address must be the host and port of a Ray cluster, such as '10.0.0.1:6379'",
        ),
    ],
)
def test_a_cluster_that_is_not_there(text_file: Path, address: str, said: str) -> None:
    # in a process of its own: Ray writes past sys.stderr
    with start("train", text_file, "--workers=2", "--engine=ray", f"--address={address}") as child:
        _, wrong = child.communicate(timeout=120)
    assert child.returncode == 2
    assert wrong.count("\n") == 1
    assert wrong.startswith(said)


@pytest.mark.parametrize(
    ("given", "environment", "address"),
    [
        (None, None, None),
        (None, "", None),
        (None, "local", None),
        (None, "10.0.0.1:6379", "10.0.0.1:6379"),
        ("local", "10.0.0.1:6379", None),
        ("10.0.0.2:6379", "local", "10.0.0.2:6379"),
    ],
)
def test_the_address_is_the_given_one_or_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: str | None, environment: str | None, address: str | None
) -> None:
    from charkit_ray.connection import cluster_address

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert cluster_address(given) == address


@pytest.mark.parametrize(
    "address", ["http://foo", "10.0.0.1", ":6379", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:99999"]
)
def test_what_can_not_be_an_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from charkit_ray.connection import Connection

    monkeypatch.setenv("RAY_ADDRESS", address)
    for given, name in ((address, "`address`"), (None, "RAY_ADDRESS")):
        with pytest.raises(EngineError, match=rf"^{name} must be the host and port .*; given {address!r}$"):
            Connection(given, 1)


def test_another_cluster_than_the_connected_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from charkit_ray.engine import RayEngine

    class Context:
        gcs_address = "10.0.0.1:6379"

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", Context)
    for address in (None, "auto", "10.0.0.1:6379", "localhost:6379"):
        RayEngine.connect(address, 1)
    with pytest.raises(
        EngineError, match=r"to the Ray cluster at '10\.0\.0\.1:6379', but `address` is 'a:1'"
    ):
        RayEngine.connect("a:1", 1)
    with pytest.raises(EngineError, match=r"but `address` is '10\.0\.0\.2:6379'"):
        RayEngine.connect("10.0.0.2:6379", 1)


def test_a_cluster_that_goes_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from charkit_ray.engine import RayEngine

    def gone(*_: Any, **__: Any) -> None:
        raise RuntimeError("Failed to get cluster resources:\n    GCS is unavailable")

    for name in ("cluster_resources", "wait", "put", "kill"):
        monkeypatch.setattr(ray, name, gone)
    engine = RayEngine(None)
    reason = "Failed to get cluster resources: GCS is unavailable"
    assert engine.capacity() == f"the Ray cluster isn't responding ({reason})"
    for call in (lambda: engine.wait(["a call"], 0.0), lambda: engine.share({})):
        with pytest.raises(
            EngineError, match=rf"^the Ray cluster can't be reached: {reason}; run `ray status` on"
        ):
            call()
    engine.stop_worker("a worker")


def test_workers_of_a_cluster_that_is_started_here_are_limited(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    message = toolkit.error("train", text_file, "--workers=100000", "--engine=ray")
    assert re.match(r"--workers must be at most \d+ on a machine with \d+ processors; given 100000;", message)
    message = toolkit.error("train", text_file, "--workers=100000", "--engine=ray", "--address=127.0.0.1:1")
    assert message == "--workers must be at most 4,096; given 100000; use fewer"


def test_a_connection_that_fails_or_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from charkit_ray.connection import Connection

    monkeypatch.setattr("charkit_ray.connection.socket.create_connection", lambda *_: socket.socket())

    def unlike(**_: Any) -> None:
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.12.1"
        )

    monkeypatch.setattr(ray, "init", unlike)
    with pytest.raises(
        EngineError, match=r"^no Ray cluster at 'a:1': Version mismatch: .* Ray: 2\.40\.0 Python"
    ):
        Connection("a:1", 1)
    monkeypatch.setattr("charkit_ray.connection.CONNECT_SECONDS", 0.2)
    left: list[bool] = []
    monkeypatch.setattr(ray, "shutdown", lambda: left.append(True))
    monkeypatch.setattr(ray, "init", lambda **_: time.sleep(0.5))
    with pytest.raises(
        EngineError,
        match=r"^no Ray cluster at 'a:1': no response within 0 s; for details, run `ray status` on its head",
    ):
        Connection("a:1", 1)
    deadline = time.monotonic() + 30
    while not left:  # Ray answered too late, and was left at once
        assert time.monotonic() < deadline
        time.sleep(0.05)
