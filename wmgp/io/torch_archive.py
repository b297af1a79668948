"""The archive that torch.save writes: judged before torch reads it, which takes much on trust.

torch asks neither whether a record's checksum holds, nor whether a record is as long as the pickle says, nor whether it
is compressed, which its mapped reading would take for weights.
"""

import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from .unsupported import describe_archive

BLOCK = 1 << 20  # bytes read at a time
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a member: signature, lengths of its name and of what follows that
ITEM_BYTES = {
    **dict.fromkeys(("ComplexDoubleStorage",), 16),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage", "QInt8Storage", "QUInt8Storage"), 1),
    "UntypedStorage": 1,
}
PROTOCOLS = range(4, 6)  # of pickle, which torch does not read as weights only; its own default is 2
DAMAGED_ZIP = "not a whole zip archive; it may be truncated or damaged"
DAMAGED = "not a whole file of torch.save; it may be truncated or damaged"


def check_archive(path: Path, checksums: bool) -> None:
    """Raise InputError unless the archive is torch.save's and sound; `checksums` asks for those of all its records."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = archive.infolist()
            _refuse_foreign(path, [member.filename for member in members])
            data = _sound(members, file, archive.start_dir, checksums)
    except InputError:  # it is a ValueError too
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise InputError(f"{path}: {DAMAGED_ZIP}") from error
    refuse_protocol(path, data[1])
    _check_storages(path, data, {member.filename: member.file_size for member in members})


def refuse_protocol(path: Path, pickled: bytes) -> None:
    """Raise InputError for a pickle of torch.save's that begins as one of a protocol later than torch reads."""
    if pickled[:1] == b"\x80" and len(pickled) > 1 and pickled[1] in PROTOCOLS:
        raise InputError(
            f"{path}: saved with pickle_protocol={pickled[1]}, of which torch reads no weights without running code; "
            "save it again with torch.save's default"
        )


def _refuse_foreign(path: Path, names: list[str]) -> None:
    if any(name.endswith("/constants.pkl") for name in names):
        raise InputError(f"{path}: refused: a TorchScript archive is a program; save the module's state_dict instead")
    if sum(name.endswith("/data.pkl") for name in names) != 1:
        raise InputError(f"{path}: not a file of torch.save: it looks like {describe_archive(names)}")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: not a file of torch.save: its archive has members of the same name")


def _sound(members: list[zipfile.ZipInfo], file: BinaryIO, end: int, checksums: bool) -> tuple[str, bytes]:
    """The name and the bytes of the pickle, once each member is known to lie whole, plain and alone in the file."""
    found = ("", b"")
    members = sorted(members, key=lambda member: member.header_offset)
    ends = [member.header_offset for member in members[1:]] + [end]
    for member, limit in zip(members, ends, strict=True):
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError("compressed or encrypted")
        file.seek(member.header_offset)
        magic, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        same = file.read(name) == member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")
        begin = member.header_offset + LOCAL_HEADER.size + name + extra
        whole = member.file_size == member.compress_size and begin + member.file_size <= limit
        if magic != b"PK\x03\x04" or not same or not whole:
            raise ValueError("a member is not where it should be")
        pickled = member.filename.endswith("/data.pkl")
        file.seek(begin)
        if (checksums or pickled) and member.CRC and member.CRC != _checksum(file, member.file_size):
            raise ValueError("a checksum does not hold")
        if pickled:
            file.seek(begin)
            found = (member.filename, file.read(member.file_size))
    return found


def _checksum(file: BinaryIO, length: int) -> int:
    """The CRC-32 of the next bytes (torch writes 0 where it was told not to take it)."""
    crc = 0
    while length > 0 and (block := file.read(min(length, BLOCK))):
        crc, length = zlib.crc32(block, crc), length - len(block)
    return crc


def _check_storages(path: Path, data: tuple[str, bytes], sizes: dict[str, int]) -> None:
    """Raise InputError where the pickle promises a storage that its record does not hold to the byte."""
    folder = data[0].removesuffix("data.pkl")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's advice on how a damaged string should have been written
        for promised in _persistent(path, data[1]):
            match promised:
                case ("storage", str(kind), str(key), _, int(n)):
                    item = ITEM_BYTES.get(kind.rpartition(" ")[2], 1)
                    if sizes.get(f"{folder}data/{key}") != n * item:
                        raise InputError(f"{path}: the storage {key!r} is not {n} values long; the file may be damaged")
                case _:
                    raise InputError(f"{path}: {DAMAGED}")


def _persistent(path: Path, data: bytes) -> Iterator[Any]:
    """What a pickle refers to outside itself: a walk over its instructions that carries none of them out."""
    stack, memo, mark = [], {}, object()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            name, put = opcode.name, opcode.stack_after
            if name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
                memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
                continue
            if name in ("BINGET", "LONG_BINGET", "GET"):
                stack.append(memo[argument])
                continue
            taken = _taken(stack, opcode, mark)
            if name == "BINPERSID":
                yield taken[0]
            if name == "MARK":
                stack.append(mark)
            elif name.startswith("TUPLE") or name == "EMPTY_TUPLE":
                stack.append(tuple(taken))
            else:
                stack += [taken[0]] * len(put) if name == "DUP" else [argument] * len(put)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: {DAMAGED}") from error


def _taken(stack: list[Any], opcode: pickletools.OpcodeInfo, mark: object) -> list[Any]:
    """The entries that an instruction takes off the stack; of a slice down to a mark, without the mark."""
    before = opcode.stack_before
    if pickletools.markobject in before:
        place = len(stack) - 1
        while stack[place] is not mark:  # before the first entry there is nothing: IndexError
            place -= 1
        taken = stack[place + 1 :]
        del stack[max(place - before.index(pickletools.markobject), 0) :]
        return taken
    if len(before) > len(stack):
        raise IndexError("nothing left to take")
    taken = stack[len(stack) - len(before) :]
    del stack[len(stack) - len(before) :]
    return taken


def check_room(path: Path, tensors: dict[str, Any]) -> None:
    """Raise InputError where tensors hold many times more values than their file: views that repeat what is there."""
    room, seen = 16 * path.stat().st_size + BLOCK, set()
    for name, tensor in tensors.items():
        if str(tensor.layout) != "torch.strided" or tensor.is_meta:
            continue  # refused by name where it is to be analysed
        if (place := (tensor.data_ptr(), tensor.numel())) not in seen:
            seen.add(place)
            room -= tensor.numel() * tensor.element_size()
        if room < 0:
            raise InputError(f"{path}: the tensor {name!r} repeats its values, more of them than the file could hold")
