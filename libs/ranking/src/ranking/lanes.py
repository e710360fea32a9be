"""Vector steps, written in LLVM IR because Numba can't express them; they give the same bits on any CPU.

A row is a bit of a 64-bit word. `LANES` rows are compared at once, and a tree processes `WORDS` words at once.
`add_leaf_values` is for CPUs that `CAN_ADD`.
"""

# mypy: disable-error-code="no-untyped-call"
# ruff: noqa: ARG001 - a step's parameters define its signature; its code generator gets their values.

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from ranking.jit import compiled

LANES = 16
WORDS = 4
ROWS = 64 * WORDS
# The groups that `number_leaves` processes at once, and the bits of its numbers.
GROUPS = 8
NUMBER_BITS = 6
# The sums that `add_leaf_values` processes at once, and the values that it chooses from.
SUMS = 8
LOOKED_UP = 32
# Other CPUs can't select from values in their registers.
CAN_ADD = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]

_INT8, _INT32, _INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_FLOATS, _FOUR = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.FloatType(), 4)
_MASKS = ir.VectorType(_INT64, WORDS)
_DOUBLES, _LONGS = ir.VectorType(ir.DoubleType(), SUMS), ir.VectorType(_INT64, SUMS)
_BYTES = ir.VectorType(_INT8, 64)
_BITS = ir.VectorType(ir.IntType(1), 64)


@compiled
def round_up_to_lanes(rows: int) -> int:
    """Return the number of rows that a column is padded to."""
    return (rows + LANES - 1) // LANES * LANES


# Called by Numba to generate the code of one use: (context, builder, signature, arguments) → value.
_Codegen = Callable[[Any, Any, Any, Any], Any]


def _step(typed: Callable[..., tuple[Any, _Codegen]]) -> Callable[..., Any]:
    """Make a step that compiled code can call; `typed` gets the types of its arguments after Numba's context."""
    return cast("Callable[..., Any]", intrinsic(typed))


@_step
def zero_nan_and_find_range(_typing: Any, column: Any, start: Any, stop: Any) -> tuple[Any, _Codegen]:
    """Replace NaN in column[start:stop] (float32, whole lanes) by 0, as LightGBM does; return minimum and maximum."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = _data(context, builder, signature.args, arguments, 0)
        least = _slot(builder, ir.Constant(_FLOATS, [float("inf")] * LANES))
        greatest = _slot(builder, ir.Constant(_FLOATS, [float("-inf")] * LANES))
        with cgutils.for_range_slice(builder, arguments[1], arguments[2], ir.Constant(_INT64, LANES)) as (at, _):
            where = _vector_at(builder, data, at, _FLOATS)
            value = builder.load(where, align=4)
            nan = builder.fcmp_unordered("uno", value, value)
            value = builder.select(nan, ir.Constant(_FLOATS, [0.0] * LANES), value)
            builder.store(value, where, align=4)
            for slot, order in ((least, "<"), (greatest, ">")):
                best = builder.load(slot)
                builder.store(builder.select(builder.fcmp_ordered(order, value, best), value, best), slot)
        found = [_across(builder, builder.load(slot), order) for slot, order in ((least, "<"), (greatest, ">"))]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.float32, 2)(column, types.intp, types.intp), codegen


@_step
def set_bits_above(_typing: Any, column: Any, start: Any, threshold: Any, out: Any, place: Any) -> tuple[Any, _Codegen]:
    """Set out[place] (uint16) to the bits of the rows in column[start:][:LANES] (float32) that are > threshold."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = builder.load(
            _vector_at(builder, _data(context, builder, signature.args, arguments, 0), arguments[1], _FLOATS), align=4
        )
        higher = builder.fcmp_ordered(">", values, _splat(builder, arguments[2], _FLOATS))
        out = _data(context, builder, signature.args, arguments, 3)
        builder.store(builder.bitcast(higher, ir.IntType(LANES)), builder.gep(out, [arguments[4]]))
        return context.get_dummy_value()

    return types.void(column, types.intp, types.float32, out, types.intp), codegen


class Split(NamedTuple):
    """The test of a node, and the nodes that its rows go to: numbers of groups, of any type of integer."""

    test: int
    left: int
    right: int


