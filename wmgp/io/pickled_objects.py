"""Look into a pickle that torch refuses to read, without running its code, and name what to save instead.

Every class and function in the pickle is replaced by an inert `Placeholder`; nothing is imported or called.
"""

import io
import math
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .quantized import reject_packed_params
from .state_dicts import MAX_DEPTH, is_optimizer
from .unsupported import DISTRIBUTED, ZERO_TO_FP32

MAX_BYTES = 1 << 24  # of a pickle; in a larger one the network is not located
MODULE_STATE = {"_parameters", "_modules"}  # attributes of every torch.nn.Module
LEGACY_HEADERS = 3  # pickles before the object in torch's old format: a magic number, a version and sizes of integers
LEGACY_NUMBER = 0x1950A86A20F9469CFC6C
GATHER = (
    "on all ranks, save torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
    "options=StateDictOptions(full_state_dict=True)) instead"
)


class Placeholder:
    """Stands for an object of the class or function ``path``, made with ``arguments``; ``state``: its attributes."""

    path = ""
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: Any, **_: Any) -> "Placeholder":
        self = object.__new__(cls)
        self.arguments = arguments
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, *_: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    extend = add = append


class InertUnpickler(pickle._Unpickler):  # pyright: ignore # the one in Python: C's allocates what a pickle states
    """Unpickles basic objects as themselves and everything else as a `Placeholder`."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self.dictionary = type("OrderedDict", (dict,), {})  # not shared: a pickle can set its attributes
        self.kinds: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        if path == "collections.OrderedDict":
            return self.dictionary
        return self.kinds.setdefault(path, type("Placeholder", (Placeholder,), {"path": path}))

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("module", kind, *_):  # a class, in torch's old format
                return kind
            case _:
                return Placeholder()


@dataclass(frozen=True)
class Candidate:
    """Tensors in a pickled object: ``expression`` gives them in Python, ``n`` is their number of values."""

    expression: str
    n: int
    is_numpy: bool = False


def explain(path: Path) -> str | None:
    """What to save instead of a pickled object that needs code; None if that cannot be told.

    Raises InputError for packed parameters of torch's quantised modules.
    """
    pickled = _pickled_bytes(path)
    if not pickled or len(pickled) > MAX_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, about invalid escapes in damaged strings
            root, is_torch_file = _unpickle(pickled)
    except Exception:  # a damaged pickle can raise anything
        return None
    return _advice(path, root, is_torch_file or zipfile.is_zipfile(path))


def _pickled_bytes(path: Path) -> bytes:
    """The pickle of a zip archive of torch.save, or the beginning of any other file."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith("/data.pkl") and m.file_size <= MAX_BYTES]
        return archive.read(members[0]) if len(members) == 1 else b""


def _unpickle(pickled: bytes) -> tuple[Any, bool]:
    """The object, and whether the file is in torch's old format."""
    file = io.BytesIO(pickled)
    first = _load(file)
    if first != LEGACY_NUMBER:
        return first, False
    for _ in range(LEGACY_HEADERS - 1):
        _load(file)
    return _load(file), True


def _load(file: io.BytesIO) -> Any:
    """One object. Every length in the pickle is checked first, so that none is larger than the file."""
    start = file.tell()
    for _ in pickletools.genops(file):
        pass
    file.seek(start)
    return InertUnpickler(file).load()


