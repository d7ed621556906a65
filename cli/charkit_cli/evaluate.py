"""``toolkit evaluate``: how well a run predicts a text."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from charkit.config import Section, build
from charkit.errors import ConfigurationError
from charkit.evaluation import character_count, symbol_counts
from charkit.loaded_run import LoadedRun
from charkit.quality.copied import CopiedConfig
from charkit.quality.dynamic import DynamicConfig
from charkit.quality.surprisal_files import SurprisalFile
from charkit.runs.run import Run
from charkit.scored_text import opened_text
from charkit.settings import Settings
from charkit.text.corpus import Split
from charkit.text.locations import recorded
from charkit.text.prepared_manifest import same_encoding
from charkit.text.sources import files_of, find_prepared
from charkit.text.vocabulary import Unknown
from charkit_cli import standard_input
from charkit_cli.evaluation_tables import Scores, print_scores
from charkit_cli.evaluation_tables import as_json as json_of
from charkit_cli.options import DEFAULT, Backend, Device, Json, Threads, Verbose, with_options
from charkit_cli.run_loading import Checkpoint, ComputePrecision, RunArgument, loaded_for
from charkit_cli.terminal_output import print_files, print_json, print_notices, to_log, to_user, waiting

EXAMPLES = (
    "toolkit evaluate",
    "toolkit evaluate runs/anna-1 --split test --backend torch",
    "toolkit evaluate runs/anna-1 --text other.txt --unknown skip",
    "toolkit evaluate runs/anna-1 --text large.txt --limit 1000000",
    "toolkit evaluate runs/anna-1 --split test --baselines --copied",
    "toolkit evaluate runs/anna-1 --dynamic",
    "toolkit evaluate runs/anna-1 --per-character surprisal.html",
)
#: The options of each flag, by the name that the help shows above them.
SECTIONS: dict[str, type[Section]] = {
    "options for --dynamic": DynamicConfig,
    "options for --copied": CopiedConfig,
}


# Long, since each option is a parameter with its help.
@with_options(SECTIONS)
def command(
    given: Settings,
    run: RunArgument = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="text to evaluate on instead of the run's: a file, directory, URL, prepared text or - (standard "
            "input); repeatable",
        ),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            "--split",
            metavar="CHOICE",
            help="which split to evaluate: train, validation, test, all "
            + DEFAULT.format("validation, or all with --text"),
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="SYMBOLS",
            help="score at most this many symbols, from the beginning of the split (at least 1) "
            + DEFAULT.format("all"),
            show_default=False,
        ),
    ] = None,
    unknown: Annotated[
        Unknown,
        typer.Option(
            "--unknown",
            metavar="CHOICE",
            help=f"what to do with symbols that the model has never seen: error, skip {DEFAULT.format('error')}",
            show_default=False,
        ),
    ] = "error",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="also evaluate n-gram models and compressors trained on the run's training text",
        ),
    ] = False,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="also use dynamic evaluation: the weights adapt to the text as it is read",
        ),
    ] = False,
    copied: Annotated[
        bool,
        typer.Option(
            "--copied",
            help="also measure how much sampled text is copied verbatim from the training text",
        ),
    ] = False,
    per_character: Annotated[
        Path | None,
        typer.Option(
            "--per-character",
            metavar="FILE",
            help="write the surprisal of each character: as a table to FILE.csv, or as colored text to FILE.html",
        ),
    ] = None,
    checkpoint: Checkpoint = "best",
    backend: Backend = "numpy",
    precision: ComputePrecision = None,
    device: Device = None,
    threads: Threads = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Scores and prints."""
    dynamic_options = _options(given, "options for --dynamic", "dynamic", dynamic)
    copied_options = _options(given, "options for --copied", "copied", copied)
    file = None if per_character is None else SurprisalFile.at(per_character)  # before a run is loaded
    notices: list[str] = []
    files: tuple[str, ...] = ()
    is_piped = standard_input.is_meant(text)
    with ExitStack() as stack:
        loaded = stack.enter_context(
            loaded_for(
                "scoring",
                run,
                checkpoint,
                backend=backend,
                precision=precision,
                device=device,
                threads=threads,
            )
        )
        string = _standard_input(loaded) if is_piped else None
        if text and not is_piped:
            _note_encoding(loaded, text)
        progress = stack.enter_context(waiting("reading"))
        if verbose and string is None:
            data = loaded.config.data
            files = files_of(data.model_copy(update={"text": tuple(text)}) if text else data)
        of_text: dict[str, Any] = {
            "text": None if string is not None else text or None,
            "string": string,
            "split": split,
            "limit": limit,
            "unknown": unknown,
            "progress": progress,
        }
        _check_before_scoring(loaded, of_text, file, dynamic_options if dynamic else None)
        # The quick ones first, so that what is wrong with the text is found before anything takes long.
        simple = loaded.baselines(**of_text) if baselines else None
        spans = loaded.copied(**of_text, **copied_options) if copied else None
        surprisal = None if file is None else loaded.surprisal(**of_text, on_notice=notices.append)
        found = surprisal.evaluation if surprisal else loaded.evaluate(**of_text, on_notice=notices.append)
        following = loaded.evaluate_dynamically(**of_text, **dynamic_options) if dynamic else None
        if file is not None and surprisal is not None:
            surprisal.write(file.path)  # last, so that a command that fails leaves no file
            if not file.is_page and any(line.startswith("skipped symbols") for line in notices):
                notices.append(f"the positions in {str(file.path)!r} don't count the skipped symbols")
    print_files(to_log(), files)
    print_notices(to_log(), notices)
    scores = Scores(found, following, simple, spans, None if file is None else str(file.path))
    scored = tuple(map(_shown, text)) if text else (loaded.text,)
    if as_json:
        print_json(json_of(scores) | {"run": str(loaded.path), "step": loaded.step, "text": scored})
        return
    used = split or ("all" if text else "validation")
    part = ("" if text and used == "all" else f"the {used} split of ") + ", ".join(scored)
    user = to_user()
    first = ""
    if limit is not None and found.symbols >= limit:
        first = "the first symbol of " if limit == 1 else f"the first {limit:,} symbols of "
    user.print(Text(f"{loaded.path}, {checkpoint} checkpoint (step {loaded.step:,}), on {first}{part}"))
    print_scores(user, scores)
    if user.is_terminal and not baselines:
        to_log().print("to compare the model with simple predictors, add --baselines", style="dim")