@_step
def split_rows(_typing: Any, reach: Any, node: Any, tests: Any, split: Any) -> tuple[Any, _Codegen]:
    """Pass the rows that reach a node on: to the right if their bit of the test is set, else to the left.

    `reach` and `tests` are uint64 in groups of WORDS; `node` is the number of a group, and `split` is a `Split`.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = zip(cgutils.unpack_tuple(builder, arguments[3]), signature.args[3].types, strict=True)
        node, test, left, right = (
            builder.mul(number, ir.Constant(_INT64, WORDS))
            for number in (arguments[1], *(context.cast(builder, *number, types.intp) for number in numbers))
        )
        reach = _data(context, builder, signature.args, arguments, 0)
        tests = _data(context, builder, signature.args, arguments, 2)
        rows = builder.load(_vector_at(builder, reach, node, _MASKS), align=8)
        goes_right = builder.load(_vector_at(builder, tests, test, _MASKS), align=8)
        builder.store(builder.and_(rows, builder.not_(goes_right)), _vector_at(builder, reach, left, _MASKS), align=8)
        builder.store(builder.and_(rows, goes_right), _vector_at(builder, reach, right, _MASKS), align=8)
        return context.get_dummy_value()

    return types.void(reach, types.intp, tests, split), codegen


@_step
def number_leaves(_typing: Any, reach: Any, first: Any, count: Any, out: Any, place: Any) -> tuple[Any, _Codegen]:
    """Set out[place:][:ROWS] (uint8) to the number of the group, from `first` on, that contains each row's bit.

    Clears the groups up to the next multiple of `GROUPS`. The numbers are computed bit by bit: a bit of all rows'
    numbers is the union of the groups whose own number has that bit.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        reach = _data(context, builder, signature.args, arguments, 0)
        nobody = ir.Constant(_MASKS, [0] * WORDS)
        bits = [_slot(builder, nobody) for _ in range(NUMBER_BITS)]
        low = GROUPS.bit_length() - 1

        def group(number: Any) -> Any:
            place = builder.mul(builder.add(arguments[1], number), ir.Constant(_INT64, WORDS))
            return _vector_at(builder, reach, place, _MASKS)

        whole = builder.and_(builder.add(arguments[2], ir.Constant(_INT64, GROUPS - 1)), ir.Constant(_INT64, -GROUPS))
        with cgutils.for_range_slice(builder, arguments[2], whole, ir.Constant(_INT64, 1)) as (past, _):
            builder.store(nobody, group(past), align=8)
        with cgutils.for_range_slice(builder, ir.Constant(_INT64, 0), whole, ir.Constant(_INT64, GROUPS)) as (at, _):
            rows = [
                builder.load(group(builder.add(at, ir.Constant(_INT64, number))), align=8) for number in range(GROUPS)
            ]
            for bit in range(low):
                mine = [each for number, each in enumerate(rows) if number >> bit & 1]
                _include(builder, bits[bit], reduce(builder.or_, mine))
            anybody = reduce(builder.or_, rows)
            for bit in range(low, NUMBER_BITS):
                has = builder.trunc(builder.lshr(at, ir.Constant(_INT64, bit)), ir.IntType(1))
                _include(builder, bits[bit], builder.select(has, anybody, nobody))
        out = _data(context, builder, signature.args, arguments, 3)
        for word in range(WORDS):
            numbers = ir.Constant(_BYTES, [0] * 64)
            for bit, slot in enumerate(bits):
                rows = builder.extract_element(builder.load(slot), ir.Constant(_INT32, word))
                with_bit = builder.or_(numbers, ir.Constant(_BYTES, [1 << bit] * 64))
                numbers = builder.select(builder.bitcast(rows, _BITS), with_bit, numbers)
            at = builder.add(arguments[4], ir.Constant(_INT64, 64 * word))
            builder.store(numbers, _vector_at(builder, out, at, _BYTES), align=1)
        return context.get_dummy_value()

    return types.void(reach, types.intp, types.intp, out, types.intp), codegen


def _include(builder: Any, slot: Any, rows: Any) -> None:
    builder.store(builder.or_(builder.load(slot), rows), slot)


class Leaves(NamedTuple):
    """The `values` (float64) of several trees' leaves; each of the `firsts` is the place of a tree's first leaf."""

    values: NDArray[np.float64]
    firsts: tuple[np.int64, ...]


