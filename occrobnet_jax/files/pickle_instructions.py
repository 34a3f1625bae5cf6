"""The instructions of a pickle one by one, as the library's own tables describe them; see `pickles`."""

import codecs
import pickletools
from typing import IO, Any, Protocol, cast, runtime_checkable

_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}


@runtime_checkable
class Program(Protocol):
    """A stream of bytes whose `read` never makes room for more bytes than are left."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, or as many as are left."""

    def readline(self) -> bytes:
        """Return the bytes to the end of the line."""

    def tell(self) -> int:
        """Return the position."""


def next_instruction(program: Program) -> tuple[str, Any]:
    """Return the next instruction's name and argument.

    Raises:
        ValueError: there is none, or it is unknown; the readers of arguments raise others, too.
    """
    stream = cast(IO[bytes], program)  # the library's readers of arguments need no more of it
    code = stream.read(1)
    if not code:
        raise ValueError("ends before it is complete, perhaps an incomplete download")
    opcode = _OPCODES.get(code[0])
    if opcode is None:
        raise ValueError(f"has an unknown instruction at byte {stream.tell() - 1}: it is no pickle, or damaged")
    if opcode.name == "STRING":  # Python 2's own; the library's reader insists on ASCII
        quoted = pickletools.read_stringnl(stream, decode=False, stripquotes=True)
        return opcode.name, codecs.escape_decode(quoted)[0].decode("latin-1")
    return opcode.name, opcode.arg.reader(stream) if opcode.arg else None
