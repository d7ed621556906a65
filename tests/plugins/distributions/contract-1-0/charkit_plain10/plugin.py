from charkit.hookspecs import BackendInfo, hookimpl


@hookimpl
def charkit_backend() -> BackendInfo:
    return BackendInfo("plain10", "charkit_plain10.backend:PlainBackend", "NumPy, written to be read", api=1)
