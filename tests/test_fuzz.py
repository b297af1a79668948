"""Any bytes give a correct result or a one-line error, in bounded time and memory, and run no code."""

import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import torch
from fuzzing import SAFETENSORS, TORCH, assert_same, budget, edited, edits, outcome, safetensors_bytes, zipped
from hypothesis import example, given
from hypothesis import strategies as st

import wmgp
from wmgp.io.checkpoints import open_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


# Safetensors

SIZES = st.sampled_from(
    [0, 1, 2, 3, 4, 12, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -1, 1.5, "3", None]
)
OFFSETS = st.sampled_from([0, 4, 8, 16, 48, 2**31, 2**63, 2**64 - 1, 2**64, -4, 4.0, "0", None, True])
KINDS = st.sampled_from(
    "F64 F32 F16 BF16 F8_E4M3 F8_E5M2 F8_E8M0 F4 F6_E2M3 I64 U8 BOOL C64 F99 f32".split() + [7, None]
)
NAMES = st.sampled_from(["a.weight", "b.bias", "__metadata__", "", "a\nb.weight", "\x1b[2J", "é", "steps", "w_orig"])


@st.composite
def entries(draw):
    """A tensor's entry, usually valid."""
    if draw(st.integers(0, 3)):
        n, begin = draw(st.integers(0, 4)), draw(st.sampled_from([0, 0, 16]))
        return {"dtype": "F32", "shape": draw(st.sampled_from([[n], [1, n], [n, 2**63 - 1, 0][: 1 if n else 3]])),
                "data_offsets": [begin, begin + 4 * n]}  # fmt: skip
    whole = {
        "dtype": draw(KINDS),
        "shape": draw(st.one_of(st.lists(SIZES, max_size=4), SIZES)),
        "data_offsets": draw(st.one_of(st.lists(OFFSETS, max_size=3), OFFSETS)),
    }
    return {key: value for key, value in whole.items() if draw(st.integers(0, 9))}


@st.composite
def headers(draw):
    """A header's text: a JSON object, possibly with repeated names, or invalid text."""
    pairs = draw(st.lists(st.tuples(NAMES, st.one_of(entries(), st.just({"format": "pt"}))), max_size=3))
    text = "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}"
    return draw(
        st.sampled_from([text, text, text, text + " ", text + "x", f"[{text}]", text.replace("0", "NaN")])
    ).encode()


def check_safetensors(scratch: Path, content: bytes) -> None:
    path = scratch / "x.safetensors"
    path.write_bytes(content)
    if (found := outcome(path)) is not None:
        assert_same(found, fuzzing.safetensors_says(path))


W = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HUGE = {"dtype": "F32", "shape": [2**63, 0], "data_offsets": [0, 0]}
TWICE = f'{{"w.weight": {json.dumps(W)}, "w.weight": {json.dumps(W)}}}'.encode()


