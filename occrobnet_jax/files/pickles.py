"""Reads pickles without Python's pickle machine: nothing is imported, called or built on their word.

HO-3D's and H2O-3D's metadata, MANO's files and PyTorch's are pickles, some of Python 2. A pickle is a program; the
interpreter here knows only the instructions that build numbers, texts, lists, tuples, dictionaries and numpy arrays,
and what a reader allows besides, by name. All else ends in a ValueError. An array comes into being only when the
bytes of all its elements are there, and what a program copies is counted, so that memory and time stay in proportion
to the file.
"""

import collections
import dataclasses
import functools
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from occrobnet_jax.files.pickle_arrays import ElementType, as_bytes, element_type, exact_array, numpy_type, refuse
from occrobnet_jax.files.pickle_instructions import Program, next_instruction
from occrobnet_jax.files.shown import shown

MAX_INSTRUCTIONS = 1_000_000
MAX_INTEGER_KEY = 1_000_000  # of dictionaries; larger ones could be chosen to collide
MAX_NAME = 200  # characters of "module name"
COPIES = 4  # of the whole file are the most that a program may make
FREE_BYTES = 2**20  # and so much besides

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_RECONSTRUCT = frozenset(f"{module} _reconstruct" for module in _NUMPY)
_SCALAR = frozenset(f"{module} scalar" for module in _NUMPY)
_FROM_BUFFER = frozenset({"numpy.core.numeric _frombuffer", "numpy._core.numeric _frombuffer"})
_ARRAY, _DTYPE, _ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
_NEW_OBJECT = frozenset({"copy_reg _reconstructor", "copyreg _reconstructor"})
_OBJECT = frozenset({"__builtin__ object", "builtins object"})
_NO_BYTES = "__builtin__ bytes"  # how Python 3 writes b"" for Python 2
_PLAIN = frozenset({*_RECONSTRUCT, *_SCALAR, *_FROM_BUFFER, _ARRAY, _DTYPE, _ENCODE, *_NEW_OBJECT, *_OBJECT, _NO_BYTES})

_MARK = object()


@dataclasses.dataclass
class Inert:
    """What a pickle says about an object of a class that is not to be made: its name, and what belongs to it."""

    class_name: str  # "module Class"
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that the pickle refers to: "module name"."""

    name: str


Call = Callable[[tuple[Any, ...]], Any]
"""What the call of an allowed name stands for, from its arguments."""


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What a pickle may ask for beyond plain data."""

    calls: Mapping[str, Call] = dataclasses.field(default_factory=dict)  # by "module name"
    names: frozenset[str] = frozenset()  # "module name" that it may refer to and not call
    persistent: Callable[[Any], Any] | None = None  # what stands outside of the pickle, from its identity
    integer_keys: bool = False  # of dictionaries, from 0 to MAX_INTEGER_KEY


def load_plain(content: bytes, inert_classes: frozenset[str] = frozenset()) -> Any:
    """Return the value of a pickle of plain data and arrays; texts of Python 2 are read as Latin-1.

    Args:
        content: the pickle.
        inert_classes: "module Class" of objects that become `Inert` records; all others are refused.

    Raises:
        ValueError: it isn't such a pickle, or asks for anything else.
    """
    calls = {name: functools.partial(Inert, name) for name in inert_classes}
    return load_allowed(io.BytesIO(content), len(content), Allowed(calls))


