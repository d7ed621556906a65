"""Where a text is: a path on this machine, or a URL; and what of it may be recorded.

A URL can hold a secret: a password before its host, or a signature in its query. So whatever is recorded, printed or
raised has the URL without both.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from charkit.errors import TextError, nearest, shown

#: The schemes of URLs, and what is installed to read each.
SCHEMES = {
    "http": "fsspec aiohttp",
    "https": "fsspec aiohttp",
    "s3": "s3fs",
    "gs": "gcsfs",
    "hf": "fsspec huggingface_hub",
}
#: Two letters at least, so that a drive is none.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_URL_IN_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"<>]*")
NAME_CHARACTERS_AT_MOST = 60


def is_url(text: str) -> bool:
    """Whether it is a URL rather than a path, of a known scheme or not."""
    return _URL.fullmatch(text) is not None


def scheme_of(url: str) -> str:
    """The scheme of a URL. Raises TextError for one that charkit does not read."""
    found = _URL.fullmatch(url)
    scheme = found[1].lower() if found else ""
    if scheme not in SCHEMES:
        raise TextError(
            f"{shown(without_secrets(url))} has the scheme {scheme!r}, which charkit does not support"
            f"{nearest(scheme, SCHEMES)}; give a path, or a URL with one of the schemes {', '.join(SCHEMES)}"
        )
    return scheme


def without_secrets(words: str) -> str:
    """Any words, with every URL in them as ``recorded`` has it."""
    if is_url(words):
        return recorded(words)
    return _URL_IN_WORDS.sub(lambda found: recorded(found[0]), words)


def recorded(text: str) -> str:
    """A path as it is; a URL without user and password, query and fragment."""
    found = _URL.fullmatch(text)
    if found is None:
        return text
    return f"{found[1].lower()}://{found[2].rpartition('@')[2]}{found[3]}"


def absolute(text: str) -> str:
    """What a record holds of a text, readable from any folder: an absolute path, or a URL without secrets.

    A link is recorded itself: several texts are read in the order of these paths, and users choose the links' names.
    """
    return recorded(text) if is_url(text) else str(absolute_path(Path(text)))


def absolute_path(path: Path) -> Path:
    """The absolute path of a file or folder under the name that it was given, which may be that of a link."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def absolute_from(folder: Path, text: str) -> str:
    """A recorded text with a relative path taken from a folder."""
    return text if is_url(text) or is_absolute(text) else str(folder / text)


def is_absolute(text: str) -> bool:
    """Whether a recorded path is absolute, on this system or on another that the run comes from."""
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def child(url: str, name: str) -> str:
    """The URL of an entry of the folder that a URL names, with the same query."""
    found = _URL.fullmatch(url)
    assert found is not None
    path = found[3].rstrip("/")
    return f"{found[1]}://{found[2]}{path}/{name}{found[4]}"


def folder_of(url: str, name: str) -> str | None:
    """The URL of the folder that an entry is in, with the same query; None for the URL of anything else."""
    found = _URL.fullmatch(url)
    if found is None or not found[3].endswith(f"/{name}"):
        return None
    return f"{found[1]}://{found[2]}{found[3].removesuffix(name)}{found[4]}"


def last_part(text: str) -> str:
    """The file's or folder's own name, without its folder, host or secrets."""
    if is_url(text):
        return PurePosixPath(recorded(text)).name
    windows = PureWindowsPath(text)  # of a run that was trained there
    return windows.name if windows.is_absolute() and not Path(text).is_absolute() else Path(text).name


def safe_name(name: str) -> str:
    """The name without what the name of a directory should not hold; "text" where nothing is left."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:NAME_CHARACTERS_AT_MOST].rstrip("-.") or "text"


def is_safe_name(name: str) -> bool:
    """Whether ``safe_name`` makes such names, or charkit 0.1 did, where one that was cut could end in - or a period."""
    return safe_name(name) == (name.rstrip("-.") if len(name) == NAME_CHARACTERS_AT_MOST else name)


def name_of(text: str) -> str:
    """What to call a text: the stem of a file, or the name of a folder, safe as the name of a directory."""
    if is_url(text):
        path = PurePosixPath(recorded(text))
        return safe_name(path.name if recorded(text).endswith("/") else path.stem)
    resolved = Path(text).resolve()
    return safe_name(resolved.name if resolved.is_dir() else resolved.stem)