@budget(250)
@given(headers(), st.sampled_from([0, 8, 16, 64]), st.sampled_from([None] * 8 + [0, 1, 10**6, 10**8, 2**63, 2**64 - 1]))
@example(json.dumps({"w.weight": HUGE, "a.weight": W}).encode(), 8, None)
@example(TWICE, 8, None)
@example(b'{"w.weight": ' + b"[" * 100_000, 0, None)
@example(b'{"__metadata__": ' * 200 + b"1" + b"}" * 200, 0, None)
def test_any_header_is_read_or_refused(scratch, header, size, length):
    check_safetensors(scratch, safetensors_bytes(header, b"\0\0\xc0\x7f\1\0\0\0" * (size // 8), length))


@budget(250)
@given(edits())
def test_edited_safetensors_are_read_or_refused(scratch, wanted):
    check_safetensors(scratch, edited(SAFETENSORS, wanted))


@pytest.mark.parametrize("content", [TWICE, json.dumps({"w.weight": HUGE, "a.weight": W}).encode()])
def test_invalid_headers_that_the_library_accepts_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(safetensors_bytes(content, bytes(8)))
    with pytest.raises(wmgp.InputError, match="occurs twice|absurd shape"):
        open_checkpoint(tmp_path / "x")


# Indices of shards

INSIDE = [
    *("a.safetensors", "./a.safetensors", "link.safetensors", "more/b.safetensors", "out/secret.safetensors"),
    *("a.safetensors/", "more//b.safetensors"),
]
TRAPS = ["", ".", "more", "x.index.json", "pipe", "gone.safetensors", "loop", "more/../a.safetensors"]
OUTSIDE = ["../secret.safetensors", "/etc/passwd", "C:\\x", "\\\\host\\x", "a\0b", "x" * 300, 3, None, ["a"]]
TARGETS = INSIDE + TRAPS + OUTSIDE


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """A folder of shards with traps: outward links, a link to itself and a pipe; a secret file lies outside."""
    outside = tmp_path_factory.mktemp("sharded")
    folder = outside / "model"
    (folder / "more").mkdir(parents=True)
    for place in ("a.safetensors", "more/b.safetensors", "../secret.safetensors"):
        header = json.dumps({f"{Path(place).stem}.weight": W}).encode()
        (folder / place).write_bytes(safetensors_bytes(header, struct.pack("<2f", 1, 2)))
    (folder / "link.safetensors").symlink_to("a.safetensors")
    (folder / "out").symlink_to(outside)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return folder


@budget(200)
@given(st.dictionaries(st.sampled_from(["a.weight", "b.weight", "secret.weight", "x\ny"]), st.sampled_from(TARGETS)))
def test_any_index_is_read_or_refused(sharded, table):
    index = sharded / "x.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    for path in (index, sharded):
        found = outcome(path)
        assert found is None or all(file in INSIDE for file in table.values())
        assert found is None or all(values.tolist() == [1, 2] for values in found.values())


@budget(150)
@given(edits())
def test_edited_indices_are_read_or_refused(sharded, wanted):
    text = json.dumps({"weight_map": {"a.weight": "a.safetensors", "b.weight": "more/b.safetensors"}}).encode()
    (sharded / "x.index.json").write_bytes(edited(text, wanted))
    found = outcome(sharded / "x.index.json")
    assert found is None or all(values.tolist() == [1, 2] for values in found.values())


def test_an_index_with_a_repeated_name_is_refused(sharded):
    (sharded / "x.index.json").write_text('{"weight_map": {"a.weight": "gone", "a.weight": "a.safetensors"}}')
    with pytest.raises(wmgp.InputError, match="weight_map"):
        open_checkpoint(sharded / "x.index.json")


# torch.save's files


def check_torch(scratch: Path, content: bytes) -> None:
    """Check that a file is refused or gives torch's tensors, from any of its mappings (other tests check which)."""
    path = scratch / "x.pt"
    path.write_bytes(content)
    witness = scratch / "witness"
    found = outcome(path)
    assert not witness.exists()
    if found is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of unusual files
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    state = loaded if found.keys() <= loaded.keys() else loaded[open_checkpoint(path).key]
    assert_same(found, {name: value for name, value in state.items() if isinstance(value, torch.Tensor)})


@budget(300)
@given(st.sampled_from(sorted(TORCH)), edits())
@example("legacy", [(0.0, "insert", 0), (0.0, "insert", 128)])  # torch warns of this protocol
@example("nested legacy", [(0.865234375, "flip", 6)])  # a signalling NaN
def test_edited_torch_files_are_read_or_refused(scratch, kind, wanted):
    check_torch(scratch, edited(TORCH[kind], wanted))


PICKLES = {kind: next(d for n, d in fuzzing.members(TORCH[kind]).items() if n.endswith("data.pkl"))
           for kind in ("zip", "nested zip")}  # fmt: skip
OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]


def repacked(kind: str, pickled: bytes) -> bytes:
    """The archive with another pickle and valid checksums."""
    content = fuzzing.members(TORCH[kind])
    return zipped([(name, pickled if name.endswith("data.pkl") else data) for name, data in content.items()])


@budget(300)
@given(st.sampled_from(sorted(PICKLES)), edits(3))
@example("nested zip", [(0.1171875, "set", 92)])  # Python warns of this escape
def test_edited_pickles_are_read_or_refused(scratch, kind, wanted):
    check_torch(scratch, repacked(kind, edited(PICKLES[kind], wanted)))


@st.composite
def other_instructions(draw):
    """A pickle with some instructions removed, doubled, swapped or given another argument."""
    kind = draw(st.sampled_from(sorted(PICKLES)))
    whole = PICKLES[kind]
    starts = [at for _, _, at in pickletools.genops(whole)] + [len(whole)]
    parts = [whole[a:b] for a, b in zip(starts, starts[1:], strict=False)]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(parts) - 1))
        how = draw(st.sampled_from(["drop", "double", "swap", "opcode", "number", "call"]))
        if how == "drop":
            parts[at] = b""
        elif how == "double":
            parts[at] *= 2
        elif how == "swap":
            other = draw(st.integers(0, len(parts) - 1))
            parts[at], parts[other] = parts[other], parts[at]
        elif how == "opcode":
            parts[at] = draw(st.sampled_from(OPCODES)) + parts[at][1:]
        elif how == "number" and parts[at][:1] in (b"K", b"M", b"J"):
            parts[at] = b"J" + struct.pack("<i", draw(st.sampled_from([-1, 0, 1, 3, 255, 65536, 2**31 - 1])))
        elif how == "call":
            parts[at] += b"cposix\nsystem\nX\x0d\0\0\0touch witness\x85R0"
    return kind, b"".join(parts)


