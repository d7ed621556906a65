"""The whole public interface, used as a user would use it, for type checkers alone: nothing runs this file.

``mypy --strict`` and pyright check it in tox's environment ``types``: both must infer the types that are asserted,
and find each mistake that is marked as one.
"""

# pyright: strict

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, assert_type

import numpy as np
from numpy.typing import NDArray

import charkit
from charkit import comparison, events


def train_and_resume() -> charkit.TrainResult:
    """Training: every kind of parameter, and what comes back."""
    result = charkit.train(
        "anna.txt", lstm_size=256, dropout=0.5, epochs=5, schedule="cosine", save_every=500
    )
    assert_type(result, charkit.TrainResult)
    assert_type(result.run, Path)
    assert_type(result.loss, float | None)
    assert_type(
        result.stopped_because,
        Literal[
            "epochs",
            "max_steps",
            "time_limit",
            "stop_at",
            "patience",
            "interrupted",
            "terminated",
            "hung_up",
            "requested",
        ],
    )
    assert_type(result.history, charkit.History)
    assert_type(result.history[-1].loss, float)
    assert_type(result.load(), charkit.LoadedRun)
    charkit.train(["a.txt", Path("b.txt")], run="runs/x", overwrite=True, device="cpu", threads=2)
    charkit.train(string="some text", init_from=result.run, extend_vocabulary=True, precision="float64")
    charkit.train(resume=result.run, settings={"training": {"epochs": 10}}, on_event=on_event)
    return result


def recipes() -> None:
    """Recipes: listed, trained with, and reproduced."""
    for recipe in charkit.recipes():
        assert_type(recipe, charkit.Recipe)
        assert_type(recipe.results, tuple[charkit.RecipeResult, ...])
    charkit.train("anna.txt", recipe="classic")
    charkit.train("anna.txt", recipe=Path("mine.toml"), backend=None)
    found = charkit.reproduce("anna-20-epochs", "anna.txt", seed=4)
    assert_type(found, charkit.Reproduction)
    assert_type(found.reproduced, bool)
    assert_type(found.results[0].recorded.range, tuple[float, float])


def sweep() -> None:
    """A sweep: from a file or a mapping, and its table."""
    result = charkit.sweep("rates.toml", trials=9, parallel=2, time_limit="2h", on_event=on_sweep)
    assert_type(result, charkit.SweepResult)
    assert_type(result.best, charkit.SweepTrial | None)
    assert_type(result.trials[0].load(), charkit.LoadedRun)
    assert_type(result.rows(), list[dict[str, Any]])
    charkit.sweep({"name": "seeds", "axes": {"seed": [0, 1]}}, threads=1)
    charkit.sweep(resume=result.folder)


def on_sweep(progress: charkit.SweepProgress) -> None:
    """What a sweep reports."""
    assert_type(progress.running, tuple[charkit.SweepTrial, ...])
    assert_type(progress.seconds_left, float | None)


