"""An open folder: which entries are read and written, what is refused, and that no handle stays open."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from charkit.errors import RunError
from charkit.runs import folder_files
from charkit.runs.folder_files import OpenFolder, write_all
from charkit.system.folder_entries import sync_path

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a list of open files")


@pytest.fixture
def here() -> Path:
    """An empty folder with a short path, which a socket needs."""
    return Path()


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _open_files() -> list[str]:
    return os.listdir("/proc/self/fd")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.write_bytes(b"a"), "a file of another kind"),
        (lambda path: path.symlink_to(path.parent), "a symbolic link"),
    ],
)
def test_what_is_no_folder_is_not_opened_as_one(
    here: Path, make: Callable[[Path], object], kind: str
) -> None:
    make(here / "sub")
    with OpenFolder.at(here) as folder:
        with (
            pytest.raises(RunError, match=f"is {kind}, but it must be a directory inside the run"),
            folder.folder("sub"),
        ):
            pass
        with pytest.raises(FileNotFoundError), folder.folder("missing"):
            pass


def test_a_file_is_read_up_to_the_limit(here: Path) -> None:
    (here / "a").write_bytes(b"12345")
    with OpenFolder.at(here) as folder:
        assert folder.read("a", 5) == b"12345"
        with pytest.raises(RunError, match="it has 5 bytes, but at most 4 are allowed"):
            folder.read("a", 4)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.mkdir(), "a directory"),
        (lambda path: path.symlink_to("/dev/null"), "a symbolic link"),
        (os.mkfifo, "a named pipe"),
        (_make_socket, "a socket"),
    ],
)
def test_only_a_plain_file_is_read(here: Path, make: Callable[[Path], object], kind: str) -> None:
    make(here / "a")
    with (
        OpenFolder.at(here) as folder,
        pytest.raises(RunError, match=f"is {kind}, but a run may contain only"),
    ):
        folder.read("a", 5)


def test_a_device_is_not_read() -> None:
    with (
        OpenFolder.at(Path("/dev")) as folder,
        pytest.raises(RunError, match="is a device, but a run may contain"),
    ):
        folder.read("null", 5)


def test_a_link_is_a_link_and_nothing_else_is(here: Path) -> None:
    (here / "file").touch()
    (here / "link").symlink_to("file")
    with OpenFolder.at(here) as folder:
        assert [folder.has_link(name) for name in ("link", "file", "missing")] == [True, False, False]


def test_a_folder_holds_only_files_of_the_names(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub/a").touch()
    with OpenFolder.at(here) as folder:
        assert folder.holds_only("sub", {"a", "b"})
        assert not folder.holds_only("sub", {"b"})
        assert not folder.holds_only("sub/a", {"b"})
        (here / "sub/b").mkdir()
        assert not folder.holds_only("sub", {"a", "b"})


@needs_proc
def test_no_handle_stays_open(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenFolder.at(here) as folder:
        before = len(_open_files())
        folder.write("a", b"1\n")
        folder.append("a", b"2\n")
        folder.replace("a", b"1\n")
        assert folder.read("a", 10) == b"1\n"
        folder.fingerprint("a")
        real = os.fstat

        def linked_meanwhile(handle: int) -> os.stat_result:
            status = real(handle)
            return os.stat_result((*status[:3], 2, *status[4:])) if stat.S_ISREG(status.st_mode) else status

        monkeypatch.setattr(os, "fstat", linked_meanwhile)
        with pytest.raises(RunError, match=r"a file with 2 hard links"):
            folder.open_file("a", os.O_RDONLY)
        monkeypatch.undo()
        assert len(_open_files()) == before


def test_all_is_written_in_as_many_calls_as_it_takes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(folder_files.os, "write", lambda handle, content: real(handle, bytes(content)[:3]))
    handle = os.open(here / "a", os.O_WRONLY | os.O_CREAT)
    write_all(handle, b"0123456789")
    os.close(handle)
    assert (here / "a").read_bytes() == b"0123456789"


def test_a_new_folder_takes_the_name_of_an_empty_one_if_that_is_allowed(here: Path) -> None:
    (here / "sub").mkdir()
    with OpenFolder.at(here) as parent:
        with pytest.raises(FileExistsError), parent.new_folder("sub"):
            pass
        with parent.new_folder("sub", existing="refuse unless empty") as folder:
            folder.write("a", b"1")
        with (
            pytest.raises(OSError, match="not empty"),
            parent.new_folder("sub", existing="refuse unless empty"),
        ):
            pass
    assert [path.name for path in here.iterdir()] == ["sub"]
    assert (here / "sub/a").read_bytes() == b"1"


def test_a_replaced_folder_goes_unless_it_holds_what_is_not_known(here: Path) -> None:
    with OpenFolder.at(here) as parent:
        for generation in (b"1", b"2"):
            with parent.new_folder("sub", existing="replace", contents={"a"}) as folder:
                folder.write("a", generation)
        assert parent.names() == ["sub"]
        (here / "sub/notes.txt").write_text("mine")
        with parent.new_folder("sub", existing="replace", contents={"a"}) as folder:
            folder.write("a", b"3")
    assert sorted(path.name for path in here.iterdir()) == ["sub", "sub-replaced-1"]
    assert (here / "sub-replaced-1/notes.txt").read_text() == "mine"
    assert (here / "sub/a").read_bytes() == b"3"


@pytest.mark.parametrize(
    ("number", "is_fine"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)]
)
def test_a_file_system_that_can_not_sync_folders(
    here: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_fine: bool
) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with OpenFolder.at(here) as folder:
        for sync in (folder.sync, lambda: sync_path(here)):
            if is_fine:
                sync()
            else:
                with pytest.raises(OSError, match="error"):
                    sync()
