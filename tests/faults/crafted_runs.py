"""Runs and imports of a stranger who wants a file outside of them read, written or executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from charkit.runs.temporary_names import temporary_name
from faults.run_mutations import rehash
from faults.tensor_mutations import joined, split

#: What no command may open, in the folder ``outside`` beside each run. The text is one that a shell would execute.
CANARY = "touch executed\n"


class _Bomb:
    """Its pickle makes a folder when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def _link(run: Path, name: str, *, hard: bool = False) -> None:
    """A link in place of a file, to a file outside that has its content."""
    path, target = run / name, _outside(run) / Path(name).name
    if path.exists():
        shutil.move(path, target)
    else:
        target.write_text(CANARY)
    if hard:
        os.link(target, path)
    else:
        path.symlink_to(target)


def _folder_link(run: Path, name: str) -> None:
    path = run / name if name == "checkpoints" else _newest(run)
    target = _outside(run) / path.name
    shutil.move(path, target)
    path.symlink_to(target)


def _special(run: Path, name: str, kind: str) -> None:
    path = run / name if (run / name).exists() else _newest(run) / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


def _pointer(run: Path, name: str, target: str) -> None:
    (run / name).write_text(json.dumps({"checkpoint": target, "step": 1}))


def _configured(run: Path, section: str, key: str, value: Any) -> None:
    content = json.loads((run / "config.json").read_text())
    place = content["config"][section] if section else content["config"]
    place[key] = value
    (run / "config.json").write_text(json.dumps(content))
    rehash(run)


def _manifest_beyond(run: Path) -> None:
    path = _newest(run) / "manifest.json"
    content = json.loads(path.read_text())
    content["../../../outside/canary.sh"] = content.pop("progress.json")
    path.write_text(json.dumps(content))


def _names_as_paths(run: Path) -> None:
    path = _newest(run) / "model.safetensors"
    header, data = split(path.read_bytes())
    header["../../outside/canary.sh"] = header.pop("output.bias")
    path.write_bytes(joined(json.dumps(header), data))
    rehash(run)


def _pickled(run: Path, name: str) -> None:
    (_newest(run) / name).write_bytes(pickle.dumps(_Bomb()))
    rehash(run)


def _modules_inside(run: Path) -> None:
    for name in ("numpy", "charkit", "safetensors", "sitecustomize", "json"):
        (run / f"{name}.py").write_text("import os; os.mkdir('executed')\n")


def _debris_links(run: Path) -> None:
    for name in ("best", "metrics.jsonl"):
        (run / temporary_name(name)).symlink_to(_outside(run) / "canary.sh")
    (run / "checkpoints" / temporary_name("00000008")).symlink_to(_outside(run))


def _session(run: Path) -> None:
    lines = (run / "sessions.jsonl").read_text().splitlines()
    session = {**json.loads(lines[-1]), "backend": "os:system", "command": "$(touch executed)"}
    (run / "sessions.jsonl").write_text(json.dumps(session) + "\n")


def _import_pickle(run: Path) -> None:
    (run.parent / "import.safetensors").write_bytes(pickle.dumps({"weights": _Bomb()}))


def _import_vocabulary(run: Path) -> None:
    vocabulary = run.parent / "import.vocabulary.json"
    vocabulary.unlink()
    os.mkfifo(vocabulary)


def _import_metadata(run: Path) -> None:
    path = run.parent / "import.safetensors"
    header, data = split(path.read_bytes())
    header["__metadata__"] = {"vocabulary": "__import__('os').mkdir('executed')", "format": "pt"}
    path.write_bytes(joined(json.dumps(header), data))
    (run.parent / "import.vocabulary.json").unlink()


def _tracked(run: Path, name: str, harm: Callable[..., None], **options: Any) -> None:
    """Does harm to a file of a tracker."""
    (run / "tracking").mkdir()
    (run / "tracking" / name).write_text("step\n")
    harm(run, f"tracking/{name}", **options)


def _tracking_link(run: Path, name: str) -> None:
    """A link in place of a folder of trackers, to a folder outside."""
    (target := _outside(run) / "tracking").mkdir()
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).symlink_to(target)


def _newest(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


def _outside(run: Path) -> Path:
    return run.parent / "outside"


#: What is done to a run, and to the files of an import beside it, by a name for messages.
CRAFTED: dict[str, Callable[[Path], None]] = {
    **{
        f"{name} is a link": partial(_link, name=name)
        for name in ("lock", "metrics.jsonl", "samples.jsonl", "sessions.jsonl", "schedule.jsonl", "README.md")
    },
    **{f"{name} is a link": partial(_link, name=name) for name in ("config.json", "vocabulary.json", "best", "latest")},
    "lock is a hard link": partial(_link, name="lock", hard=True),
    "metrics.jsonl is a hard link": partial(_link, name="metrics.jsonl", hard=True),
    "config.json is a hard link": partial(_link, name="config.json", hard=True),
    "the checkpoints are a link": partial(_folder_link, name="checkpoints"),
    "a checkpoint is a link": partial(_folder_link, name="newest"),
    "config.json is a device": partial(_special, name="config.json", kind="device"),
    "weights are a device": partial(_special, name="model.safetensors", kind="device"),
    "progress is a pipe": partial(_special, name="progress.json", kind="pipe"),
    "metrics are a pipe": partial(_special, name="metrics.jsonl", kind="pipe"),
    "best is outside": partial(_pointer, name="best", target="../../outside/checkpoint"),
    "latest is outside": partial(_pointer, name="latest", target="/etc"),
    "a manifest beyond the run": _manifest_beyond,
    "arrays named as paths": _names_as_paths,
    "weights are a pickle": partial(_pickled, name="model.safetensors"),
    "progress is a pickle": partial(_pickled, name="progress.json"),
    "the text is outside": partial(_configured, section="data", key="text", value=["../outside/canary.sh"]),
    "the text is a device": partial(_configured, section="data", key="text", value=["/dev/zero"]),
    "a configuration that names code": partial(_configured, section="model", key="factory", value="os:system"),
    "a recipe that is a path": partial(_configured, section="", key="recipe", value="../outside/canary.sh"),
    "an encoding that is a module": partial(_configured, section="data", key="encoding", value="os.path"),
    "modules inside": _modules_inside,
    "debris that is links": _debris_links,
    "a session that names code": _session,
    "the import is a pickle": _import_pickle,
    "the import's vocabulary is a pipe": _import_vocabulary,
    "the import's metadata are code": _import_metadata,
    "tracking is a link": partial(_tracking_link, name="tracking"),
    "TensorBoard's folder is a link": partial(_tracking_link, name="tracking/tensorboard"),
    "a folder in TensorBoard's is a link": partial(_tracking_link, name="tracking/tensorboard/older"),
    "metrics.csv is a link": partial(_tracked, name="metrics.csv", harm=_link),
    "metrics.csv is a pipe": partial(_tracked, name="metrics.csv", harm=_special, kind="pipe"),
    "samples.csv is a hard link": partial(_tracked, name="samples.csv", harm=_link, hard=True),
}  # fmt: skip
