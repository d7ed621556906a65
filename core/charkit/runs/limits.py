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
#: ``metrics.jsonl`` and the other files of lines, which are read line by line: four million reports.
RECORDS = 1 << 30
#: One line of them: a sample of the greatest length takes a seventh of it.
LINE = 4 << 20
#: Lines of one file that charkit did not write: a crash leaves one. Each takes as long as one that it wrote.
ODD_LINES = 100_000
#: A file of arrays, where the model's size is not known.
ARRAYS = 1 << 40
