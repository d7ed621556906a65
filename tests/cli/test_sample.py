"""``toolkit sample``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import charkit
from cli_support import TINY, Toolkit, start
from support import SMALL


def test_same_seed_same_text(toolkit: Toolkit, run: Path) -> None:
    one, two = (toolkit.ok("sample", run, "--length", "80", "--seed", "5") for _ in range(2))
    assert one == two
    assert one.err == ""  # the seed is known
    assert len(one.out) == 81
    other = toolkit.ok("sample", run, "--length", "80", "--seed", "6")
    assert other.out != one.out


def test_a_fresh_seed_is_told_and_gives_the_text_again(toolkit: Toolkit, run: Path) -> None:
    first = toolkit.ok("sample", run, "--length", "80")
    assert first.err.startswith("seed ")
    again = toolkit.ok("sample", run, "--length", "80", "--seed", first.err.removeprefix("seed ").strip())
    assert again.out == first.out


def test_the_seed_comes_on_a_line_of_its_own_where_both_streams_are_one(run: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "charkit_cli", "sample", run, "--length", "20"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("seed ")
    assert done.stdout.count("\nseed ") == 1


def test_count_draws_different_samples_side_by_side(toolkit: Toolkit, run: Path) -> None:
    said = toolkit.ok("sample", run, "--length", "30", "--count", "3", "--seed", "1", "--prime", "The").out
    texts = toolkit.json("sample", run, "--length", "30", "--count", "3", "--seed", "1", "--prime", "The")
    assert len(set(texts["samples"])) == 3
    assert said == "".join(
        f"--- sample {number} of 3 ---\n{text}\n" for number, text in enumerate(texts["samples"], 1)
    )
    alone = toolkit.ok("sample", run, "--length", "30", "--seed", "1", "--prime", "The").out
    assert alone == texts["samples"][0] + "\n"


def test_greedy_needs_no_luck(toolkit: Toolkit, run: Path) -> None:
    said = {
        toolkit.ok("sample", run, "--temperature", "0", "--length", "40", "--seed", seed).out for seed in "12"
    }
    assert len(said) == 1
    without_seed = toolkit.ok("sample", run, "--temperature", "0", "--length", "40")
    assert {without_seed.out} == said
    assert without_seed.err.startswith("note: at temperature 0, each character is the most likely one")
    assert without_seed.err.endswith("give one with --prime\n")
    assert toolkit.ok("sample", run, "--temperature", "0", "--prime", "a").err == ""  # no seed is used
    for option in (("--top-k", "1"), ("--top-p", "1e-9")):
        assert toolkit.ok("sample", run, "--length", "40", "--seed", "3", *option).out in said


def test_temperature_top_k_and_top_p_change_what_is_drawn(toolkit: Toolkit, run: Path) -> None:
    options = ((), ("--temperature", "0.02"), ("--top-k", "3"), ("--top-p", "0.5"))
    said = [toolkit.ok("sample", run, "--length", "300", "--seed", "1", *option).out for option in options]
    assert len(set(said)) == 4
    assert len(set(said[1])) < len(set(said[0]))


def test_prime_is_echoed_from_the_option_and_from_a_file(toolkit: Toolkit, run: Path) -> None:
    Path("prime.txt").write_bytes("The naïve\r\ncat ".encode())
    said = toolkit.ok("sample", run, "--prime-file", "prime.txt", "--length", "9", "--seed", "2").out
    assert said.startswith("The naïve\ncat ")
    assert said == toolkit.ok("sample", run, "--prime", "The naïve\ncat ", "--length", "9", "--seed", "2").out


def test_stop_ends_the_sample_with_the_text(toolkit: Toolkit, run: Path) -> None:
    whole = toolkit.ok("sample", run, "--length", "200", "--seed", "4").out
    stop = whole[50:52]
    said = toolkit.ok("sample", run, "--length", "200", "--seed", "4", "--stop", stop).out
    assert said == whole[: whole.index(stop) + 2] + "\n"


def test_stop_has_the_escapes_of_a_separator(toolkit: Toolkit, run: Path) -> None:
    options = ("sample", run, "--length", "400", "--seed", "4", "--stop")
    ended = toolkit.ok(*options, r"\n")
    assert ended.out.count("\n") == 2  # the one that ends it, and that after any sample
    assert ended == toolkit.ok(*options, "\n")


def test_a_stop_that_the_model_can_not_write_is_reported(toolkit: Toolkit, run: Path) -> None:
    outcome = toolkit.ok("sample", run, "--length", "9", "--seed", "4", "--stop", r"\\n")
    assert outcome.err == (
        "note: no sample will end early: --stop '\\\\n' contains symbols that the model has never seen\n"
    )
    assert charkit.load_run(run).sampling(stop="☃").notices != ()
    assert charkit.load_run(run).sampling(stop="The").notices == ()


def test_a_run_that_was_not_named_or_not_trained_is_noted(toolkit: Toolkit, run: Path) -> None:
    assert f"note: using {run}, the run that was saved last\n" in toolkit.ok("sample", "--length", "5").err
    assert "note" not in toolkit.ok("sample", run, "--length", "5").err

    def stop(event: charkit.events.Event) -> None:
        if isinstance(event, charkit.events.Started):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        charkit.train(string="a fresh start, " * 99, run="fresh", on_event=stop, **SMALL)
    expected = "note: this run has not been trained yet; its weights are the initial ones\n"
    assert expected in toolkit.ok("sample", "fresh", "--length", "5").err


def test_an_imported_run_is_not_said_to_be_untrained(toolkit: Toolkit, run: Path) -> None:
    toolkit.ok("export", run, "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "imported")
    assert "trained" not in toolkit.ok("sample", "imported", "--length", "5").err


def test_the_newest_run_is_taken_when_none_is_named(toolkit: Toolkit, run: Path) -> None:
    shutil.copytree(run, "runs/small-2")
    Path("runs/notes.txt").write_text("not a run")
    Path("runs/empty").mkdir()
    shutil.copytree(run, "runs/.small-3-a1b2c3d4")  # what a kill leaves while a run is made
    for newest, other in (("small-1", "small-2"), ("small-2", "small-1")):
        now = time.time()
        os.utime(f"runs/{other}/latest", (now - 60, now - 60))
        os.utime(f"runs/{newest}/latest", (now, now))
        os.utime("runs/.small-3-a1b2c3d4/latest", (now + 60, now + 60))
        assert f"runs/{newest}, best checkpoint (step 30), on " in toolkit.ok("evaluate").out
        toolkit.ok("sample", "--length", "3")


def test_byte_model_prints_whole_characters(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--vocabulary", "byte", "--max-steps", "40", "--run", "bytes")
    child = start("sample", "bytes", "--prime", "€ï", "--length", "400", "--seed", "1", "--temperature", "2")
    assert child.stdout is not None
    raw = child.stdout.buffer.read()  # type: ignore[attr-defined]
    child.communicate()
    assert child.returncode == 0
    text = raw.decode("utf-8")  # raises if anything is half a character
    assert text.startswith("€ï")
    assert raw.endswith(b"\n")
    in_process = toolkit.ok(
        "sample", "bytes", "--prime", "€ï", "--length", "400", "--seed", "1", "--temperature", "2"
    )
    assert in_process.out == text


def test_text_streams_as_it_is_made(run: Path) -> None:
    child = start("sample", run, "--length", "100000000", "--prime", "The ")
    assert child.stdout is not None
    try:
        assert child.stdout.read(50).startswith("The ")
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


def test_a_reader_that_goes_away_ends_it_quietly(run: Path) -> None:
    command = (
        f"{sys.executable} -m charkit_cli sample {run} --length 1000000 --prime 'The grey cat' | head -c 10"
    )
    piped = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(piped.stdout.encode()) == 10
    assert piped.stderr == ""
    assert piped.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_under_standard_output_is_one_line(run: Path) -> None:
    with Path("/dev/full").open("w") as full:
        child = subprocess.run(
            [sys.executable, "-m", "charkit_cli", "sample", str(run), "--seed", "1"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert child.returncode == 2
    assert child.stderr.startswith("error: can't write to standard output: the disk is full; free some space")
    assert child.stderr.count("\n") == 1


def test_an_encoding_without_the_symbols_gets_escapes(run: Path) -> None:
    child = start(
        "sample",
        run,
        "--prime",
        "€",
        "--length",
        "3",
        environment={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    )
    said, wrong = child.communicate()
    assert child.returncode == 0, wrong
    assert said.startswith("\\u20ac")


def test_ctrl_c_while_sampling(run: Path) -> None:
    child = start("sample", run, "--length", "100000000")
    assert child.stdout is not None
    child.stdout.read(10)
    child.send_signal(signal.SIGINT)
    _, wrong = child.communicate(timeout=30)
    assert child.returncode == 130
    assert wrong == "interrupted\n"


def test_plain_samples_have_no_headers_and_no_blank_lines(toolkit: Toolkit, run: Path) -> None:
    options = ("sample", run, "--count", "3", "--seed", "1")
    samples = toolkit.json(*options, "--length", "12")["samples"]
    assert toolkit.ok(*options, "--length", "12", "--plain").out == "".join(f"{one}\n" for one in samples)
    ended = toolkit.json(*options, "--length", "400", "--stop", "\n")["samples"]
    assert any(one.endswith("\n") for one in ended)
    assert toolkit.ok(*options, "--length", "400", "--stop", "\n", "--plain").out.count("\n") == 3
    alone = ("sample", run, "--seed", "1", "--length", "400", "--stop", "\n", "--plain")
    assert toolkit.json(*alone[:-1])["samples"][0].endswith("\n")
    assert toolkit.ok(*alone).out.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        (", ", ", "),
        (r"\n--\n", "\n--\n"),
        (r"\0", "\0"),
        (r"a\\n", r"a\n"),
        (r"\t", "\t"),
        (r"\x", r"\x"),
        ("", ""),
    ],
)
def test_a_separator_of_one_s_own(toolkit: Toolkit, run: Path, given: str, printed: str) -> None:
    options = ("sample", run, "--count", "3", "--seed", "1", "--length", "5")
    samples = toolkit.json(*options)["samples"]
    assert toolkit.ok(*options, "--separator", given).out == f"{printed.join(samples)}\n"


def test_json_has_no_separator(toolkit: Toolkit, run: Path) -> None:
    for more in (("--plain",), ("--separator", ",")):
        message = toolkit.error("sample", run, "--json", *more)
        assert message == "--json prints the samples as JSON; leave out --plain and --separator"


def test_an_older_checkpoint_than_the_last_step_is_reported(toolkit: Toolkit, run: Path) -> None:
    assert toolkit.ok("sample", run, "--length", "3", "--seed", "1").err == ""
    toolkit.ok("train", "--resume", run, "--max-steps", "34", "--learning-rate", "9", "--threads", "1")
    note = "note: using the best checkpoint, from step 30; "
    note += "the latest is from step 34; to use it instead, give --checkpoint latest\n"
    for command in ("sample", "evaluate"):
        assert note in toolkit.ok(command, run).err
        assert "note: using" not in toolkit.ok(command, run, "--checkpoint", "latest").err


def test_a_prime_file_is_taken_as_it_is(toolkit: Toolkit, text_file: Path) -> None:
    raw = text_file.read_bytes().replace(b"\n", b"\r\n")
    Path("windows.txt").write_bytes(raw)
    toolkit.ok("train", "windows.txt", *TINY, "--newlines", "keep", "--max-steps", "3", "--run", "r")
    Path("prime.txt").write_bytes(b"\xef\xbb\xbfThe\r\ncat")
    given = toolkit.json("sample", "r", "--length", "1", "--seed", "1", "--prime-file", "prime.txt")
    assert given["samples"][0].startswith("The\r\ncat")
    assert (
        given["samples"]
        == toolkit.json("sample", "r", "--length", "1", "--seed", "1", "--prime", "The\r\ncat")["samples"]
    )