def _advice(path: Path, root: Any, is_torch_file: bool) -> str | None:
    if isinstance(root, Placeholder) and root.path.startswith("torch.distributed.checkpoint"):
        return f"it is a part of {DISTRIBUTED.format(folder=path.parent)}"
    if isinstance(root, dict) and {"ds_version", "ds_config"} & dict.keys(root):
        return f"it is {ZERO_TO_FP32}"
    if name := next(_distributed_tensors(root), None):
        return f"{name!r} is a DTensor, whose values are spread over several processes; {GATHER}"
    candidates = list(_candidates(path, "saved", root))
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: candidate.n)
    load = "torch.load(PATH, weights_only=False)" if is_torch_file else 'pickle.load(open(PATH, "rb"))'
    save = "safetensors.numpy.save_file" if best.is_numpy else "torch.save"
    return f"if you trust it, save only its tensors: saved = {load}, then {save}({best.expression}, NEW)"


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(dict.items(value))
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _candidates(path: Path, expression: str, root: Any) -> Iterator[Candidate]:
    """The modules and the mappings of names to tensors in an object."""
    searched, to_search = set(), [(expression, 0, root)]
    while to_search:
        expression, depth, value = to_search.pop()
        if (
            id(value) in searched
            or depth > MAX_DEPTH
            or is_optimizer(expression.rpartition("[")[2].strip("'\"]"), value)
        ):
            continue
        searched.add(id(value))
        if isinstance(value, Placeholder):
            if isinstance(value.state, dict) and dict.keys(value.state) >= MODULE_STATE:
                yield Candidate(f"{expression}.state_dict()", _count_values(value.state))
            continue
        if isinstance(value, dict):
            yield from _mapping_candidate(path, expression, value)
        inside = [(name, x) for name, x in _children(value) if isinstance(name, str | int)]
        to_search += [(f"{expression}[{_quoted(name)}]", depth + 1, x) for name, x in reversed(inside)]


def _quoted(name: str | int) -> str:
    return str(name) if isinstance(name, int) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mapping_candidate(path: Path, expression: str, mapping: dict[Any, Any]) -> Iterator[Candidate]:
    """The tensors or arrays in a mapping of names, without the other entries that need code."""
    reject_packed_params(path, {str(name): x for name, x in dict.items(mapping) if _size(x) is None})
    sizes = [size for x in dict.values(mapping) if (size := _size(x)) is not None]
    if not sizes or not all(isinstance(name, str) for name in mapping):
        return
    is_numpy = any(_is_array(x) for x in dict.values(mapping))
    if len(sizes) < len(mapping):
        check = "isinstance(v, numpy.ndarray)" if is_numpy else "torch.is_tensor(v)"
        expression = f"{{k: v for k, v in {expression}.items() if {check}}}"
    yield Candidate(expression, sum(sizes), is_numpy)


def _is_array(value: Any) -> bool:
    return isinstance(value, Placeholder) and value.path.endswith(("multiarray._reconstruct", "numeric._frombuffer"))


def _size(value: Any) -> int | None:
    """Number of values of a tensor or array; None for another object. The sizes stand in the arguments or the state."""
    if not isinstance(value, Placeholder):
        return None
    if value.path.startswith("torch._utils._rebuild_parameter"):
        return _size(value.arguments[0]) if value.arguments else None
    if value.path.startswith("torch._utils._rebuild") or value.path.endswith("numeric._frombuffer"):
        shape = value.arguments[2] if len(value.arguments) > 2 else ()
    elif _is_array(value):
        shape = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else ()
    else:
        return None
    is_shape = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape)
    return math.prod(shape) if is_shape else 0


def _count_values(root: Any) -> int:
    """Number of values of all tensors in a module's attributes."""
    n, searched, to_search = 0, set(), [root]
    while to_search:
        value = to_search.pop()
        if id(value) in searched:
            continue
        searched.add(id(value))
        if (size := _size(value)) is not None:
            n += size
        elif isinstance(value, Placeholder):
            to_search.append(value.state)
        else:
            to_search += [x for _, x in _children(value)]
    return n


def _distributed_tensors(root: Any) -> Iterator[str]:
    """The names of the DTensors in an object."""
    searched, to_search = set(), [("", root)]
    while to_search:
        name, value = to_search.pop()
        if id(value) in searched:
            continue
        searched.add(id(value))
        if isinstance(value, Placeholder):
            kinds = (value, *value.arguments)
            if any(str(getattr(kind, "path", "")).endswith(".DTensor") for kind in kinds):
                yield name
            continue
        to_search += [(str(key) if not name else f"{name}.{key}", x) for key, x in reversed(_children(value))]
