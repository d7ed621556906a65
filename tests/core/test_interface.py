"""The public names: complete, typed, documented, and the same as the configuration and the pages have them."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import charkit
from charkit import comparison
from charkit.config import SECTION_OF, SECTIONS, SamplingConfig
from charkit.training.result import StoppedBecause
from support import SMALL, SMALL_TEXT

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Their methods are for authors of backends and of checks, and mention what ``charkit.backend`` and
#: ``charkit.testing`` have.
FOR_AUTHORS = {"Backend", "Check"}
FUNCTIONS = [name for name in charkit.__all__ if inspect.isfunction(getattr(charkit, name))]
CLASSES = [
    name for name in charkit.__all__ if inspect.isclass(getattr(charkit, name)) and name not in FOR_AUTHORS
]
#: Imported for types alone where they are mentioned.
FOR_TYPES = {"LoadedRun": charkit.LoadedRun, "Figure": Any, "Axes": Any, "DataFrame": Any}


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function, and every method and property of a class, that is charkit's own."""
    for name in FUNCTIONS:
        yield name, getattr(charkit, name)
    for name in CLASSES:
        cls = getattr(charkit, name)
        yield name, cls
        for attribute, value in vars(cls).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(function) and not attribute.startswith("_"):
                yield f"{name}.{attribute}", function


PUBLIC = dict(public_callables())


def parts_of(annotation: Any) -> Iterator[Any]:
    """The classes in an annotation."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part) if not isinstance(part, list) else (x for p in part for x in parts_of(p))
    if get_origin(annotation) is not None:
        yield get_origin(annotation)


def plain(annotation: Any) -> set[Any]:
    """The alternatives of an annotation, without None and without what they are annotated with."""
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*(plain(part) for part in get_args(annotation))) - {type(None)}
    return plain(get_args(annotation)[0]) if get_origin(annotation) is typing.Annotated else {annotation}


def test_the_names_are_listed_once_and_all_load() -> None:
    tree = ast.parse(Path(str(charkit.__file__)).read_text("utf-8"))
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    } - {"annotations", "import_module", "TYPE_CHECKING", "Any", "version"}
    assert imported == set(charkit._MODULES) == set(charkit.__all__)
    assert len(charkit.__all__) == len(set(charkit.__all__))
    assert {*charkit.__all__, "__version__"} == set(dir(charkit))
    for name in charkit.__all__:
        assert getattr(charkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = charkit.nonsense  # type: ignore[attr-defined]


def test_the_old_path_of_comparisons_has_the_same_names() -> None:
    assert set(dir(comparison)) == set(comparison.__all__)
    assert comparison.compare is charkit.compare
    for name in comparison.__all__:
        assert getattr(comparison, name).__module__.startswith("charkit_comparison")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = comparison.nonsense  # type: ignore[attr-defined]


def test_importing_charkit_imports_nothing_heavy() -> None:
    program = (
        "import sys, charkit, charkit.hookspecs; print(charkit.__version__, [top for top in "
        "('numpy', 'pydantic', 'rich', 'typer', "
        "'charkit_cli', 'charkit_comparison', 'charkit_sweep', 'charkit_formats') "
        "if top in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.split(" ", 1)[1] == "[]\n"


@pytest.mark.parametrize("function", list(PUBLIC.values()), ids=list(PUBLIC))
def test_what_a_signature_mentions_is_exported(function: Callable[..., Any]) -> None:
    hints = get_type_hints(function, localns=FOR_TYPES)
    public = [hint for name, hint in hints.items() if not name.startswith("_")]
    mentioned = {part for hint in public for part in parts_of(hint) if inspect.isclass(part)}
    own = {each for each in mentioned if each.__module__.startswith("charkit")}
    exported = {getattr(charkit, name) for name in charkit.__all__}
    reports = ("charkit_comparison", "charkit.testing.speed")
    parts_of_reports = {each for each in own if each.__module__.startswith(reports)}
    events = {each for each in own if each.__module__ == charkit.events.__name__}
    assert own - exported - events - parts_of_reports == set()


@pytest.mark.parametrize("function", list(PUBLIC.values()), ids=list(PUBLIC))
def test_the_errors_that_a_docstring_names_are_exported(function: Callable[..., Any]) -> None:
    named = set(re.findall(r"\w+Error\b", function.__doc__ or ""))
    assert {name for name in named if not hasattr(builtins, name)} <= set(charkit.__all__)


def test_every_error_that_charkit_raises_to_a_user_is_exported() -> None:
    """Those that an engine and its workers raise to the driver, which catches them, are no user's."""
    internal = {"StepAbandonedError", "WorkerFailedError", "WorkerLostError"}
    sources = [file.read_text("utf-8") for file in (ROOT / "core").rglob("*.py")]
    classes = {
        name for text in sources for name in re.findall(r"^class (\w+Error)\((\w+Error)\)", text, re.M)
    }
    found = {"CharkitError"}
    while more := {name for name, parent in classes if parent in found} - found:
        found |= more
    assert found - internal == {name for name in charkit.__all__ if name.endswith("Error")} - {"FormatError"}


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES, "events"])
def test_every_name_has_a_docstring(name: str) -> None:
    assert len(getattr(charkit, name).__doc__ or "") > 15


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_raise_and_have_no_loose_keywords(name: str) -> None:
    function = getattr(charkit, name)
    assert re.search(r"Raises|nothing is raised", function.__doc__)
    parameters = inspect.signature(function).parameters.values()
    assert not [each for each in parameters if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    assert not [each for each in parameters if each.annotation is each.empty]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "recipes"])
