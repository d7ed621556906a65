"""Observers get every event, in processes of their own; whatever they do, the run is the same to the bit."""

# Over 300 lines: one feature, one short test for each thing that an observer may do.

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import charkit
from charkit import events
from charkit.observers import observers, process
from cli_support import TINY, Toolkit
from observers.conftest import Install, Seen
from plugin_support import wait_until
from support import SMALL, SMALL_TEXT
from training_support import bits_of, losses_of, train

PROGRESS = (events.Reading, events.Validating, events.Advanced)
#: Writes the type of each event, and its step, to a file.
RECORD = """with open("seen.jsonl", "a") as file:
    import json
    print(json.dumps([type(event).__name__, getattr(event, "step", 0), getattr(event, "reason", "")]), file=file)"""


def recorded() -> list[tuple[str, int, str]]:
    return [tuple(json.loads(line)) for line in Path("seen.jsonl").read_text("utf-8").splitlines()]


def test_it_gets_the_events_of_training_in_order(install: Install, text_file: Path, seen: Seen) -> None:
    install(RECORD)
    train(text_file, max_steps=20, track="mine", on_event=seen)
    expected = [event for event in seen.events if not isinstance(event, PROGRESS)]
    names = [(type(one).__name__, getattr(one, "step", 0), getattr(one, "reason", "")) for one in expected]
    got = [one for one in recorded() if one[0] not in {kind.__name__ for kind in PROGRESS}]
    assert got == names
    assert [name for name, _, _ in got].count("StepMetrics") == 4
    assert recorded()[0][0] == "Started"  # no earlier event, of reading the text
    assert got[-1] == ("Ended", 20, "max_steps")