@_step
def add_leaf_values(_typing: Any, sums: Any, start: Any, stop: Any, numbers: Any, leaves: Any) -> tuple[Any, _Codegen]:
    """Add values[first + number] to each of sums[start:stop] (float64), for each of the `firsts` of `Leaves` in turn.

    `numbers` (uint8, less than LOOKED_UP) has ROWS numbers for each first. Processes whole SUMS and reads whole
    LOOKED_UP.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, numbers = (_data(context, builder, signature.args, arguments, which) for which in (0, 3))
        parts = cgutils.unpack_tuple(builder, arguments[4])
        values = _data(context, builder, signature.args[4], parts, 0)
        tables = [
            [
                builder.load(
                    _vector_at(builder, values, builder.add(first, ir.Constant(_INT64, part)), _DOUBLES), align=8
                )
                for part in range(0, LOOKED_UP, SUMS)
            ]
            for first in cgutils.unpack_tuple(builder, parts[1])
        ]
        with cgutils.for_range_slice(builder, arguments[1], arguments[2], ir.Constant(_INT64, SUMS)) as (at, _):
            where = _vector_at(builder, sums, at, _DOUBLES)
            total = builder.load(where, align=8)
            row = builder.sub(at, arguments[1])
            for number, table in enumerate(tables):
                place = builder.add(row, ir.Constant(_INT64, number * ROWS))
                mine = builder.load(_vector_at(builder, numbers, place, ir.VectorType(_INT8, SUMS)), align=1)
                total = builder.fadd(total, _looked_up(builder, table, builder.zext(mine, _LONGS)))
            builder.store(total, where, align=8)
        return context.get_dummy_value()

    return types.void(sums, types.intp, types.intp, numbers, leaves), codegen


def _looked_up(builder: Any, table: list[Any], places: Any) -> Any:
    """Return the values at 8 indices of a table of 32, which is 4 vectors."""
    kind = ir.FunctionType(_DOUBLES, [_DOUBLES, _LONGS, _DOUBLES])
    permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.pd.512")
    low, high = (builder.call(permute, [table[half], places, table[half + 1]]) for half in (0, 2))
    is_high = builder.icmp_unsigned(">=", places, ir.Constant(_LONGS, [2 * SUMS] * SUMS))
    return builder.select(is_high, high, low)


@_step
def four_sums(_typing: Any, left: Any, start: Any, right: Any, other: Any, count: Any) -> tuple[Any, _Codegen]:
    """Return four sums, each of every fourth product of left[start:][:count] and right[other:][:count].

    Both are float32 [n, d] in row-major order; `count` is a multiple of 4. LLVM doesn't vectorize a Numba loop with
    four sums.
    """
    if not all(array.layout == "C" and array.dtype == types.float32 for array in (left, right)):
        raise TypingError("vectors must be float32, row after row")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = [_data(context, builder, signature.args, arguments, which) for which in (0, 2)]
        sums = _slot(builder, ir.Constant(_FOUR, [0.0] * 4))
        begin, step = ir.Constant(_INT64, 0), ir.Constant(_INT64, 4)
        with cgutils.for_range_slice(builder, begin, arguments[4], step) as (at, _):
            places = (builder.add(first, at) for first in (arguments[1], arguments[3]))
            values = [
                builder.load(_vector_at(builder, data, place, _FOUR), align=4)
                for data, place in zip(vectors, places, strict=True)
            ]
            builder.store(builder.fadd(builder.load(sums), builder.fmul(*values)), sums)
        found = builder.load(sums)
        lanes = [builder.extract_element(found, ir.Constant(_INT64, lane)) for lane in range(4)]
        return context.make_tuple(builder, signature.return_type, lanes)

    return types.UniTuple(types.float32, 4)(left, types.intp, right, types.intp, types.intp), codegen


def _data(context: Any, builder: Any, kinds: Any, values: Any, which: int) -> Any:
    """Return the pointer to the first element of an array among these values."""
    return context.make_array(kinds[which])(context, builder, values[which]).data


def _slot(builder: Any, value: Any) -> Any:
    """Return a local variable with this initial value; LLVM puts it into a register."""
    slot = cgutils.alloca_once(builder, value.type)
    builder.store(value, slot)
    return slot


def _vector_at(builder: Any, data: Any, index: Any, kind: ir.VectorType) -> Any:
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _splat(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    """Return a vector with one value in all lanes."""
    unset = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(unset, value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, unset, ir.Constant(ir.VectorType(_INT32, kind.count), [0] * kind.count))


def _across(builder: Any, vector: Any, order: str) -> Any:
    """Reduce a vector to the lane that comes first in an order, by halving."""
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        halves = [
            builder.shuffle_vector(
                vector,
                ir.Constant(vector.type, ir.Undefined),
                ir.Constant(ir.VectorType(_INT32, lanes), list(range(half, half + lanes))),
            )
            for half in (0, lanes)
        ]
        vector = builder.select(builder.fcmp_ordered(order, *halves), *halves)
    return builder.extract_element(vector, ir.Constant(_INT32, 0))