def mistakes() -> None:
    """What a type checker must find."""
    charkit.train("anna.txt", lstm_sise=256)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    charkit.train("anna.txt", lstm_size="big")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    charkit.train("anna.txt", precision="half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    charkit.compare(lstm_size="big")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    charkit.load_run(checkpoint="last")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    charkit.load_run().sample("A", temprature=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    charkit.nonsense  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore


def on_event(event: events.Event) -> None:
    """Events narrow by their class."""
    match event:
        case events.Started():
            assert_type(event.steps_per_epoch, int)
        case events.StepMetrics():
            assert_type(event.validation_loss, float | None)
        case events.Saved():
            assert_type(event.path, Path)
        case _:
            pass


def evaluate_and_sample() -> None:
    """A loaded run."""
    run = charkit.load_run("runs/anna-1", checkpoint="latest", backend="torch", precision="float32")
    assert_type(run.path, Path)
    assert_type(run.config.model, charkit.ModelConfig)
    assert_type(run.vocabulary, charkit.Vocabulary)
    assert_type(run.model, charkit.CharRNN)
    found = run.evaluate(string="Anna", split="all", unknown="skip", on_notice=print)
    assert_type(found, charkit.Evaluation)
    assert_type(found.bits_per_character, float)
    assert_type(run.sample("Anna ", length=300, temperature=0.8, top_k=5, seed=1), list[str])
    assert_type(run.evaluate_dynamically(segment_length=50), charkit.DynamicEvaluation)
    assert_type(run.evaluate_dynamically().config, charkit.DynamicConfig)
    assert_type(run.baselines(split="test"), tuple[charkit.Baseline, ...])
    assert_type(run.copied(temperature=0.8).spans, tuple[charkit.CopiedSpan, ...])
    assert_type(run.surprisal(string="text", write_to="s.csv"), charkit.Surprisal)
    assert_type(run.surprisal().bits, NDArray[np.float64])
    assert_type(run.stream("Anna ", top_p=0.9), Iterator[charkit.Piece])
    for stream, text in run.stream():
        assert_type(stream, int)
        assert_type(text, str)
    assert_type(run.sampling("Anna ").config, charkit.SamplingConfig)


def own_loop() -> None:
    """The network itself."""
    network = charkit.CharRNN(vocabulary_size=10, batch_size=4, num_steps=20, lstm_size=32)
    symbols = np.zeros((4, 20), dtype=np.int32)
    step = network.train_step(symbols, symbols)
    assert_type(step, charkit.StepResult)
    assert_type(step.loss, float)
    state = network.initial_state(4)
    assert_type(state, charkit.DeviceState)
    logits, state = network.predict(symbols[:, :1], state)
    assert_type(logits, NDArray[Any])
    assert_type(network.sample(8, temperature=0), NDArray[np.int32])
    assert_type(network.state(), charkit.State[NDArray[Any]])
    assert_type(network.snapshot(), charkit.Snapshot)
    network.save("network.safetensors")
    assert_type(charkit.CharRNN.load("network.safetensors", backend="torch"), charkit.CharRNN)


def leave_and_come_in(result: charkit.TrainResult) -> None:
    """Exports and imports."""
    made = charkit.export(result.run, "anna.onnx", format="onnx", overwrite=True)
    assert_type(made, charkit.ExportResult)
    assert_type(made.files, tuple[Path, ...])
    imported = charkit.import_model("model.safetensors", "runs/model", vocabulary="characters.json")
    assert_type(imported, charkit.ImportResult)
    assert_type(imported.run, Path)


def check() -> None:
    """Whether a run is whole."""
    found = charkit.check("runs/anna-1", repair=True)
    assert_type(found, charkit.RunCheck)
    assert_type(found.whole, bool)
    assert_type(found.checkpoints, tuple[charkit.CheckpointCheck, ...])
    assert_type(found.usable[0].step, int)
    assert_type(found.pointers, tuple[charkit.PointerCheck, ...])
    assert_type(found.records, tuple[charkit.RecordsCheck, ...])
    charkit.check()


def compare() -> None:
    """A comparison, and its old path."""
    report = charkit.compare(
        "anna.txt", backends=["numpy", "torch"], precisions=["float32"], max_steps=20, lstm_size=64
    )
    assert_type(report, charkit.ComparisonReport)
    assert_type(report, comparison.Report)
    assert_type(report.verdict, str)
    assert_type(report.agree, bool)
    assert_type(report.variants[0].losses, tuple[float, ...])


def list_and_verify() -> None:
    """Backends: which there are, and whether one is right."""
    for backend in charkit.backends(limit_seconds=5).usable:
        assert_type(backend, charkit.InstalledBackend)
        assert_type(backend.name, str)
    verification = charkit.verify("numpy", stages=["forward"], on_result=on_result)
    assert_type(verification, charkit.Verification)
    assert_type(verification.passed, bool)
    assert_type(verification.failures[0].look_at, str)
    report = charkit.measure_speed("numpy", threads=1, on_activity=print)
    assert_type(report, charkit.SpeedReport)
    assert_type(report.sizes[0].ratio("training"), float | None)
    assert_type(charkit.new_backend("mine", "folder"), charkit.NewBackend)
    assert_type(charkit.new_backend("mine").files, tuple[str, ...])


def info() -> None:
    """What a bug report needs."""
    found = charkit.info(libraries=["numpy"], variables=("LANG",), limit_seconds=5)
    assert_type(found, charkit.SystemInfo)
    assert_type(found.blas[0], charkit.BlasLibrary)
    assert_type(found.backends.usable[0].name, str)


def on_result(result: charkit.CheckResult) -> None:
    """A check has run."""
    assert_type(result.expected, str)


def errors() -> str:
    """Every error is a CharkitError."""
    try:
        train_and_resume()
    except (charkit.ConfigurationError, charkit.TextError, charkit.RunError) as error:
        return str(error)
    except (charkit.BackendError, charkit.NotFiniteError, charkit.StorageError) as error:
        return str(error)
    except charkit.CharkitError as error:
        return str(error)
    return charkit.__version__
