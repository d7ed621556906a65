"""The reference of Python: where the docstrings of each public name go, and the events of training as a table."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

import charkit
from charkit import events as training_events

#: Each public name in one section. ``tests/guide/test_site.py`` holds this against ``charkit.__all__``.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Training": (
        "train",
        "TrainResult",
        "History",
        "recipes",
        "Recipes",
        "Recipe",
        "RecipeResult",
        "RecipeText",
    ),
    "Trained runs": (
        *("load_run", "LoadedRun", "Evaluation", "Sampling", "Piece", "StreamDecoder", "Vocabulary"),
        *("check", "RunCheck", "CheckpointCheck", "PointerCheck", "RecordsCheck"),
    ),
    "How good a model is": (
        *("Baseline", "DynamicConfig", "DynamicEvaluation", "CopiedText", "CopiedSpan", "Surprisal"),
        *("reproduce", "Reproduction", "ReproducedResult"),
    ),
    "Comparing, exporting, importing": (
        *("compare", "ComparisonReport", "export", "ExportResult", "import_model", "ImportResult"),
    ),
    "Backends": (
        *(
            "backends",
            "InstalledBackends",
            "InstalledBackend",
            "verify",
            "Verification",
            "CheckResult",
            "Check",
            "measure_speed",
            "SpeedReport",
            "new_backend",
            "NewBackend",
        ),
        *("Backend", "BackendInfo", "hookimpl", "State", "Moments"),
    ),
    "Reporting a bug": ("info", "SystemInfo", "BlasLibrary"),
    "The network itself": ("CharRNN", "StepResult", "Snapshot", "DeviceState"),
    "Settings": (
        "RunConfig",
        "ModelConfig",
        "OptimizerConfig",
        "DataConfig",
        "TrainingConfig",
        "SamplingConfig",
    ),
    "Errors": (
        *("CharkitError", "ConfigurationError", "InputError", "TextError", "UnknownSymbolsError"),
        *("VocabularySizeError", "RunError", "NameTakenError", "FinishedRunError", "StorageError"),
        *("BackendError", "FrameworkMissingError", "WrongVersionError", "UnwrittenError", "EngineError"),
        *("ObserverError", "NotFiniteError", "FormatError", "TerminatedError"),
    ),
    "Types for annotations": ("Precision", "ProgressCallback", "Split"),
}
#: Described in full elsewhere, so that here the first paragraph is enough.
_BRIEF = {"Backend", "hookimpl"}


def part() -> str:
    """A section for each subject, with what Sphinx makes of the docstrings. Names of no section come last."""
    listed = {name for names in SECTIONS.values() for name in names}
    more = tuple(
        name for name in charkit.__all__ if name not in listed and name not in ("events", "__version__")
    )
    sections = {**SECTIONS, **({"More": more} if more else {})}
    return "\n".join(line for title, names in sections.items() for line in _section(title, names))


def _section(title: str, names: tuple[str, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "```{eval-rst}"
    for name in names:
        thing = getattr(charkit, name)
        if inspect.isfunction(thing):
            yield f".. autofunction:: charkit.{name}\n"
        elif inspect.isclass(thing):
            yield f".. autoclass:: charkit.{name}"
            if name not in _BRIEF and not issubclass(thing, charkit.CharkitError) and title != "Settings":
                yield "   :members:"
            yield ""
        else:
            yield f".. autodata:: charkit.{name}\n   :no-value:\n"
    yield "```\n"


def events() -> str:
    """A row for each event: its fields, and what it says."""
    kinds = [
        thing
        for thing in vars(training_events).values()
        if dataclasses.is_dataclass(thing) and getattr(thing, "__module__", "") == training_events.__name__
    ]
    lines = ["| event | when, and what it says | fields |", "|---|---|---|"]
    for kind in kinds:
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))
        words = " ".join((inspect.getdoc(kind) or "").split()).replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{kind.__name__}` | {words} | {fields} |")
    return "\n".join([*lines, ""])
