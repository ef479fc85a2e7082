"""Network files: an LV network of cables in neutral form, or a tree of limits as we state it ourselves."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aggregator.adapters.bounded import BoundedFile, FileRefused, Limits
from aggregator.adapters.json_fields import Fields, parse_json
from aggregator.core.lv_network import LvCustomer, LvLine, LvNetwork, LvTransformer, tree_of
from aggregator.core.network_draft import (
    DEFAULT_ADMD_KW,
    DEFAULT_POWER_FACTOR,
    KINDS,
    PHASES,
    NetworkDraft,
    NodeDraft,
    RatingDraft,
    parents_first,
)

MAX_JSON = Limits(max_bytes=256 * 2**20)
LV_KEYS = (
    *("name", "kind", "frequency_hz", "nominal_ll_v", "source", "source_pu", "licence", "ampacity_note"),
    *("transformers", "nodes", "lines", "customers"),
)
NODE_KEYS = (
    *("code", "name", "kind", "parent", "phase", "rating_kva", "power_factor", "cyclic_factor", "diversity"),
    *("ramp_kw", "n_customers", "admd_kw", "valid_from"),
)


class NetworkFile:
    """A network as its file states it."""

    def __init__(self, name: str, sha256: str, draft: NetworkDraft, unknown: tuple[str, ...]) -> None:
        self.name, self.sha256, self.draft, self.unknown = name, sha256, draft, unknown


def read_network(path: Path, *, parent: str | None = None) -> NetworkFile:
    """Read a network file of either form.

    Args:
        parent: code of the primary substation above the transformers of an LV network.

    Raises:
        FileRefused: no such file, no JSON, or a value that can't be taken, named by its place.
        InvalidNetwork: values that contradict each other.
    """
    try:
        with path.open("rb") as stream:
            file = BoundedFile(stream, path.name, limits=MAX_JSON)
            fields = parse_json(file.text(), path.name)
    except OSError as error:
        raise FileRefused(f"{path}: can't be read ({error.strerror})") from error
    if "transformers" in fields:
        draft, unknown = tree_of(_lv_network(fields), parent=parent), fields.unknown(LV_KEYS)
    elif "nodes" in fields:
        draft, unknown = _tree(fields)
    else:
        raise FileRefused(f"{path.name}: has neither transformers (an LV network) nor nodes (a tree of limits)")
    return NetworkFile(path.name, file.sha256(), draft, tuple(unknown))


def _lv_network(fields: Fields) -> LvNetwork:
    known = {node.identifier("id") for node in fields.objects("nodes")}
    transformers = tuple(
        LvTransformer(item.identifier("id"), item.identifier("lv_bus"), item.number("rating_kva", above=0))
        for item in fields.objects("transformers")
    )
    known |= {transformer.lv_bus for transformer in transformers}
    return LvNetwork(
        name=fields.text("name", max_length=40),
        nominal_ll_v=fields.number("nominal_ll_v", above=0),
        source=fields.text("source", ""),
        ampacity_note=fields.text("ampacity_note", ""),
        transformers=transformers,
        lines=tuple(_line(item, known) for item in fields.objects("lines")),
        customers=tuple(_customer(item, known) for item in fields.objects("customers")),
    )


def _known(item: Fields, key: str, known: set[str]) -> str:
    node = item.identifier(key)
    if node not in known:
        item.refuse(key, "the id of a node")
    return node


def _line(item: Fields, known: set[str]) -> LvLine:
    return LvLine(
        id=item.identifier("id"),
        from_node=_known(item, "from", known),
        to_node=_known(item, "to", known),
        ampacity_a=item.number("ampacity_a", above=0, most=100_000) if "ampacity_a" in item else None,
        closes_loop=item.truth("closes_loop"),
    )


def _customer(item: Fields, known: set[str]) -> LvCustomer:
    phase = item.choice("phase", ["A", "B", "C", "ABC", ""], "")
    demand_kw = item.number("p_kw", 0.0, above=-1e-9, most=1e6)
    return LvCustomer(
        id=item.identifier("id"),
        node=_known(item, "node", known),
        phase=phase if phase in ("A", "B", "C") else "",  # type: ignore[arg-type]
        # Beside a profile p_kw only scales it; alone it is the demand the network was planned for.
        demand_kw=None if "profile" in item or "p_kw" not in item else demand_kw,
    )


def _tree(fields: Fields) -> tuple[NetworkDraft, list[str]]:
    items = fields.objects("nodes")
    unknown = fields.unknown(["nodes"]) + sorted({f"nodes.{key}" for item in items for key in item.unknown(NODE_KEYS)})
    return NetworkDraft(parents_first([_tree_node(item) for item in items])), unknown


def _tree_node(item: Fields) -> NodeDraft:
    kind = item.choice("kind", KINDS)
    return NodeDraft(
        code=item.text("code", max_length=80) or item.refuse("code", "a code"),
        kind=kind,
        parent=item.text("parent", max_length=80) if "parent" in item else None,
        name=item.text("name", ""),
        phase=item.choice("phase", PHASES) if kind == "phase" else item.choice("phase", [""], ""),
        n_customers=item.whole("n_customers", 0),
        admd_kw=item.number("admd_kw", DEFAULT_ADMD_KW, above=-1e-9, most=1_000),
        rating=_rating(item) if "rating_kva" in item else None,
    )


def _rating(item: Fields) -> RatingDraft:
    return RatingDraft(
        rating_kva=item.number("rating_kva", above=0),
        power_factor=item.number("power_factor", DEFAULT_POWER_FACTOR, above=0, most=1),
        cyclic_factor=item.number("cyclic_factor", 1.0, above=0, most=2),
        diversity=item.number("diversity", 1.0, above=0, most=1),
        ramp_kw=item.number("ramp_kw", above=-1e-9) if "ramp_kw" in item else None,
        valid_from=_aware(item.instant("valid_from")),
    )


def _aware(at: np.datetime64 | None) -> datetime | None:
    return None if at is None else at.astype(datetime).replace(tzinfo=UTC)