def test_a_module_with_the_hook_is_an_observer_too_and_may_say_something(
    install: Install, text_file: Path, seen: Seen
) -> None:
    module = (
        "from charkit import events, hookimpl\n\n@hookimpl\ndef charkit_event(event):\n"
        "    if isinstance(event, events.Started):\n        return f'{event.run}\\n\\x1b[1m{event.session}'\n"
    )
    install(module=module, value="mine_observer")
    result = train(text_file, max_steps=5, track=["mine", "mine"], on_event=seen)
    said = [event for event in seen.events if isinstance(event, events.ObserverMessage)]
    assert said == [events.ObserverMessage("mine", f"{result.run} \ufffd[1m1")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], list[tuple[int, float]]]:
    """The bits and losses of a run without any observer."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "small.txt").write_text(SMALL_TEXT, "utf-8")
    result = train(folder / "small.txt", run=folder / "run", max_steps=20)
    return bits_of(result), losses_of(result)


AT_10 = "if isinstance(event, events.StepMetrics) and event.step == 10:\n    "
HOSTILE = {
    "that records": ("pass", None),
    "that raises": (f"{AT_10}raise ValueError('no\\nroom')", r"failed at StepMetrics, step 10: ValueError: no room, "),
    "that raises at once": ("raise OSError('first')", r"OSError: first"),
    "that raises KeyboardInterrupt": (f"{AT_10}raise KeyboardInterrupt", r"step 10: KeyboardInterrupt"),
    "that calls sys.exit": (f"{AT_10}sys.exit(0)", r"step 10: SystemExit: 0"),
    "that raises at the end": ("if isinstance(event, events.Ended):\n    1 / 0", r"failed at Ended, step 20: Zero"),
    "that ends its process": (f"{AT_10}os._exit(0)", r"its process ended with status 0"),
    "that ends with words": (f"{AT_10}print('so be it', flush=True); os._exit(3)", r"with status 3: so be it"),
    "that crashes": (f"{AT_10}os.kill(os.getpid(), signal.SIGSEGV)", r"its process was killed by signal 11"),
    "that prints": ("print('x' * 100_000)\nprint('y' * 100_000, file=sys.stderr)", None),
    "that writes among the answers": (
        "for number in range(1, 9):\n    try: os.write(number, b'no{}\\n\\xff\\n[1]\\n')\n    except OSError: pass",
        None,
    ),
    "that closes everything": (f"{AT_10}os.closerange(0, 20)", r"its process|failed"),
    "that forks": (f"{AT_10}os.fork()", None),
    "that leaves a thread": (f"{AT_10}threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", None),
    "that returns nonsense": ("return [object()]", None),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_the_run_is_the_same_to_the_bit_with_an_observer(
    what: str,
    install: Install,
    text_file: Path,
    seen: Seen,
    plain: tuple[dict[str, bytes], list[tuple[int, float]]],
) -> None:
    body, reason = HOSTILE[what]
    install(body)
    result = train(text_file, max_steps=20, track="mine", on_event=seen)
    assert (bits_of(result), losses_of(result)) == plain
    dropped = seen.dropped()
    assert [name for name, _ in dropped] == ([] if reason is None else ["mine"])
    if reason is not None:
        assert re.search(reason, dropped[0][1])
        assert dropped[0][1].isprintable()


def test_a_process_that_one_forks_off_ends_where_it_leaves_the_observer(
    install: Install, text_file: Path, seen: Seen
) -> None:
    install(f"{AT_10}forked = os.fork()\n    if forked: open('forked.txt', 'w').write(str(forked))")
    train(text_file, max_steps=20, track="mine", on_event=seen)
    assert seen.dropped() == []
    process_id = int(Path("forked.txt").read_text())
    wait_until(lambda: not exists(process_id))


def test_another_observer_goes_on_where_one_is_dropped(install: Install, text_file: Path, seen: Seen) -> None:
    install("raise OSError('first')")
    result = train(text_file, max_steps=20, track=["mine", "csv"], on_event=seen)
    assert [name for name, _ in seen.dropped()] == ["mine"]
    assert (result.run / "tracking" / "metrics.csv").read_text("utf-8").count("\n") == 1 + 4


def test_one_that_never_ends_is_given_up_after_training(
    install: Install, text_file: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observers, "FINISH_SECONDS", 0.5)
    install(f"{AT_10}time.sleep(600)")
    assert train(text_file, max_steps=20, track="mine", on_event=seen).step == 20
    assert seen.dropped() == [("mine", "it did not finish within 0.5 s of the end of training")]
    waiting = next(event for event in seen.events if isinstance(event, events.ObserverMessage))
    assert "press Ctrl-C to stop waiting" in waiting.message


def test_one_that_is_stopped_leaves_no_process_behind(
    install: Install, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observers, "FINISH_SECONDS", 0.5)
    child = "subprocess.Popen(['sleep', '600'], stdin=0, stdout=2)"
    install(
        f"{AT_10}import subprocess; print({child}.pid, file=open('child', 'w'), flush=True); time.sleep(600)"
    )
    train(text_file, max_steps=20, track="mine")
    child_id = int(Path("child").read_text())
    wait_until(lambda: not is_running(child_id))


def is_running(process_id: int) -> bool:
    """Whether a process computes or waits; not one that has ended and was not asked for yet."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_of_two_the_first_ends_if_the_second_can_not_be_started(
    install: Install, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("pass")
    made = []

    class Limited(process.ObserverProcess):
        def __init__(self, name: str) -> None:
            if made:
                raise OSError("no more processes")
            super().__init__(name)
            made.append(self)

    monkeypatch.setattr(observers, "ObserverProcess", Limited)
    with pytest.raises(OSError, match="no more processes"):
        train(text_file, max_steps=5, track=["mine", "csv"])
    assert made[0].failure == "it was no longer needed"


