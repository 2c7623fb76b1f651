"""Archives that mean well, and archives that do not."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib

import pytest

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs import archives
from surnn_server.jobs.archives import ArchiveLimits, is_archive, members
from surnn_server.jobs.space import Space

LIMITS = ArchiveLimits(files=10, bytes=10_000_000)
FILES = {"a.wav": b"first", "deep/er/b.wav": b"second" * 9000, "empty.wav": b""}


def zipped(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out


def tarred(files, mode="w", **attributes):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out


def read(file, name, limits=LIMITS):
    found = {}
    for member, content in members(file, name, limits):
        data = b""
        while block := content.read():
            data += block
        found[member] = data
    return found


GOOD = {
    "a.zip": lambda: zipped(FILES),
    "stored.ZIP": lambda: zipped(FILES, zipfile.ZIP_STORED),
    "a.tar": lambda: tarred(FILES),
    "a.tar.gz": lambda: tarred(FILES, "w:gz"),
    "a.tgz": lambda: tarred(FILES, "w:gz"),
    "a.tar.bz2": lambda: tarred(FILES, "w:bz2"),
}


@pytest.mark.parametrize("name", GOOD)
def test_archives_are_read(name):
    assert is_archive(name)
    assert read(GOOD[name](), name) == FILES


@pytest.mark.parametrize("make", [zipped, tarred])
def test_what_desktops_leave_behind_is_passed_over(make):
    name = "a.zip" if make is zipped else "a.tar"
    files = {"__MACOSX/._a.wav": b"x", ".DS_Store": b"x", "b/.hidden/c.wav": b"x", "a.wav": b"1"}
    assert read(make(files), name) == {"a.wav": b"1"}


def test_folders_are_passed_over():
    out = tarred(FILES, type=tarfile.DIRTYPE, size=0)
    assert read(out, "a.tar") == {}
    assert read(zipped({"sub/": b"", "sub/a.wav": b"1"}), "a.zip") == {"sub/a.wav": b"1"}


def link(kind):
    return tarred({"l.wav": b""}, type=kind, linkname="/etc/passwd")


def zip_link():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("l.wav")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return out


def encrypted():
    data = bytearray(zipped({"a.wav": b"1"}).getvalue())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return io.BytesIO(bytes(data))


def cut(out, size=-20):
    return io.BytesIO(out.getvalue()[:size])


def damaged():
    data = bytearray(zipped({"a.wav": bytes(range(256)) * 50}).getvalue())
    data[60:80] = bytes(20)
    return io.BytesIO(bytes(data))


def huge_header():
    """A tar header whose long name claims to be a gigabyte."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    return io.BytesIO(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def many_long_names():
    """Headers that each announce another one."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3
    return io.BytesIO((info.tobuf(tarfile.GNU_FORMAT) + b"a\0\0".ljust(512, b"\0")) * 5000)


BAD = {
    "traversal": ("a.zip", lambda: zipped({"../a.wav": b"1"}), "holds '../a.wav', expected names"),
    "deep traversal": ("a.tar", lambda: tarred({"x/../../a.wav": b"1"}), "holds 'x/../../a.wav'"),
    "absolute": ("a.tar", lambda: tarred({"/etc/a.wav": b"1"}), "holds '/etc/a.wav', expected"),
    "windows": ("a.zip", lambda: zipped({"C:\\a.wav": b"1"}), "holds 'C:/a.wav', expected names"),
    "backslashes": ("a.zip", lambda: zipped({"..\\a.wav": b"1"}), "holds '../a.wav', expected"),
    "symlink": ("a.tar", lambda: link(tarfile.SYMTYPE), "holds 'l.wav', a link or device"),
    "hard link": ("a.tar", lambda: link(tarfile.LNKTYPE), "holds 'l.wav', a link or device"),
    "device": ("a.tar", lambda: link(tarfile.CHRTYPE), "holds 'l.wav', a link or device"),
    "zip symlink": ("a.zip", zip_link, "holds 'l.wav', a link or device"),
    "nested": ("a.zip", lambda: zipped({"b.tar.gz": b"1"}), "holds 'b.tar.gz', an archive itself"),
    "nested zip": ("a.tar", lambda: tarred({"x/B.ZIP": b"1"}), "holds 'x/B.ZIP', an archive its"),
    "encrypted": ("a.zip", encrypted, "is encrypted, expected an open archive"),
    "lzma": ("a.zip", lambda: zipped(FILES, zipfile.ZIP_LZMA), "is packed by method 14, expected"),
    "no zip": ("a.zip", lambda: io.BytesIO(b"hello"), "cannot be unpacked (BadZipFile), expected"),
    "no tar": ("a.tar", lambda: io.BytesIO(b"hello" * 500), "cannot be unpacked (ReadError)"),
    "no gzip": ("a.tar.gz", lambda: tarred(FILES), "cannot be unpacked (BadGzipFile)"),
    "cut zip": ("a.zip", lambda: cut(zipped(FILES)), "cannot be unpacked"),
    "cut tar": ("a.tar", lambda: cut(tarred(FILES), 9000), "cannot be unpacked"),
    "cut gzip": ("a.tar.gz", lambda: cut(tarred(FILES, "w:gz")), "cannot be unpacked (EOFError)"),
    "damaged": ("a.zip", damaged, "cannot be unpacked"),
    "huge header": ("a.tar", huge_header, "has a header of 1073741824 bytes, expected at most"),
    "endless headers": ("a.tar", many_long_names, "cannot be unpacked (RecursionError)"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_mean_well_is_refused(case):
    name, make, message = BAD[case]
    with pytest.raises(Refusal) as refused:
        read(make(), name)
    assert refused.value.code is ErrorCode.INVALID_ARCHIVE
    assert refused.value.message.startswith(f"{name} {message}")


def lying_zip():
    """Its directory says that a megabyte of zeros is ten bytes."""
    data = bytearray(zipped({"a.wav": bytes(1_000_000)}).getvalue())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return io.BytesIO(bytes(data))


BOMBS = {
    "files": ("a.zip", lambda: zipped({f"{i}.wav": b"" for i in range(11)})),
    "folders": ("a.tar", lambda: tarred({f"{i}": b"" for i in range(200)}, type=tarfile.DIRTYPE)),
    "bytes": ("a.tar", lambda: tarred({"a.wav": bytes(600_000), "b.wav": bytes(600_000)})),
    "zeros in zip": ("a.zip", lambda: zipped({"a.wav": bytes(2_000_000)})),
    "zeros in gzip": ("a.tar.gz", lambda: tarred({"a.wav": bytes(2_000_000)}, "w:gz")),
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_are_refused_while_they_are_read(case):
    name, make = BOMBS[case]
    with pytest.raises(Refusal) as refused:
        read(make(), name, ArchiveLimits(files=10, bytes=1_000_000))
    assert refused.value.code is ErrorCode.UPLOAD_TOO_BIG


def test_sizes_are_counted_and_not_believed():
    with pytest.raises(Refusal):
        read(lying_zip(), "a.zip", ArchiveLimits(files=10, bytes=1_000_000_000))


def test_an_archive_may_unpack_only_in_proportion_to_its_size(monkeypatch):
    monkeypatch.setattr(archives, "_FREE_BYTES", 100_000)
    bomb = zipped({"a.wav": bytes(3_000_000)})
    assert len(zlib.compress(bytes(3_000_000))) * 500 < 3_000_000
    with pytest.raises(Refusal) as refused:
        read(bomb, "a.zip", ArchiveLimits(files=10, bytes=1_000_000_000))
    assert refused.value.message.startswith("a.zip unpacks to ")


def test_files_are_kept_under_numbers_and_named_apart(tmp_path):
    space = Space(tmp_path, LIMITS)
    uploads = [
        ("a.wav", io.BytesIO(b"one")),
        ("b.zip", zipped({"a.wav": b"two", "sub/a.wav": b"three"})),
        ("a.wav", io.BytesIO(b"four")),
    ]
    names, size = space.receive("job", uploads)
    assert names == ["a.wav", "a (2).wav", "sub/a.wav", "a (3).wav"]
    assert size == 15
    kept = []
    for i in range(4):
        with space.open("job", i) as file:
            kept.append(file.read())
    assert kept == [b"one", b"two", b"three", b"four"]
    space.scored("job", 0)
    space.scored("job", 0)
    space.drop("job")
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize(
    "uploads",
    [
        [("a.wav", io.BytesIO(b"x")), ("a.zip", io.BytesIO(b"no zip"))],
        [("a.zip", zipped(FILES)), ("b.zip", zipped(FILES))],
        [("a.zip", zipped({}))],
        [(f"{i}.wav", io.BytesIO(b"x")) for i in range(11)],
    ],
    ids=["bad archive", "two archives", "nothing", "too many"],
)
def test_nothing_is_kept_of_what_is_refused(tmp_path, uploads):
    space = Space(tmp_path, LIMITS)
    with pytest.raises(Refusal):
        space.receive("job", uploads)
    assert not list((tmp_path / "uploads").iterdir())
