"""Character-level LSTM language models with the same numbers on every numerical framework.

    result = charkit.train("anna.txt", lstm_size=256, epochs=5)
    run = result.load()
    print(run.evaluate().bits_per_character)
    print(run.sample("Anna ", length=300)[0])

``train``, ``load_run``, ``list_runs``, ``check``, ``recipes``, ``reproduce``, ``compare``, ``sweep``, ``export``,
``import_model``, ``backends``, ``verify``, ``measure_speed``, ``new_backend`` and ``info`` do what the commands of
``toolkit`` do. ``CharRNN`` is the network itself. ``events`` are what training reports. Every error is a
``CharkitError``.

Names load when they are first used, so that a plugin can import ``charkit.hookspecs`` without NumPy.
"""

# Over 300 lines: a list of the public names, one per line.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charkit import events as events
    from charkit.api import train as train
    from charkit.backend import Backend as Backend
    from charkit.backend import Moments as Moments
    from charkit.backend import State as State
    from charkit.charrnn import CharRNN as CharRNN
    from charkit.config import DataConfig as DataConfig
    from charkit.config import ModelConfig as ModelConfig
    from charkit.config import OptimizerConfig as OptimizerConfig
    from charkit.config import Precision as Precision
    from charkit.config import RunConfig as RunConfig
    from charkit.config import SamplingConfig as SamplingConfig
    from charkit.config import TrainingConfig as TrainingConfig
    from charkit.errors import BackendError as BackendError
    from charkit.errors import CharkitError as CharkitError
    from charkit.errors import ConfigurationError as ConfigurationError
    from charkit.errors import EngineError as EngineError
    from charkit.errors import InputError as InputError
    from charkit.errors import NotFiniteError as NotFiniteError
    from charkit.errors import ObserverError as ObserverError
    from charkit.errors import RunError as RunError
    from charkit.errors import StorageError as StorageError
    from charkit.errors import TerminatedError as TerminatedError
    from charkit.errors import TextError as TextError
    from charkit.errors import UndecodableError as UndecodableError
    from charkit.errors import UnknownSymbolsError as UnknownSymbolsError
    from charkit.errors import UnwrittenError as UnwrittenError
    from charkit.errors import VocabularySizeError as VocabularySizeError
    from charkit.evaluation import Evaluation as Evaluation
    from charkit.events import StopTraining as StopTraining
    from charkit.hookspecs import BackendInfo as BackendInfo
    from charkit.hookspecs import hookimpl as hookimpl
    from charkit.input_checks import DeviceState as DeviceState
    from charkit.loaded_run import LoadedRun as LoadedRun
    from charkit.loaded_run import Sampling as Sampling
    from charkit.loaded_run import load_run as load_run
    from charkit.network import StepResult as StepResult
    from charkit.plugins.compatibility import FrameworkMissingError as FrameworkMissingError
    from charkit.plugins.compatibility import WrongVersionError as WrongVersionError
    from charkit.plugins.listing import InstalledBackends as InstalledBackends
    from charkit.plugins.listing import backends as backends
    from charkit.plugins.new_backend import NewBackend as NewBackend
    from charkit.plugins.new_backend import new_backend as new_backend
    from charkit.plugins.probe import InstalledBackend as InstalledBackend
    from charkit.progress_printer import ProgressPrinter as ProgressPrinter
    from charkit.quality.baselines import Baseline as Baseline
    from charkit.quality.copied import CopiedSpan as CopiedSpan
    from charkit.quality.copied import CopiedText as CopiedText
    from charkit.quality.dynamic import DynamicConfig as DynamicConfig
    from charkit.quality.dynamic import DynamicEvaluation as DynamicEvaluation
    from charkit.quality.surprisal import Surprisal as Surprisal
    from charkit.recipe import Recipe as Recipe
    from charkit.recipe import RecipeResult as RecipeResult
    from charkit.recipe import RecipeText as RecipeText
    from charkit.recipe_listing import Recipes as Recipes
    from charkit.recipe_listing import recipes as recipes
    from charkit.reproduction import ReproducedResult as ReproducedResult
    from charkit.reproduction import Reproduction as Reproduction
    from charkit.reproduction import reproduce as reproduce
    from charkit.runs.check import CheckpointCheck as CheckpointCheck
    from charkit.runs.check import PointerCheck as PointerCheck
    from charkit.runs.check import RecordsCheck as RecordsCheck
    from charkit.runs.check import RunCheck as RunCheck
    from charkit.runs.check import check as check
    from charkit.runs.creation import NameTakenError as NameTakenError
    from charkit.runs.listing import ListedRun as ListedRun
    from charkit.runs.listing import ListedRuns as ListedRuns
    from charkit.runs.listing import list_runs as list_runs
    from charkit.sampling import Piece as Piece
    from charkit.snapshot import Snapshot as Snapshot
    from charkit.system_info import BlasLibrary as BlasLibrary
    from charkit.system_info import SystemInfo as SystemInfo
    from charkit.system_info import info as info
    from charkit.testing.registry import Check as Check
    from charkit.testing.runner import CheckResult as CheckResult
    from charkit.testing.speed.measure import SpeedReport as SpeedReport
    from charkit.testing.speed.measure import measure_speed as measure_speed
    from charkit.testing.verification import Verification as Verification
    from charkit.testing.verification import verify as verify
    from charkit.text.corpus import Split as Split
    from charkit.text.preparation import Preparation as Preparation
    from charkit.text.preparation import check_prepared as check_prepared
    from charkit.text.preparation import prepare as prepare
    from charkit.text.reading_progress import ProgressCallback as ProgressCallback
    from charkit.text.vocabulary import StreamDecoder as StreamDecoder
    from charkit.text.vocabulary import Vocabulary as Vocabulary
    from charkit.training.history import History as History
    from charkit.training.result import TrainResult as TrainResult
    from charkit.training.resume import FinishedRunError as FinishedRunError
    from charkit_comparison import ComparisonReport as ComparisonReport
    from charkit_comparison import compare as compare
    from charkit_formats import ExportResult as ExportResult
    from charkit_formats import FormatError as FormatError
    from charkit_formats import ImportResult as ImportResult
    from charkit_formats import export as export
    from charkit_formats import import_model as import_model
    from charkit_reports import report as report
    from charkit_sweep import SweepProgress as SweepProgress
    from charkit_sweep import SweepResult as SweepResult
    from charkit_sweep import SweepTrial as SweepTrial
    from charkit_sweep import sweep as sweep

    __version__: str

