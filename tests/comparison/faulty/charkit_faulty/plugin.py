"""Registers them all, each by an object of its own."""

from charkit.hookspecs import BackendInfo, hookimpl


class Fault:
    """One backend; its module has its name."""

    def __init__(self, name: str, factory: str) -> None:
        self._info = BackendInfo(name, f"charkit_faulty.{name}:{factory}", "made for a test")

    @hookimpl
    def charkit_backend(self) -> BackendInfo:
        """Returns what there is to know of it."""
        return self._info


clips_each = Fault("clips_each", "ClipsEachBackend")
dies = Fault("dies", "DiesBackend")
exhausts = Fault("exhausts", "ExhaustsBackend")
explodes = Fault("explodes", "ExplodesBackend")
lapses = Fault("lapses", "LapsesBackend")
misgated = Fault("misgated", "MisgatedBackend")
nudged = Fault("nudged", "NudgedBackend")
overstates = Fault("overstates", "OverstatesBackend")
stalls = Fault("stalls", "StallsBackend")
undefined = Fault("undefined", "UndefinedBackend")
unclipped = Fault("unclipped", "UnclippedBackend")
