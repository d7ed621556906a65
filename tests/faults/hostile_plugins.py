"""Backends that misbehave, each in one way, as distributions in a folder: their sources, and what is said of each.

All of them compute as the NumPy backend does where they compute at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: A plugin module; DOES is run when it is imported.
_PLUGIN = """
from charkit.hookspecs import BackendInfo, hookimpl
{does}

@hookimpl
def charkit_backend():
    return BackendInfo(name="{name}", factory="{module}.backend:Hostile", summary={summary})
"""
#: The module of the backend; three places where a plugin runs, and what its class declares.
_BACKEND = """
import os, sys
from charkit_numpy.backend import NumpyBackend
{imported}

class Hostile(NumpyBackend):
    name = "{name}"
{declared}

    def __init__(self, **options):
        super().__init__(**options)
{made}

    def differentiate(self, forward):
        backward = super().differentiate(forward)
        steps = 0
        def hostile(*arguments):
            nonlocal steps
            steps += 1
{step}
            return backward(*arguments)
        return hostile
"""


@dataclass(frozen=True)
class Hostile:
    """A plugin, by what it does where; ``says`` is in the one line of ``toolkit train``, empty where it just works.

    ``listed`` is in the reason of ``toolkit backends``, empty where it is usable, and the same as ``says`` where None.
    ``alone`` ones may only be run in a process of their own: they harm it.
    """

    name: str
    says: str = ""
    listed: str | None = None
    plugin: str = ""
    imported: str = ""
    declared: str = ""
    made: str = "pass"
    step: str = "pass"
    summary: str = "'made for a test'"
    alone: bool = False

    @property
    def reason(self) -> str:
        """What is in the reason that ``toolkit backends`` gives; empty for a usable one."""
        return self.says if self.listed is None else self.listed

    def write(self, site: Path) -> None:
        """Writes the package and the metadata of its distribution."""
        module = f"charkit_{self.name.replace('-', '_')}"
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text("", "utf-8")
        plugin = _PLUGIN.format(name=self.name, module=module, does=self.plugin, summary=self.summary)
        (site / module / "plugin.py").write_text(plugin, "utf-8")
        backend = _BACKEND.format(
            name=self.name,
            imported=self.imported,
            declared=_indented(self.declared, 4),
            made=_indented(self.made, 8),
            step=_indented(self.step, 12),
        )
        (site / module / "backend.py").write_text(backend, "utf-8")
        write_metadata(site, f"charkit-{self.name}", f"[charkit.backends]\n{self.name} = {module}.plugin\n")


def write_metadata(site: Path, name: str, entry_points: str, *, metadata: str | None = None) -> None:
    """Writes the metadata of a distribution, which has the name and version 1.0 unless ``metadata`` is given."""
    folder = site / f"{name.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" if metadata is None else metadata
    (folder / "METADATA").write_text(text, "utf-8")
    (folder / "entry_points.txt").write_text(entry_points, "utf-8")


def _indented(source: str, columns: int) -> str:
    return "\n".join(" " * columns + line for line in source.splitlines())


def _devices(body: str) -> str:
    return f"@classmethod\ndef devices(cls):\n    {body}"


#: What runs in every training step prints on all ways to standard output.
_PRINTS = 'print("{}")\nos.write(1, b"{}\\n")\nsys.stdout.write("{}\\n")'
_CLOSES = "for number in (1, 2):\n    try: os.close(number)\n    except OSError: pass"

EVERY = (
    # ---- what it raises when it is imported
    Hostile("exits-politely", "is broken: SystemExit: 0, at ", plugin="raise SystemExit(0)"),
    Hostile("interrupts", "is broken: KeyboardInterrupt, at ", imported="raise KeyboardInterrupt"),
    Hostile("ends-generators", "is broken: GeneratorExit, at ", plugin="raise GeneratorExit"),
    Hostile(
        "raises-its-own",
        "is broken: Own: beads, at ",
        imported="class Own(BaseException): pass\nraise Own('beads')",
    ),
    Hostile(
        "unprintable",
        "is broken: Unprintable, at ",
        plugin="class Unprintable(Exception):\n    def __str__(self): raise ValueError\nraise Unprintable",
    ),
    Hostile(
        "escapes", "is broken: OSError: \ufffd[2J lost beads", plugin="raise OSError('\\x1b[2J lost\\n beads')"
    ),
    # ---- what it declares
    Hostile("generates", "devices() returned <generator", declared=_devices("yield 'cpu'")),
    Hostile(
        "a-million",
        "at most 1,000 names, not 1,000,000",
        declared=_devices("return [f'cpu:{number}' for number in range(1_000_000)]"),
    ),
    Hostile("colors", "it must return a list of names", declared=_devices("return ['cpu', '\\x1b[31mcuda']")),
    Hostile("turns-around", "it must return a list of names", declared=_devices("return ['\\u202ecpu']")),
    Hostile(
        "fails-to-list",
        "can't list its devices: MemoryError, at ",
        declared=_devices("raise MemoryError"),
    ),
    Hostile("no-precisions", "its precisions must be a frozenset of names; got 7", declared="precisions = 7"),
    Hostile(
        "unreadable",
        "its precisions must be a frozenset of names; got <Unreadable, whose repr() fails>",
        imported="class Unreadable:\n    def __iter__(self): raise OSError\n    __repr__ = __iter__",
        declared="precisions = Unreadable()",
    ),
    Hostile("many-lines", "BackendInfo must have ", summary="'one\\nline\\x1b[2J'"),
    Hostile("no-summary", "BackendInfo must have ", summary="None"),
    # ---- what it does when it computes
    Hostile("unready", "failed to start: SystemExit: 3, at ", "", made="raise SystemExit(3)"),
    Hostile("no-threads", "its threads attribute is None; it must be the number", "", made="self.threads = None"),
    Hostile("fails-early", "RuntimeError: no beads, at ", "", made="self.differentiate = self.fail\n", declared=(
        "def fail(self, forward): raise RuntimeError('no beads')"
    )),
    Hostile("interrupts-early", "KeyboardInterrupt, at ", "", made="self.differentiate = self.stop\n", declared=(
        "def stop(self, forward): raise KeyboardInterrupt"
    )),
    Hostile("no-lstm", "failed while running: TypeError: ", "", declared="def build_lstm(self, model): pass"),
    Hostile("lists", "numpy() returned list; it must return a NumPy array", "", declared=(
        "def numpy(self, tensor): return tensor.tolist()"
    )),
    Hostile("fails-late", "SystemExit: 4, at ", "", step="if steps == 3: raise SystemExit(4)"),
    Hostile("interrupts-late", "KeyboardInterrupt, at ", "", step="if steps == 3: raise KeyboardInterrupt"),
    Hostile("stops-iterating", "StopIteration", "", step="if steps == 3: raise StopIteration"),
    Hostile("prints", plugin="print('{}')", made=_PRINTS, step=_PRINTS, alone=True),
    # ---- what it does to the process
    Hostile(  # only its first process does, since each of a kit or a comparison that is not kept doubles the others
        "forks",
        imported="first = os.getpid()\nos.fork()",
        made="if os.getpid() == first: os.fork()",
        step="if steps == 3 and os.getpid() == first: os.fork()",
        alone=True,
    ),
    Hostile("closes", imported=_CLOSES, made=_CLOSES, step=_CLOSES, alone=True),
    Hostile(
        "replaces",
        imported="sys.stdout.close()\nsys.stdout = sys.stderr = None",
        made="sys.stdout = sys.stderr = open(os.devnull, 'w')",
        alone=True,
    ),
    Hostile(
        "leaves-early",
        "error: this process ended while backend 'leaves-early' (charkit-leaves-early 1.0) was loading",
        "its process ended with status 0 on import",
        imported="os._exit(0)",
        alone=True,
    ),
    Hostile(
        "leaves-when-made",
        "error: this process ended while backend 'leaves-when-made' (charkit-leaves-when-made 1.0) was loading",
        "",
        made="os._exit(0)",
        alone=True,
    ),
    Hostile(
        "leaves-when-built",
        "error: this process ended while backend 'leaves-when-built' was building the model",
        "",
        declared="def build_lstm(self, model): os._exit(0)",
        alone=True,
    ),
    Hostile(
        "leaves-late",
        "error: this process ended while backend 'leaves-late' was training 'r'; the run's last checkpoint is intact",
        "",
        step="if steps == 3: os._exit(0)",
        alone=True,
    ),
)  # fmt: skip
#: One that is only listed, with a limit: any other command waits for it and says so, until it is interrupted.
ENDLESS = Hostile(
    "endless",
    "did not respond within ",
    imported="import time",
    declared=_devices("while True: time.sleep(1)"),
)