#: The module that each name comes from.
_MODULES = {
    "Backend": "charkit.backend",
    "BackendError": "charkit.errors",
    "BackendInfo": "charkit.hookspecs",
    "Baseline": "charkit.quality.baselines",
    "BlasLibrary": "charkit.system_info",
    "CharRNN": "charkit.charrnn",
    "CharkitError": "charkit.errors",
    "Check": "charkit.testing.registry",
    "CheckResult": "charkit.testing.runner",
    "CheckpointCheck": "charkit.runs.check",
    "ComparisonReport": "charkit_comparison",
    "ConfigurationError": "charkit.errors",
    "CopiedSpan": "charkit.quality.copied",
    "CopiedText": "charkit.quality.copied",
    "DataConfig": "charkit.config",
    "DeviceState": "charkit.input_checks",
    "DynamicConfig": "charkit.quality.dynamic",
    "DynamicEvaluation": "charkit.quality.dynamic",
    "EngineError": "charkit.errors",
    "Evaluation": "charkit.evaluation",
    "ExportResult": "charkit_formats",
    "FinishedRunError": "charkit.training.resume",
    "FormatError": "charkit_formats",
    "FrameworkMissingError": "charkit.plugins.compatibility",
    "History": "charkit.training.history",
    "ImportResult": "charkit_formats",
    "InputError": "charkit.errors",
    "InstalledBackend": "charkit.plugins.probe",
    "InstalledBackends": "charkit.plugins.listing",
    "ListedRun": "charkit.runs.listing",
    "ListedRuns": "charkit.runs.listing",
    "LoadedRun": "charkit.loaded_run",
    "ModelConfig": "charkit.config",
    "Moments": "charkit.backend",
    "NameTakenError": "charkit.runs.creation",
    "NewBackend": "charkit.plugins.new_backend",
    "NotFiniteError": "charkit.errors",
    "ObserverError": "charkit.errors",
    "OptimizerConfig": "charkit.config",
    "Piece": "charkit.sampling",
    "PointerCheck": "charkit.runs.check",
    "Precision": "charkit.config",
    "Preparation": "charkit.text.preparation",
    "ProgressCallback": "charkit.text.reading_progress",
    "ProgressPrinter": "charkit.progress_printer",
    "Recipe": "charkit.recipe",
    "RecipeResult": "charkit.recipe",
    "RecipeText": "charkit.recipe",
    "Recipes": "charkit.recipe_listing",
    "RecordsCheck": "charkit.runs.check",
    "ReproducedResult": "charkit.reproduction",
    "Reproduction": "charkit.reproduction",
    "RunCheck": "charkit.runs.check",
    "RunConfig": "charkit.config",
    "RunError": "charkit.errors",
    "Sampling": "charkit.loaded_run",
    "SamplingConfig": "charkit.config",
    "Snapshot": "charkit.snapshot",
    "SpeedReport": "charkit.testing.speed.measure",
    "Split": "charkit.text.corpus",
    "State": "charkit.backend",
    "StepResult": "charkit.network",
    "StopTraining": "charkit.events",
    "StorageError": "charkit.errors",
    "StreamDecoder": "charkit.text.vocabulary",
    "Surprisal": "charkit.quality.surprisal",
    "SweepProgress": "charkit_sweep",
    "SweepResult": "charkit_sweep",
    "SweepTrial": "charkit_sweep",
    "SystemInfo": "charkit.system_info",
    "TerminatedError": "charkit.errors",
    "TextError": "charkit.errors",
    "TrainResult": "charkit.training.result",
    "TrainingConfig": "charkit.config",
    "UndecodableError": "charkit.errors",
    "UnknownSymbolsError": "charkit.errors",
    "UnwrittenError": "charkit.errors",
    "Verification": "charkit.testing.verification",
    "Vocabulary": "charkit.text.vocabulary",
    "VocabularySizeError": "charkit.errors",
    "WrongVersionError": "charkit.plugins.compatibility",
    "backends": "charkit.plugins.listing",
    "check": "charkit.runs.check",
    "check_prepared": "charkit.text.preparation",
    "compare": "charkit_comparison",
    "events": "charkit.events",
    "export": "charkit_formats",
    "hookimpl": "charkit.hookspecs",
    "import_model": "charkit_formats",
    "info": "charkit.system_info",
    "list_runs": "charkit.runs.listing",
    "load_run": "charkit.loaded_run",
    "measure_speed": "charkit.testing.speed.measure",
    "new_backend": "charkit.plugins.new_backend",
    "prepare": "charkit.text.preparation",
    "recipes": "charkit.recipe_listing",
    "report": "charkit_reports",
    "reproduce": "charkit.reproduction",
    "sweep": "charkit_sweep",
    "train": "charkit.api",
    "verify": "charkit.testing.verification",
}
__all__ = [
    "Backend",
    "BackendError",
    "BackendInfo",
    "Baseline",
    "BlasLibrary",
    "CharRNN",
    "CharkitError",
    "Check",
    "CheckResult",
    "CheckpointCheck",
    "ComparisonReport",
    "ConfigurationError",
    "CopiedSpan",
    "CopiedText",
    "DataConfig",
    "DeviceState",
    "DynamicConfig",
    "DynamicEvaluation",
    "EngineError",
    "Evaluation",
    "ExportResult",
    "FinishedRunError",
    "FormatError",
    "FrameworkMissingError",
    "History",
    "ImportResult",
    "InputError",
    "InstalledBackend",
    "InstalledBackends",
    "ListedRun",
    "ListedRuns",
    "LoadedRun",
    "ModelConfig",
    "Moments",
    "NameTakenError",
    "NewBackend",
    "NotFiniteError",
    "ObserverError",
    "OptimizerConfig",
    "Piece",
    "PointerCheck",
    "Precision",
    "Preparation",
    "ProgressCallback",
    "ProgressPrinter",
    "Recipe",
    "RecipeResult",
    "RecipeText",
    "Recipes",
    "RecordsCheck",
    "ReproducedResult",
    "Reproduction",
    "RunCheck",
    "RunConfig",
    "RunError",
    "Sampling",
    "SamplingConfig",
    "Snapshot",
    "SpeedReport",
    "Split",
    "State",
    "StepResult",
    "StopTraining",
    "StorageError",
    "StreamDecoder",
    "Surprisal",
    "SweepProgress",
    "SweepResult",
    "SweepTrial",
    "SystemInfo",
    "TerminatedError",
    "TextError",
    "TrainResult",
    "TrainingConfig",
    "UndecodableError",
    "UnknownSymbolsError",
    "UnwrittenError",
    "Verification",
    "Vocabulary",
    "VocabularySizeError",
    "WrongVersionError",
    "backends",
    "check",
    "check_prepared",
    "compare",
    "events",
    "export",
    "hookimpl",
    "import_model",
    "info",
    "list_runs",
    "load_run",
    "measure_speed",
    "new_backend",
    "prepare",
    "recipes",
    "report",
    "reproduce",
    "sweep",
    "train",
    "verify",
]

if not TYPE_CHECKING:  # for a type checker, the names above are all that there are
    _ELSEWHERE = {
        "sample": "; call charkit.load_run('RUN').sample(...)",
        "generate": "; call charkit.load_run('RUN').sample(...)",
        "evaluate": "; call charkit.load_run('RUN').evaluate(...)",
        "resume": "; call charkit.train(resume='RUN')",
        "fit": "; call charkit.train(...)",
        "runs": "; call charkit.list_runs()",
        "load": "; to load a run, call charkit.load_run('RUN'), and for a saved CharRNN, charkit.CharRNN.load(FILE)",
    }

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from charkit.version import version

            return version()
        if name not in _MODULES:
            advice = _ELSEWHERE.get(name, "")
            raise AttributeError(f"module 'charkit' has no attribute {name!r}{advice}")
        module = import_module(_MODULES[name])
        value = module if _MODULES[name] == f"charkit.{name}" else getattr(module, name)
        globals()[name] = value  # so that this is called once for each name
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