def test_one_that_takes_no_events_is_dropped_before_they_fill_the_memory(
    install: Install, text_file: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MOST_WAITING", 30)
    install("time.sleep(600)")
    often = {**SMALL, "log_every": 1}  # more events than the pipe and the observer's process hold
    charkit.train(text_file, **often, max_steps=1000, threads=1, track="mine", on_event=seen)
    assert seen.dropped() == [("mine", "it is too slow: 30 events were waiting for it")]


@pytest.mark.parametrize(
    ("module", "value", "reason"),
    [
        (
            "1 / 0",
            "",
            r"observer 'mine' is broken: ZeroDivisionError: division by zero, at .*mine_observer.py:1",
        ),
        ("raise KeyboardInterrupt", "", r"is broken: KeyboardInterrupt"),
        (
            "import no_such_library",
            "",
            r"needs no_such_library, which is not installed; run: pip install no_such",
        ),
        ("class Observer: pass", "", r"is broken: .* must implement charkit_event with @charkit.hookimpl"),
        ("x = 1", "no_such_module", r"is broken: ModuleNotFoundError"),
        ("x = 1", "", r"is broken: AttributeError"),
        ("import os; os._exit(5)", "", r"observer 'mine': its process ended with status 5"),
        (
            "from charkit import hookimpl\n\nclass Observer:\n    @hookimpl\n    def charkit_evnt(self, event): pass",
            "",
            r"is broken: .*charkit_evnt",
        ),
    ],
)
def test_one_that_can_not_be_loaded_is_refused_before_a_run_is_made(
    module: str, value: str, reason: str, install: Install, text_file: Path
) -> None:
    install(module=module, value=value)
    with pytest.raises(charkit.ObserverError, match=reason) as caught:
        train(text_file, max_steps=5, track=["csv", "mine"])
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_an_unknown_one_is_refused_with_the_nearest(toolkit: Toolkit, text_file: Path) -> None:
    outcome = toolkit("train", text_file, *TINY, "--track", "cvs")
    assert outcome.status == 2
    assert outcome.err.startswith(
        "error: unknown observer 'cvs' (did you mean 'csv'?); installed observers: "
    )
    assert not Path("runs").exists()


def test_one_that_two_plugins_claim_is_refused(install: Install, text_file: Path, tmp_path: Path) -> None:
    install("pass")
    other = tmp_path / "site" / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[charkit.observers]\nmine = other:Observer\n")
    with pytest.raises(
        charkit.ObserverError, match=r"'mine' is claimed by \S+ and \S+; uninstall all but one"
    ):
        train(text_file, track="mine")


@pytest.mark.parametrize("track", [3, [""], [None]])
def test_what_is_no_name_is_refused(track: object, text_file: Path) -> None:
    with pytest.raises((charkit.ConfigurationError, TypeError)):
        train(text_file, track=track)


def test_training_that_can_not_begin_has_nothing_to_observe(install: Install) -> None:
    install(RECORD)
    with pytest.raises(charkit.TextError):
        train(Path("missing.txt"), track="mine")
    assert not Path("seen.jsonl").exists()


def test_it_learns_of_an_error_that_ends_training(install: Install, text_file: Path) -> None:
    def fail(event: events.Event) -> None:
        if isinstance(event, events.StepMetrics) and event.step == 10:
            raise RuntimeError("the caller's own")

    install(RECORD)
    with pytest.raises(RuntimeError, match="the caller's own"):
        train(text_file, max_steps=20, track="mine", on_event=fail)
    assert recorded()[-1] == ("Ended", 10, "failed")


def test_without_an_event_handler_a_dropped_one_is_logged(
    install: Install, text_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(f"{AT_10}raise ValueError('no room')")
    train(text_file, max_steps=20, track="mine")
    (line,) = [record.getMessage() for record in caplog.records if "observer" in record.getMessage()]
    assert line.startswith("observer 'mine' was dropped: it failed at StepMetrics, step 10")


def test_the_command_line_says_in_one_line_that_one_was_dropped(
    install: Install, toolkit: Toolkit, text_file: Path
) -> None:
    install(f"{AT_10}raise ValueError('no room')")
    outcome = toolkit.ok("train", text_file, *TINY, "--max-steps", "20", "--track", "mine")
    (line,) = [line for line in outcome.err.splitlines() if "mine" in line]
    assert line.startswith(
        "note: observer 'mine' was dropped: it failed at StepMetrics, step 10: ValueError: no room"
    )
    assert line.endswith("; training is not affected")


def test_it_learns_that_the_process_that_trains_was_killed(
    install: Install, text_file: Path, tmp_path: Path
) -> None:
    install(RECORD)
    command = [sys.executable, "-m", "charkit_cli", "train", str(text_file), *TINY, "--epochs", "100000"]
    with subprocess.Popen(
        [*command, "--track", "mine"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as trained:
        wait_until(lambda: Path("seen.jsonl").exists() and "StepMetrics" in Path("seen.jsonl").read_text())
        trained.send_signal(signal.SIGKILL)
    wait_until(lambda: '"Ended"' in Path("seen.jsonl").read_text())
    wait_until(lambda: Path("seen.jsonl").read_text().endswith("\n"))
    assert recorded()[-1][0::2] == ("Ended", "failed")


def test_one_that_hangs_ends_some_time_after_the_process_that_trained_was_killed(tmp_path: Path) -> None:
    hangs = (
        "import os, sys, time\nfrom charkit.observers import worker\nworker.GRACE_SECONDS = 0.1\n"
        "worker._end_after(os.getppid())\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
    )
    (tmp_path / "hangs.py").write_text(hangs)
    command = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, {str(tmp_path / 'hangs.py')!r}]).wait()"
    )
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True) as trained:
        assert trained.stdout is not None
        process_id = int(trained.stdout.readline())
        trained.kill()
        assert trained.stdout.read() == ""  # it holds the pipe open as long as it lives
    wait_until(lambda: not exists(process_id))  # whoever inherits it has to notice


def exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
