"""The most bytes that are read of each kind of file in a run: far more than charkit writes, far less than memory."""

#: ``config.json``.
CONFIG = 1 << 20
#: ``vocabulary.json``: every code point that there is takes less than half of it.
VOCABULARY = 64 << 20
#: ``best``, ``latest`` and ``lock``.
POINTER = 4096
#: ``manifest.json``.
MANIFEST = 64 << 10
#: ``progress.json``.
PROGRESS = 1 << 20
#: ``metrics.jsonl`` and the other files of lines: millions of lines.
RECORDS = 1 << 30
#: A file of arrays, where the model's size is not known.
ARRAYS = 1 << 40