def test_functions_suggest_keywords(name: str) -> None:
    with pytest.raises(TypeError, match=r"an unexpected keyword argument 'sing_along'$"):
        getattr(charkit, name)(sing_along=1)
    assert hasattr(getattr(charkit, name), "__wrapped__")


#: Settings that are tuples in the configuration: a caller gives one or several, whose types are written otherwise.
ONE_OR_SEVERAL = ("text", "glob")


def test_train_has_a_parameter_for_every_setting() -> None:
    hints = get_type_hints(charkit.train)
    parameters = inspect.signature(charkit.train).parameters
    fields = {key: SECTIONS[section].model_fields[key] for key, section in SECTION_OF.items()}
    in_order = [key for key in parameters if key in fields]
    assert in_order == ["text", *(key for key in fields if key != "text")]
    for key, field in fields.items():
        assert parameters[key].default is None, key
        if key in ONE_OR_SEVERAL:
            continue
        wanted = plain(field.annotation) | ({int} if key == "save_every" else set())
        assert plain(hints[key]) == wanted, key
        described = f"- ``{key}`` ({field.default!r}): {field.description}"
        assert described in inspect.getdoc(charkit.train), key


@pytest.mark.parametrize("method", ["sample", "stream", "sampling"])
def test_sampling_has_a_parameter_for_every_setting(method: str) -> None:
    function = getattr(charkit.LoadedRun, method)
    hints, parameters = get_type_hints(function), dict(inspect.signature(function).parameters)
    del parameters["self"]
    assert set(parameters) == set(SamplingConfig.model_fields)
    for key, field in SamplingConfig.model_fields.items():
        assert parameters[key].default == field.default, key
        assert plain(hints[key]) == plain(field.annotation), key


def test_charrnn_has_the_defaults_of_the_configuration() -> None:
    for key, parameter in inspect.signature(charkit.CharRNN).parameters.items():
        if key in SECTION_OF and key != "precision":
            assert parameter.default == SECTIONS[SECTION_OF[key]].model_fields[key].default, key
    for key, parameter in inspect.signature(charkit.CharRNN.sample).parameters.items():
        if key not in ("self", "prime"):
            assert parameter.default == SamplingConfig.model_fields[key].default, key


def test_results_say_why_training_stopped() -> None:
    assert get_type_hints(charkit.TrainResult)["stopped_because"] == StoppedBecause


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_names_that_a_page_uses_exist(page: Path) -> None:
    modules = {path.stem for path in (ROOT / "core" / "charkit").iterdir()}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for names in re.findall(r"^\s*from charkit import \(?([\w, ]+)", block, re.MULTILINE):
            assert {name.split()[0] for name in names.split(",") if name} <= {*charkit.__all__, *modules}
        used = set(re.findall(r"(?<![\w.\"/-])charkit\.(\w+)", block))
        assert used <= {*charkit.__all__, *modules}


def test_editors_complete_the_settings() -> None:
    """As a notebook does it, which asks jedi."""
    jedi = pytest.importorskip("jedi")
    program = "import charkit\nrun = charkit.train('anna.txt').load()\nrun.sample("
    project = jedi.Project(ROOT, added_sys_path=[str(ROOT / "core")])
    for line, expected in (
        ("charkit.train(lstm", "lstm_size="),
        ("charkit.train(epo", "epochs="),
        ("charkit.load", "load_run"),
        ("charkit.load_run().samp", "sample"),
        ("charkit.load_run().evaluate(spl", "split="),
    ):
        script = jedi.Script(f"import charkit\n{line}", project=project)
        assert expected in {found.name_with_symbols for found in script.complete()}, line
    signature = jedi.Script(program, project=project).get_signatures()[0]
    assert {parameter.name for parameter in signature.params} >= set(SamplingConfig.model_fields)


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("anna.txt").write_text("Anna sat there.\n" + SMALL_TEXT * 2, "utf-8")
    Path("book.txt").write_text("It was so.\n" + SMALL_TEXT * 2, "utf-8")
    text = (ROOT / page).read_text("utf-8")
    for given, used in (
        ('backend="torch"', 'backend="numpy"'),
        ("lstm_size=256", "lstm_size=8"),
        ("max_steps=100", "max_steps=1"),
    ):
        text = text.replace(given, used)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(block, names)  # noqa: S102 - the examples of the documentation
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "advice"),
    [("sample", "charkit.load_run('RUN')"), ("load", "charkit.CharRNN.load(FILE)"), ("banana", "")],
)
def test_a_name_that_is_elsewhere_leads_there(name: str, advice: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'charkit' has no attribute '{name}'") as caught:
        getattr(charkit, name)
    assert advice in str(caught.value)
    assert (";" in str(caught.value)) == bool(advice)


def test_a_result_in_place_of_its_directory_is_refused_with_what_to_give(text_file: Path) -> None:
    result = charkit.train(text_file, **{**SMALL, "max_steps": 2})
    with pytest.raises(charkit.ConfigurationError, match=r"pass its run attribute, the run's directory$"):
        charkit.train(resume=result)  # type: ignore[arg-type]  # what a type checker refuses too


def test_objects_describe_themselves() -> None:
    network = charkit.CharRNN(9, 2, 3, lstm_size=4, threads=1)
    assert repr(network) == "<CharRNN: 2 x 4 units, 9 symbols, numpy float32, step 0>"
    inputs = targets = np.zeros((2, 3), np.int32)
    assert repr(network.train_step(inputs, targets)) == "StepResult(step=1)"
