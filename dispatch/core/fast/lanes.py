"""Eight float32 side by side, as one value of compiled code: a register of most machines, two of some.

What a compiler makes of a loop over a session's few periods hangs on lengths and overlaps it cannot know, and changes
with every line around it. Said in vectors, it is what is written. Loads and stores look at no bounds.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 8
_FLOAT, _INDEX = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
# Sums in any order and fused with products; as ``leaf.summing_leaf``.
_ANY_ORDER = ("reassoc", "contract", "nsz", "arcp")


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32 x {LANES}")


_LANES = _Lanes()


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Any) -> None:
        untyped: Any = super().__init__
        untyped(manager, lanes, _VECTOR)


def _instruction(typed: Callable[..., Any]) -> Callable[..., Any]:
    """What compiled code may call: types in, the type that comes of them and the builder of the instructions out."""
    callable_there: Callable[..., Any] = intrinsic(typed)
    return callable_there


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _address(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    first = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(first, [at]), ir.PointerType(_VECTOR))


@_instruction
def load(_typing: Any, array: Any, _at: Any) -> Any:
    """The lanes from an element of a float32 array."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = builder.load(_address(context, builder, signature.args[0], *args))
        lanes.align = 4
        return lanes

    return _LANES(array, types.uintp), build


@_instruction
def store(_typing: Any, array: Any, _at: Any, lanes: Any) -> Any:
    """Write the lanes from an element of a float32 array on."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, signature.args[0], args[0], args[1])).align = 4
        return context.get_dummy_value()

    return types.void(array, types.uintp, lanes), build


@_instruction
def splat(_typing: Any, _value: Any) -> Any:
    """One float32 in every lane."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        one = builder.insert_element(undefined, args[0], ir.Constant(_INDEX, 0))
        return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))

    return _LANES(types.float32), build


@_instruction
def clip(_typing: Any, lanes: Any) -> Any:
    """Nothing where below it, one where above."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        zero, one = _constant(0.0), _constant(1.0)
        above = builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)
        return builder.select(builder.fcmp_ordered("<", above, one), above, one)

    return _LANES(lanes), build


@_instruction
def ones_where_equal(_typing: Any, left: Any, right: Any) -> Any:
    """One where both are the same, else nothing."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("==", *args), _constant(1.0), _constant(0.0))

    return _LANES(left, right), build


@_instruction
def total(_typing: Any, lanes: Any) -> Any:
    """The lanes added up."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        add = builder.module.declare_intrinsic(f"llvm.vector.reduce.fadd.v{LANES}f32", (), kind)
        return builder.call(add, [ir.Constant(_FLOAT, 0.0), args[0]], fastmath=("reassoc",))

    return types.float32(lanes), build


def _arithmetic(symbol: Callable[..., Any], name: str) -> None:
    """Let compiled code write ``symbol`` between lanes, for LLVM's instruction ``name``."""

    @_instruction
    def lane_by_lane(_typing: Any, left: Any, right: Any) -> Any:
        def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args, flags=_ANY_ORDER)

        return _LANES(left, right), build

    @overload(symbol, strict=False)
    def typed(left: Any, right: Any) -> Any:
        def both(left: Any, right: Any) -> Any:
            return lane_by_lane(left, right)

        return both if isinstance(left, _Lanes) and isinstance(right, _Lanes) else None


for _symbol, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _arithmetic(_symbol, _name)
