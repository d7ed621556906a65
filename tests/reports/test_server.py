"""The page that is served: to this machine alone, and as the runs are now."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from charkit.errors import ConfigurationError
from charkit.system.pipes import readable
from charkit_reports import server
from charkit_reports.server import LivePage, ReportServer
from training_support import train

Trained = tuple[Path, Path]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change is on the page at once, however long drawing takes."""
    monkeypatch.setattr(server, "IDLE_TIMES", 0)


@pytest.fixture
def serving(trained: Trained) -> Iterator[ReportServer]:
    """A server of a copy of a run, which a test may damage."""
    with ReportServer(LivePage([Path(shutil.copytree(trained[0], "run"))])) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def get(
    to: ReportServer, path: str = "/", host: str | None = None, method: str = "GET"
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", to.server_port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", f"127.0.0.1:{to.server_port}" if host is None else host)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content, answer.msg


def test_it_serves_the_page_and_has_the_browser_read_it_again(serving: ReportServer) -> None:
    status, page, headers = get(serving)
    assert status == 200
    assert "refreshed every 5 seconds" in page
    assert headers["Refresh"] == "5"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert get(serving, "/?again", host=f"LOCALHOST:{serving.server_port}")[0] == 200
    status, content, headers = get(serving, method="HEAD")
    assert (status, content) == (200, "")
    assert int(headers["Content-Length"]) > 10_000


def test_on_the_port_of_http_browsers_name_none(
    serving: ReportServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HTTP_PORT", serving.server_port)
    assert get(serving, host="127.0.0.1")[0] == get(serving, host="localhost")[0] == 200
    assert get(serving, host="evil.example")[0] == 421


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_a_request_that_names_another_host_is_refused(host: str, serving: ReportServer) -> None:
    status, content, headers = get(serving, host=host.format(port=serving.server_port))
    assert status == 421
    assert "Loss" not in content
    assert "Refresh" not in headers


@pytest.mark.parametrize(
    "path", ["/favicon.ico", "/config.json", "/../run/config.json", "/%2e%2e/run/config.json"]
)
def test_there_is_one_page_and_no_file(path: str, serving: ReportServer) -> None:
    assert get(serving, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_takes_nothing(method: str, serving: ReportServer) -> None:
    assert get(serving, method=method)[0] == 501


def test_it_listens_on_the_loopback_address_alone(serving: ReportServer) -> None:
    assert serving.server_address[0] == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.settimeout(5)
        # An address of this machine too, and not the one that it listens on.
        assert other.connect_ex(("127.0.0.2", serving.server_port)) != 0


def test_the_page_follows_the_run(text_file: Path) -> None:
    train(text_file, run="run", max_steps=10)
    page = LivePage([Path("run")])
    before = page.read()
    assert page.read() is before  # nothing has changed, so nothing was drawn
    train(resume="run", max_steps=25)
    after = page.read()
    assert after != before
    assert b"25, epoch" in after


def test_drawing_leaves_most_of_the_time_to_training(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_TIMES", 1_000_000)
    train(text_file, run="run", max_steps=10)
    page = LivePage([Path("run")])
    before = page.read()
    train(resume="run", max_steps=25)
    assert page.read() is before


def test_a_run_that_can_not_be_read_is_said_on_the_page_until_it_can(serving: ReportServer) -> None:
    Path("run/config.json").rename("kept.json")
    status, page, headers = get(serving)
    assert status == 200
    assert "is not a charkit run" in page
    assert headers["Refresh"] == "5"
    Path("kept.json").rename("run/config.json")
    assert "Training loss" in get(serving)[1]


def test_a_port_that_another_program_has_is_an_error_of_one_line(serving: ReportServer) -> None:
    port = serving.server_port
    with pytest.raises(ConfigurationError, match=rf"port {port} on this machine can't be used: .*; choose"):
        ReportServer(LivePage([Path("run")]), port)


def test_a_browser_that_goes_away_leaves_no_trace(
    serving: ReportServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", serving.server_port)) as connection:
        connection.sendall(b"GET / HT")
    assert get(serving)[0] == 200
    assert capsys.readouterr() == ("", "")
    assert server.ReportServer.daemon_threads


def test_ctrl_c_ends_it_cleanly(trained: Trained) -> None:
    command = [sys.executable, "-m", "charkit_cli", "report", str(trained[0]), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:")
        assert line.endswith("(press Ctrl-C to stop)\n")
        port = int(line.split("/")[2].partition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_pipe_gets_the_address_as_json_at_once(trained: Trained) -> None:
    command = [sys.executable, "-m", "charkit_cli", "report", str(trained[0]), "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline() if readable([process.stdout.fileno()], 60) else ""
        finally:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert json.loads(line)["url"].startswith("http://127.0.0.1:")
    assert (process.returncode, out, err) == (0, "", "")