def _check_before_scoring(
    loaded: LoadedRun,
    of_text: dict[str, Any],
    file: SurprisalFile | None,
    dynamic_options: dict[str, Any] | None,
) -> None:
    """Raises RunError for dynamic evaluation of a run that was never trained, and TextError for too long a page."""
    if dynamic_options is not None and loaded.step == 0:
        loaded.evaluate_dynamically(**of_text, **dynamic_options)  # raises, since there are no second moments
    if file is not None and file.is_page:
        with opened_text(Run.open(loaded.path), **of_text, on_notice=None) as opened:
            counts = symbol_counts(opened.scored, loaded.vocabulary, 0, len(opened.scored))
        file.check_size(character_count(counts, loaded.vocabulary))


_AS_BYTES = "save it as a file, which this run reads as bytes, and give its path with `text`"


def _standard_input(loaded: LoadedRun) -> str:
    """All of standard input, in the encoding of the run's own text."""
    data = loaded.config.data
    if data.vocabulary == "byte":
        return standard_input.text(to_log(), "utf-8", _AS_BYTES)
    if not same_encoding(data.encoding, "utf-8"):
        print_notices(to_log(), [f"standard input is read as {data.encoding}, like the run's own text"])
    return standard_input.text(to_log(), data.encoding, "convert it to the encoding of the run's own text")


def _note_encoding(loaded: LoadedRun, text: Sequence[str]) -> None:
    """Prints the encoding in which files are read where it is the run's and not the usual one."""
    data = loaded.config.data
    is_usual = data.vocabulary == "byte" or same_encoding(data.encoding, "utf-8")
    if not is_usual and find_prepared(text) is None:
        print_notices(to_log(), [f"the text is read as {data.encoding}, like the run's own text"])


def _options(given: Settings, section: str, flag: str, is_set: bool) -> dict[str, Any]:
    """The options of a flag, checked. Raises ConfigurationError where they lack it, or are out of range."""
    options = given.get(section, {})
    if options and not is_set:
        raise ConfigurationError(f"`{next(iter(options))}` requires `{flag}=True`; give both")
    return build(SECTIONS[section], options).model_dump() if is_set else {}


def _shown(text: str) -> str:
    """A text in the heading of the results."""
    return "standard input" if text == standard_input.NAME else recorded(text)
