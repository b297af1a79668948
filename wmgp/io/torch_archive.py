"""Check the zip archive that torch.save writes before torch reads it.

torch does not check the records' checksums, nor that a record has the length the pickle states. Its memory-mapped
reading takes a compressed record for raw weights.
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

READ_BYTES = 1 << 20  # per read
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip member: signature, lengths of its name and of its extra field
ITEM_BYTES = {
    **dict.fromkeys(("ComplexDoubleStorage",), 16),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage", "QInt8Storage", "QUInt8Storage"), 1),
    "UntypedStorage": 1,
}
UNSUPPORTED_PROTOCOLS = range(4, 6)  # of pickle: torch does not read them with weights_only; its default is 2
MAX_EXPANSION = 16  # bytes of tensors per byte of the file: expanded tensors repeat their values
DAMAGED_ZIP = "not a complete zip archive; it may be truncated or damaged"
DAMAGED = "not a complete file of torch.save; it may be truncated or damaged"


def check_archive(path: Path, checksums: bool) -> None:
    """Raise InputError unless this is an intact archive of torch.save; `checksums`: verify those of all records."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = archive.infolist()
            _check_names(path, [member.filename for member in members])
            pickle_name, pickled = _read_pickle(members, file, archive.start_dir, checksums)
    except InputError:  # a ValueError too
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise InputError(f"{path}: {DAMAGED_ZIP}") from error
    check_protocol(path, pickled)
    sizes = {member.filename: member.file_size for member in members}
    _check_storages(path, pickle_name.removesuffix("data.pkl"), pickled, sizes)


def check_protocol(path: Path, pickled: bytes) -> None:
    """Raise InputError if the pickle begins with a protocol that torch does not read with weights_only."""
    if pickled[:1] == b"\x80" and len(pickled) > 1 and pickled[1] in UNSUPPORTED_PROTOCOLS:
        raise InputError(
            f"{path}: saved with pickle_protocol={pickled[1]}, which torch cannot read without running code; "
            "save it again with torch.save's default"
        )


def _check_names(path: Path, names: list[str]) -> None:
    """Raise InputError unless the members' names are those of one torch.save archive."""
    if any(name.endswith("/constants.pkl") for name in names):
        raise InputError(f"{path}: refused: a TorchScript archive is a program; save the module's state_dict instead")
    if sum(name.endswith("/data.pkl") for name in names) != 1:
        raise InputError(f"{path}: not a file of torch.save: it looks like {describe_archive(names)}")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: not a file of torch.save: its archive has members of the same name")


def _read_pickle(members: list[zipfile.ZipInfo], file: BinaryIO, end: int, checksums: bool) -> tuple[str, bytes]:
    """Name and content of the pickle. Raises ValueError unless every member is complete, uncompressed and separate."""
    pickle_name, pickled = "", b""
    members = sorted(members, key=lambda member: member.header_offset)
    limits = [member.header_offset for member in members[1:]] + [end]
    for member, limit in zip(members, limits, strict=True):
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError("compressed or encrypted")
        file.seek(member.header_offset)
        magic, name_length, extra_length = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        encoding = "utf-8" if member.flag_bits & 0x800 else "cp437"
        same_name = file.read(name_length) == member.orig_filename.encode(encoding)
        start = member.header_offset + LOCAL_HEADER.size + name_length + extra_length
        complete = member.file_size == member.compress_size and start + member.file_size <= limit
        if magic != b"PK\x03\x04" or not same_name or not complete:
            raise ValueError("a member does not match the archive's directory")
        is_pickle = member.filename.endswith("/data.pkl")
        file.seek(start)
        # torch writes a checksum of 0 if it was configured not to compute them.
        if (checksums or is_pickle) and member.CRC and member.CRC != _crc32(file, member.file_size):
            raise ValueError("a checksum differs")
        if is_pickle:
            file.seek(start)
            pickle_name, pickled = member.filename, file.read(member.file_size)
    return pickle_name, pickled


def _crc32(file: BinaryIO, length: int) -> int:
    """The CRC-32 of the next `length` bytes."""
    crc = 0
    while length > 0 and (block := file.read(min(length, READ_BYTES))):
        crc, length = zlib.crc32(block, crc), length - len(block)
    return crc


def _check_storages(path: Path, folder: str, pickled: bytes, sizes: dict[str, int]) -> None:
    """Raise InputError unless each storage that the pickle refers to has a record of exactly its length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's, about invalid escapes in damaged strings
        for reference in _persistent_ids(path, pickled):
            match reference:
                case ("storage", str(kind), str(key), _, int(n)):
                    item_bytes = ITEM_BYTES.get(kind.rpartition(" ")[2], 1)
                    if sizes.get(f"{folder}data/{key}") != n * item_bytes:
                        raise InputError(f"{path}: the storage {key!r} is not {n} values long; the file may be damaged")
                case _:
                    raise InputError(f"{path}: {DAMAGED}")


def _persistent_ids(path: Path, pickled: bytes) -> Iterator[Any]:
    """The pickle's references to objects outside it. Follows the pickle's stack without executing any opcode."""
    stack, memo, mark = [], {}, object()
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            name, pushed = opcode.name, opcode.stack_after
            if name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
                memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
                continue
            if name in ("BINGET", "LONG_BINGET", "GET"):
                stack.append(memo[argument])
                continue
            operands = _pop_operands(stack, opcode, mark)
            if name == "BINPERSID":
                yield operands[0]
            if name == "MARK":
                stack.append(mark)
            elif name.startswith("TUPLE") or name == "EMPTY_TUPLE":
                stack.append(tuple(operands))
            else:
                stack += [operands[0]] * len(pushed) if name == "DUP" else [argument] * len(pushed)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: {DAMAGED}") from error


def _pop_operands(stack: list[Any], opcode: pickletools.OpcodeInfo, mark: object) -> list[Any]:
    """Remove and return the stack entries that an opcode consumes; without the mark, if it consumes down to a mark."""
    before = opcode.stack_before
    if pickletools.markobject in before:
        mark_index = len(stack) - 1
        while stack[mark_index] is not mark:  # raises IndexError if there is no mark
            mark_index -= 1
        operands = stack[mark_index + 1 :]
        del stack[max(mark_index - before.index(pickletools.markobject), 0) :]
        return operands
    if len(before) > len(stack):
        raise IndexError("the stack is empty")
    operands = stack[len(stack) - len(before) :]
    del stack[len(stack) - len(before) :]
    return operands


def check_expansion(path: Path, tensors: dict[str, Any]) -> None:
    """Raise InputError if tensors repeat the file's values so often that they would not fit in memory."""
    bytes_left, seen = MAX_EXPANSION * path.stat().st_size + READ_BYTES, set()
    for name, tensor in tensors.items():
        if str(tensor.layout) != "torch.strided" or tensor.is_meta:
            continue  # the analysis rejects it by name
        if (memory := (tensor.data_ptr(), tensor.numel())) not in seen:
            seen.add(memory)
            bytes_left -= tensor.numel() * tensor.element_size()
        if bytes_left < 0:
            raise InputError(f"{path}: the tensor {name!r} repeats its values, more of them than the file could hold")