@budget(400)
@given(other_instructions())
def test_pickles_with_other_instructions_are_read_or_refused(scratch, made):
    before = os.getcwd()
    os.chdir(scratch)
    try:
        check_torch(scratch, repacked(*made))
    finally:
        os.chdir(before)


def test_unedited_files_are_read(scratch):
    """The edits start from valid files."""
    for kind, content in TORCH.items():
        (scratch / "y.pt").write_bytes(content)
        found = outcome(scratch / "y.pt")
        assert found is not None, kind
        assert_same(found, fuzzing.weights())
    for kind, pickled in PICKLES.items():
        (scratch / "y.pt").write_bytes(repacked(kind, pickled))
        assert outcome(scratch / "y.pt") is not None
    (scratch / "y").write_bytes(SAFETENSORS)
    assert outcome(scratch / "y") is not None


def refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(wmgp.InputError, match=words) as caught:
        open_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")


def with_a_number(pickled: bytes, before: bytes, number: int) -> bytes:
    """Replace the first one-byte number after `before`."""
    at = pickled.index(before) + len(before)
    at = pickled.index(b"K", at)
    return pickled[:at] + b"J" + struct.pack("<i", number) + pickled[at + 2 :]


def test_inconsistent_records_are_refused(tmp_path):
    """A storage longer than its record, a compressed record, a repeated record and a wrong checksum."""
    content, path = fuzzing.members(TORCH["zip"]), tmp_path / "x.pt"
    data = next(name for name in content if name.endswith("data/0"))
    longer = with_a_number(PICKLES["zip"], b"FloatStorage", 16)
    refused(path, repacked("zip", longer), "the storage '0' is not 16 values long")
    refused(path, zipped(list(content.items()), zipfile.ZIP_DEFLATED), "not a complete zip archive")
    with pytest.warns(UserWarning, match="Duplicate name"):
        double = zipped([*content.items(), (data, bytes(48))])
    refused(path, double, "members of the same name")
    whole = TORCH["zip"]
    at = whole.index(content[data]) + 5
    refused(path, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], "not a complete zip archive")


