"""``toolkit info``: what a bug report needs to say about this installation and this machine, and nothing private."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

from rich.text import Text
from threadpoolctl import threadpool_info

from charkit.machine import has_bfloat16_instructions, processor_name
from charkit.plugins import backends
from charkit.plugins.probe import LIMIT_SECONDS
from charkit.system.memory import total_bytes
from charkit.system.processors import available_processors
from charkit.version import version
from charkit_cli.backends import ImportLimit
from charkit_cli.options import Json
from charkit_cli.terminal_output import print_json, to_user, waiting

EXAMPLES = ("toolkit info", "toolkit info --json")
#: Distributions whose versions matter, where they are installed.
LIBRARIES = (
    *("numpy", "pydantic", "safetensors", "pluggy", "threadpoolctl", "typer", "rich", "matplotlib", "jinja2"),
    *(
        "torch",
        "tensorflow",
        "keras",
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "numba",
        "ray",
        "onnx",
        "onnxruntime",
    ),
    *(
        "pandas",
        "optuna",
        "tensorboardX",
        "mlflow",
        "wandb",
        "fsspec",
        "aiohttp",
        "gcsfs",
        "huggingface_hub",
        "s3fs",
    ),
)
#: The only environment variables that are read: they change what is computed, on what, or what is shown.
VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"),
    *("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "CHARKIT_NUMBA"),
    *("LANG", "LC_ALL", "TERM", "NO_COLOR", "COLUMNS"),
)


def command(
    limit: ImportLimit = LIMIT_SECONDS,
    as_json: Json = False,
) -> None:
    """Collects and prints."""
    with waiting("trying backends") as progress:
        found = collect(limit, lambda share: progress("trying backends", share))
    if as_json:
        print_json(found)
        return
    console = to_user()
    for line in _lines(found):
        console.print(Text(line))


def collect(limit: float, progress: Any = None) -> dict[str, Any]:
    """The facts by name. Paths in the user's home directory begin with ``~``."""
    return {
        "charkit": version(),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": processor_name(),
        "bfloat16_instructions": has_bfloat16_instructions(),
        "processors": os.cpu_count(),
        "usable_processors": available_processors(),
        "memory_bytes": total_bytes(),
        "encoding": sys.stdout.encoding,
        "libraries": dict(_libraries()),
        "blas": [
            {"library": each["internal_api"], "version": each["version"], "threads": each["num_threads"]}
            for each in threadpool_info()
        ],
        "environment": {name: _private(os.environ[name]) for name in VARIABLES if name in os.environ},
        "backends": [
            {
                "name": each.name,
                "status": each.status,
                "distribution": each.distribution,
                "version": each.version,
                "devices": each.devices,
                "precisions": each.precisions,
                "reason": _private(each.reason),
            }
            for each in backends(limit_seconds=limit, progress=progress)
        ],
    }


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """The facts for people, in lines that can be pasted into a report."""
    yield f"charkit    {found['charkit']}"
    yield f"Python     {found['python']}"
    yield f"system     {found['system']}"
    bfloat16 = "with" if found["bfloat16_instructions"] else "without"
    yield f"processor  {found['processor']}, {bfloat16} bfloat16 instructions"
    yield f"threads    {found['usable_processors']} usable of {found['processors']}"
    if found["memory_bytes"]:
        yield f"memory     {found['memory_bytes'] / 2**30:.1f} GiB"
    for each in found["blas"]:
        yield f"BLAS       {each['library']} {each['version'] or ''}, {each['threads']} threads"
    yield f"encoding   {found['encoding']}"
    yield f"libraries  {', '.join(f'{name} {each}' for name, each in found['libraries'].items())}"
    for name, value in found["environment"].items():
        yield f"variable   {name}={value}"
    for each in found["backends"]:
        devices = f": {', '.join(each['devices'])}" if each["devices"] else ""
        yield f"backend    {each['name']} {each['status']} ({each['distribution']} {each['version']}){devices}"
        if each["reason"]:
            yield f"           {each['reason']}"


def _libraries() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, version_of(name)
        except PackageNotFoundError:
            continue


def _private(text: str) -> str:
    """The text without the path of the home directory, which holds the user's name."""
    home = os.path.expanduser("~")  # it stays so where there is none, as in some containers
    return text.replace(home, "~") if len(home) > 1 else text
