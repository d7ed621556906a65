"""Nothing that is shipped executes what it reads, and the check of that finds what is planted."""

from __future__ import annotations

import importlib.util
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "dangerous_calls", Path(__file__).with_name("dangerous_calls.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load()


def test_every_folder_that_is_shipped_is_checked() -> None:
    others = (path.relative_to(ROOT).parts[0] for path in ROOT.glob("*/*/pyproject.toml"))
    shipped = {folder for folder in others if folder[0] != "." and folder != "tests"}
    with (ROOT / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    shipped |= {Path(package).parts[0] for package in wheel["packages"]}
    assert {"core", "backends", "engines"} <= shipped <= set(check.SHIPPED)


def test_nothing_that_is_shipped_executes_what_it_reads() -> None:
    assert list(check.findings(ROOT)) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("eval(text)", "calls eval"),
        ("import builtins\nbuiltins.exec(text)", "calls builtins.exec"),
        ("def f():\n    exec(open(path).read())", "calls exec"),
        ("compile(text, '', 'exec')", "calls compile"),
        ("import pickle", "imports pickle"),
        ("def f():\n    from pickle import loads", "imports pickle"),
        ("import importlib\nimportlib.import_module('pickle')", "imports pickle"),
        ("__import__('marshal')", "imports marshal"),
        ("import shelve as s", "imports shelve"),
        ("import yaml\nyaml.load(file)", "calls yaml.load"),
        ("from yaml import load as read\nread(file)", "calls yaml.load"),
        ("import subprocess\nsubprocess.run(line, shell=True)", "starts a shell"),
        ("import subprocess\nsubprocess.run(line, shell=wanted)", "starts a shell"),
        ("import os\nos.system(line)", "calls os.system"),
        ("from os import popen\npopen(line)", "calls os.popen"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "numpy.load with allow_pickle"),
        ("from numpy import load\nload(path, allow_pickle=flag)", "numpy.load with allow_pickle"),
        ("import torch\ntorch.load(path)", "torch.load without weights_only=True"),
        ("import torch\ntorch.load(path, weights_only=False)", "torch.load without weights_only=True"),
        ("import keras\nkeras.models.load_model(path, safe_mode=False)", "with safe_mode off"),
        ("import pandas as pd\npd.read_pickle(path)", "calls pandas.read_pickle"),
    ],
)
def test_what_is_planted_is_found(source: str, what: str) -> None:
    ((line, found),) = check.dangers(source)
    assert what in found
    assert line == source.count("\n") + 1 if "def" not in source else line == 2


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile(text)",
        "backend.compile(function)",
        "model.eval()",
        "import numpy as np\nnp.load(path)\nnp.load(path, allow_pickle=False)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import subprocess\nsubprocess.run([program], shell=False)",
        "import yaml\nyaml.safe_load(file)",
        "import ast\nast.literal_eval(text)",
    ],
)
def test_what_is_harmless_is_left_alone(source: str) -> None:
    assert list(check.dangers(source)) == []


def test_a_fault_planted_in_each_shipped_folder_is_found(tmp_path: Path) -> None:
    for shipped in check.SHIPPED:
        target = tmp_path / shipped
        if (ROOT / shipped).is_dir():
            target.mkdir()
            target /= "deep.py"
        else:
            shutil.copy(ROOT / shipped, target)
        target.write_text("eval('1')\n", "utf-8")
    assert len(list(check.findings(tmp_path))) == len(check.SHIPPED)


def test_a_folder_that_is_missing_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no Python file"):
        list(check.findings(tmp_path))