def load_allowed(program: Program, size: int, allowed: Allowed) -> Any:
    """Return the value of the next pickle of a stream, which is left behind its end.

    Args:
        program: the stream.
        size: of the stream in bytes, which bounds what the pickle may copy.
        allowed: what it may ask for.

    Raises:
        ValueError: it is damaged, or asks for anything else.
    """
    try:
        return _Machine(allowed, size).run(program)
    except ValueError:
        raise
    except Exception as error:  # damaged programs fail in every way that the readers of their arguments know
        raise ValueError(f"damaged: {type(error).__name__} {shown(str(error))}") from error


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, allowed: Allowed, size: int) -> None:
        self._allowed = allowed
        self._known = _PLAIN | allowed.names | allowed.calls.keys()
        self._bytes_left = COPIES * size + FREE_BYTES
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, program: Program) -> Any:
        for _ in range(MAX_INSTRUCTIONS):
            name, argument = next_instruction(program)
            if name == "STOP":
                value = self._pop()
                if isinstance(value, (Global, ElementType)) or value is _MARK:
                    raise ValueError("holds no data")
                return value
            if name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            elif name in _VALUES:
                self._stack.append(argument)
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise ValueError(f"uses {name}, which plain data doesn't need")
        raise ValueError(f"has more than {MAX_INSTRUCTIONS:,} instructions")

    def _spend(self, count: int) -> None:
        """Count the bytes of a copy: one value may be copied again and again."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ValueError("makes more copies of its values than plain data needs")

    def _bytes(self, value: Any) -> bytes:
        if isinstance(value, (str, bytes, bytearray)):
            self._spend(len(value))
        return as_bytes(value)

    def _pop(self) -> Any:
        if not self._stack:
            raise ValueError("damaged: takes more than it has put down")
        return self._stack.pop()

    def _since_mark(self) -> list[Any]:
        for at in range(len(self._stack) - 1, -1, -1):
            if self._stack[at] is _MARK:
                taken = self._stack[at + 1 :]
                del self._stack[at:]
                return taken
        raise ValueError("damaged: a mark is missing")

    def _last(self, kind: type) -> Any:
        if not (self._stack and isinstance(self._stack[-1], kind)):
            raise ValueError(f"damaged: a {kind.__name__} is missing")
        return self._stack[-1]

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def pop(self, _: Any) -> None:
        self._pop()

    def list_(self, _: Any) -> None:
        self._stack.append(list(self._since_mark()))

    def empty_list(self, _: Any) -> None:
        self._stack.append([])

    def append(self, _: Any) -> None:
        value = self._pop()
        self._last(list).append(value)

    def appends(self, _: Any) -> None:
        values = self._since_mark()
        self._last(list).extend(values)

    def tuple_(self, _: Any) -> None:
        self._stack.append(tuple(self._since_mark()))

    def short_tuple(self, length: int) -> None:
        self._stack.append(tuple(reversed([self._pop() for _ in range(length)])))

    def dict_(self, _: Any) -> None:
        values = self._since_mark()
        self._stack.append({})
        self._set(values)

    def empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, values: list[Any]) -> None:
        target = self._last(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[self._key(key)] = value

    def _key(self, key: Any) -> str | int:
        """Return a key of a dictionary; no other types, since tuples are slow to hash and numbers may collide."""
        if type(key) is int and self._allowed.integer_keys and 0 <= key <= MAX_INTEGER_KEY:
            return key
        if not isinstance(key, (str, bytes)):
            raise ValueError(f"has a dictionary with a key of type {type(key).__name__}; texts are expected")
        self._spend(len(key))
        return key.decode("latin-1") if isinstance(key, bytes) else key

    def put(self, index: int) -> None:
        self._memo[index] = self._last(object)

    def memoize(self, _: Any) -> None:
        self.put(len(self._memo))

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError(f"damaged: refers to value {index}, which it has not put down")
        self._stack.append(self._memo[index])

    def global_(self, name: str) -> None:
        if name not in self._known:
            raise ValueError(f"asks for {shown(name.replace(' ', '.'))}, which is not plain data: it may be malicious")
        self._stack.append(Global(name))

    def stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) < MAX_NAME):
            raise ValueError("damaged: the name of what it asks for is no text")
        self.global_(f"{module} {name}")

    def persistent(self, _: Any) -> None:
        if self._allowed.persistent is None:
            raise ValueError("refers to data outside of it, which plain data doesn't")
        self._stack.append(self._allowed.persistent(self._pop()))

    def reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if not (isinstance(function, Global) and isinstance(arguments, tuple)):
            raise ValueError("calls something that is no known function")
        self._stack.append(self._made(function.name, arguments))

    def _made(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return what a call of one of the known names stands for."""
        if name in _RECONSTRUCT:
            return np.zeros(0, np.uint8)  # BUILD gives it its content
        if name == _DTYPE:
            return element_type(arguments)
        if name in _SCALAR:
            dtype, raw = arguments
            return exact_array((), numpy_type(dtype), self._bytes(raw), is_fortran=False)[()]
        if name in _FROM_BUFFER:
            raw, dtype, shape, order = arguments
            return exact_array(shape, numpy_type(dtype), self._bytes(raw), is_fortran=order == "F")
        if name == _ENCODE:
            text, encoding = arguments
            latin = encoding in ("latin1", "latin-1")
            return self._bytes(text) if latin else refuse(f"encodes text as {shown(encoding)}")
        if name == _NO_BYTES and not arguments:
            return b""
        if name in _NEW_OBJECT:
            (made, base, state) = arguments
            if not (isinstance(made, Global) and isinstance(base, Global) and base.name in _OBJECT and state is None):
                raise ValueError("builds an object that is not plain data")
            return self._made(made.name, ())
        if name in self._allowed.calls:
            return self._allowed.calls[name](arguments)
        raise ValueError(f"calls {name.replace(' ', '.')!r}, which is not plain data")

    def build(self, _: Any) -> None:
        state = self._pop()
        target = self._last(object)
        if isinstance(target, np.ndarray) and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, is_fortran, raw = state
            filled = exact_array(shape, numpy_type(dtype), self._bytes(raw), is_fortran=bool(is_fortran))
            # In place, since other parts of the pickle may refer to the array already.
            content: Any = (filled.shape, filled.dtype, bool(is_fortran), filled.tobytes("A"))
            target.__setstate__(content)
        elif isinstance(target, ElementType) and isinstance(state, tuple) and len(state) >= 5:
            if state[1] not in ("<", ">", "|", "=") or state[2] is not None or state[3] not in (None, ()):
                raise ValueError("has an array whose elements are not plain numbers")
            target.order = "|" if state[1] == "=" else state[1]
        elif isinstance(target, Inert) and isinstance(state, dict):
            self._spend(len(state))
            target.state |= state
        elif isinstance(target, collections.OrderedDict):
            pass  # its attributes, such as the versions of a PyTorch network's layers
        else:
            raise ValueError(f"sets the state of a {type(target).__name__}, which plain data doesn't need")


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "LIST": _Machine.list_,
    "EMPTY_LIST": _Machine.empty_list,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "TUPLE": _Machine.tuple_,
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "DICT": _Machine.dict_,
    "EMPTY_DICT": _Machine.empty_dict,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
