"""Deflate (RFC 1951) of data that are runs of two bytes, 0 and 255, in turns.

A Huffman code for this one purpose: the longest repetition, 258 bytes, takes two bits, and a run 16 more at most.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

_LONGEST = 258  # bytes in a match, which repeats what stands before it
_END, _FIRST_MATCH, _LAST_MATCH, _LONGEST_MATCH = 256, 257, 284, 285  # symbols; those below are bytes
_CODE_BITS = {0: 3, 255: 3, _LONGEST_MATCH: 1} | {s: 6 if s > 281 else 7 for s in range(_END, _LONGEST_MATCH)}
# The lengths above in the order of their symbols, and 1 for the one distance, are stored in a code of their own.
_ZEROS = 18  # its symbol for 11 to 138 zeros
_STORED = [3, (_ZEROS, 138), (_ZEROS, 116), 3, *(_CODE_BITS[s] for s in range(_END, _LONGEST_MATCH + 1)), 1]
_STORED_BITS = {7: 1, 1: 3, 3: 3, 6: 3, _ZEROS: 3}
_STORED_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)

_Field = tuple[int, int]  # a number and its width in bits, written from the lowest bit on


def deflate_runs(lengths: NDArray[np.int64]) -> bytes:
    """One final block with runs of `lengths` (n,), each at least 1: of 0, of 255, of 0 and so on."""
    (codes, widths), (header, end) = _run_codes(), _frame()
    value = np.arange(len(lengths)) % 2
    matches, rest = np.divmod(lengths - 1, _LONGEST)
    # A byte, the rest of its repetitions, and the longest matches: each is two bits, of 0.
    code, width = codes[value, rest], widths[value, rest]
    ends = len(header) + np.cumsum(width + 2 * matches)
    begins = ends - width - 2 * matches
    stream = np.zeros(ends[-1] + len(end), np.uint8)  # a bit each
    stream[: len(header)] = header
    for bit in range(widths.max()):
        has = width > bit
        stream[begins[has] + bit] = code[has] >> bit & 1
    stream[ends[-1] :] = end
    return np.packbits(stream, bitorder="little").tobytes()


@functools.cache
def _run_codes() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The code and its width (2, 258) of a byte, 0 or 255, that is repeated 0 to 257 times."""
    symbols = _canonical(_CODE_BITS)
    codes, widths = np.zeros((2, 2, _LONGEST), np.int64)
    for row, byte in enumerate((0, 255)):
        literal = (symbols[byte], _CODE_BITS[byte])
        for repeated in range(_LONGEST):
            fields = [literal] * (1 + repeated) if repeated < 3 else [literal, *_match(repeated, symbols)]
            for number, width in fields:
                codes[row, repeated] |= number << widths[row, repeated]
                widths[row, repeated] += width
    return codes, widths


def _match(length: int, symbols: Mapping[int, int]) -> list[_Field]:
    """A match of 3 to 257 bytes at distance 1: its symbol, what the length is above the symbol's, and the distance."""
    for symbol in range(_LAST_MATCH, _FIRST_MATCH - 1, -1):
        step = symbol - _FIRST_MATCH
        extra_bits = max(0, step // 4 - 1)
        shortest = 3 + (step if step < 8 else (4 + step % 4) << extra_bits)
        if length >= shortest:
            return [(symbols[symbol], _CODE_BITS[symbol]), (length - shortest, extra_bits), (0, 1)]
    raise ValueError(f"a match has {length} bytes; expected 3 to 257")


@functools.cache
def _frame() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The bits before the runs, of a final block and its codes, and those after them."""
    symbols = _canonical(_STORED_BITS)
    fields = [(1, 1), (2, 2), (_LONGEST_MATCH - 256, 5), (0, 5), (len(_STORED_ORDER) - 4, 4)]
    fields += [(_STORED_BITS.get(symbol, 0), 3) for symbol in _STORED_ORDER]
    for stored in _STORED:
        symbol, count = stored if isinstance(stored, tuple) else (stored, None)
        fields.append((symbols[symbol], _STORED_BITS[symbol]))
        if count is not None:
            fields.append((count - 11, 7))
    return _bits(fields), _bits([(_canonical(_CODE_BITS)[_END], _CODE_BITS[_END])])


def _canonical(widths: Mapping[int, int]) -> dict[int, int]:
    """The Huffman code of each symbol by section 3.2.2, its first bit lowest."""
    code = last = 0
    codes = {}
    for width, symbol in sorted((width, symbol) for symbol, width in widths.items()):
        code <<= width - last
        codes[symbol] = int(f"{code:0{width}b}"[::-1], 2)
        code, last = code + 1, width
    return codes


def _bits(fields: Iterable[_Field]) -> NDArray[np.uint8]:
    return np.array([number >> bit & 1 for number, width in fields for bit in range(width)], np.uint8)