@pytest.mark.skipif(not hasattr(torch.serialization, "set_crc32_options"), reason="needs a torch that can leave it out")
def test_files_without_checksums_are_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(fuzzing.weights(), tmp_path / "x.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert outcome(tmp_path / "x.pt") is not None


def test_large_expanded_tensors_are_refused(tmp_path):
    """A tensor of 10^12 values is expanded from one; small expanded tensors are read."""
    one = torch.ones(1)
    state = {"a.weight": one.expand(3, 2), "b.weight": one.expand(10**6, 10**6)}
    refused(tmp_path / "x.pt", fuzzing.torch_bytes(state), "'b.weight' repeats its values")
    refused(tmp_path / "x.pt", fuzzing.torch_bytes(state, legacy=True), "'b.weight' repeats its values")
    (tmp_path / "x.pt").write_bytes(fuzzing.torch_bytes({"a.weight": one.expand(3, 2)}))
    assert wmgp.analyze(tmp_path / "x.pt").n_parameters == 6


def test_recursive_mappings_are_read_or_refused(tmp_path):
    weight, path = torch.ones(2, 2), tmp_path / "x.pt"
    loop: dict[str, Any] = {"model": {"a.weight": weight}, "epoch": 1}
    loop["self"] = loop
    path.write_bytes(fuzzing.torch_bytes(loop))
    assert open_checkpoint(path).key == "model"
    pair: dict[str, Any] = {"steps": 1}
    for _ in range(60):  # 2**60 paths
        pair = {"a": pair, "b": pair}
    refused(path, fuzzing.torch_bytes(pair), "no state dict")
    deep: dict[str, Any] = {"model": {"a.weight": weight}}
    for _ in range(200):
        deep = {"in": deep}
    refused(path, fuzzing.torch_bytes(deep), "no state dict")
    many = {f"model{i}": {"a.weight": weight} for i in range(5000)}
    path.write_bytes(fuzzing.torch_bytes(many))
    with pytest.raises(wmgp.InputError, match="and 4980 more$"):
        open_checkpoint(path)


def test_mappings_with_replaced_methods_are_read(tmp_path):
    state = fuzzing.OrderedDict(fuzzing.weights())
    state.__dict__.update(xtems=3, xeys=4)  # names that torch can pickle, replaced below
    content = fuzzing.members(fuzzing.torch_bytes(state))
    made = [(n, d.replace(b"xtems", b"items").replace(b"xeys", b"keys")) for n, d in content.items()]
    (tmp_path / "x.pt").write_bytes(zipped(made))
    found = outcome(tmp_path / "x.pt")
    assert found is not None and list(found) == list(fuzzing.weights())


# Memory, in a separate process

MEASURED = """
import json, re, sys, torch
from pathlib import Path
from wmgp.io.checkpoints import open_checkpoint
import wmgp
def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) << 10
try: wmgp.analyze(sys.argv[1])
except wmgp.InputError: pass
for path in sys.argv[2:]:
    Path('/proc/self/clear_refs').write_text('5')
    before = peak()
    try: answer = wmgp.analyze(path).n_parameters
    except wmgp.InputError as error: answer = str(error)
    print(json.dumps([path, peak() - before, answer]))
"""


def bombs(folder: Path) -> list[Path]:
    """Write small files that would need much memory, each for another reason."""
    inflating = {**fuzzing.members(TORCH["zip"]), "archive/data/9": bytes(1 << 29)}
    pickled = pickle.PROTO + b"\x02}q\0" + b"X\x01\0\0\0wc__builtin__\nbytearray\n\x8a\x05\0\0\0\0\x40\x85Rs."
    legacy = TORCH["legacy"]
    made = {
        "deflated.pt": zipped(list(inflating.items()), zipfile.ZIP_DEFLATED),
        "inflated pickle.pt": zipped([("a/data.pkl", bytes(1 << 29)), ("a/version", b"3")], zipfile.ZIP_DEFLATED),
        "bytearray.pt": zipped([("a/data.pkl", pickled), ("a/version", b"3\n")]),
        "memo.pt": zipped([("a/data.pkl", b"\x80\x02}r\xff\xff\xff\x7f."), ("a/version", b"3\n")]),
        "long string.pt": b"\x80\x02" + b"X\xff\xff\xff\x7fabc.",
        "legacy storage.pt": with_a_number(legacy, b"FloatStorage", 2**31 - 1),
        "expanded.pt": fuzzing.torch_bytes({"w.weight": torch.ones(1).expand(1 << 15, 1 << 15)}),
        "expanded, other way.pt": fuzzing.torch_bytes({"w.weight": torch.ones(1, 9).expand(1 << 26, 9)}),
        "header.safetensors": safetensors_bytes(b"{" + b" " * (1 << 20), b"", 99_000_000),
        "shape.safetensors": safetensors_bytes(json.dumps({"w.weight": {**HUGE, "shape": [0, 2**62]}}).encode()),
        "index.json": b'{"weight_map": {' + b'"a": "b", ' * 100_000 + b'"z": "y"}}',
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in made]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's account of peak memory")
def test_memory_is_bounded_by_the_size_of_the_file(tmp_path):
    (tmp_path / "first.pt").write_bytes(TORCH["zip"])
    paths = bombs(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "first.pt", *paths], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    found = {Path(path).name: (grown, answer) for path, grown, answer in map(json.loads, run.stdout.splitlines())}
    assert len(found) == len(paths)
    for path in paths:
        grown, answer = found[path.name]
        assert isinstance(answer, str), f"{path.name}: {answer} parameters"
        assert grown < 32 * path.stat().st_size + (32 << 20), f"{path.name}: {grown:,} bytes"


def test_the_first_bytes_of_a_format_alone_are_refused(scratch):
    """Every single byte, and every magic number alone."""
    for head in (
        [bytes([n]) for n in range(256)]
        + [SAFETENSORS[:n] for n in range(1, 12)]
        + [b"PK\3\4", b"GGUF", b"\x08\x01\x12"]
    ):
        (scratch / "z").write_bytes(head)
        assert outcome(scratch / "z") is None
