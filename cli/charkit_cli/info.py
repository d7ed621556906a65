"""``toolkit info``: what a bug report needs to say about this installation and this machine, and nothing private."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from charkit.errors import counted
from charkit.plugins.probe import LIMIT_SECONDS
from charkit.system_info import SystemInfo, info
from charkit_cli.backends import ImportLimit
from charkit_cli.options import Json
from charkit_cli.terminal_output import print_json, to_user, waiting

EXAMPLES = ("toolkit info", "toolkit info --json")
#: Distributions whose versions matter, where they are installed, besides what the plugins of others require.
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
    limit_seconds: ImportLimit = LIMIT_SECONDS,
    as_json: Json = False,
) -> None:
    """Collects and prints."""
    with waiting("trying backends") as progress:
        found = info(
            libraries=LIBRARIES,
            variables=VARIABLES,
            limit_seconds=limit_seconds,
            progress=lambda share: progress("trying backends", share),
        )
    if as_json:
        print_json(found.as_json())
        return
    console = to_user()
    for line in _lines(found):
        console.print(Text(line))


def _lines(found: SystemInfo) -> Iterator[str]:
    """The facts for people, in lines that can be pasted into a report."""
    yield f"charkit    {found.charkit}"
    yield f"Python     {found.python}"
    yield f"system     {found.system}"
    bfloat16 = "with" if found.bfloat16_instructions else "without"
    yield f"processor  {found.processor}, {bfloat16} bfloat16 instructions"
    yield f"processors {found.describe_processors()}"
    if found.memory_bytes:
        yield f"memory     {found.memory_bytes / 2**30:.1f} GiB"
    for blas in found.blas:
        yield f"BLAS       {blas.library} {blas.version or ''}, {counted(blas.threads, 'thread')}"
    if found.encoding:
        yield f"encoding   {found.encoding}"
    yield f"libraries  {', '.join(f'{name} {each}' for name, each in found.libraries.items())}"
    for name, value in found.environment.items():
        yield f"variable   {name}={value}"
    for each in found.backends:
        devices = f": {', '.join(each.devices)}" if each.devices else ""
        yield f"backend    {each.name} {each.status} ({each.distribution} {each.version}){devices}"
        if each.reason:
            yield f"           {each.reason}"
