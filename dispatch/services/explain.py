"""Why an EVSE was told what it was told, as one reader may know it.

Its own DSRSP learns the reasons and which limits they name, and no price or power of the network: others' EVSEs stand
in those. A DNO and the platform see the network on the EVSE's path, and nothing that tells when its user is at home.
At the command line all of it is shown.
"""

from aggregator.core.errors import FlexError
from aggregator.core.small_numbers import SMALLEST_GROUP
from aggregator.models import EvseIdentity, NetworkNode, Organisation, as_platform
from aggregator.queries import nodes_seen_by
from dispatch.arrays.explain import Standing
from dispatch.core.explanation import Explanation
from dispatch.models import DispatchRun, IssuedSetpoint, Setpoint
from dispatch.queries import issued_setpoints_seen_by, setpoints_seen_by
from dispatch.services.explain_network import explain_network
from dispatch.services.explain_whole import Reader, explain_whole


class NotInRun(FlexError):
    code = "dispatch.not_in_run"


class AmbiguousEvse(FlexError):
    code = "dispatch.evse_ambiguous"


def explain_setpoint(*, run: DispatchRun, pseudonym: str, organisation: Organisation) -> Explanation | None:
    """Explain the setpoints of one EVSE in a run as an organisation may know it; None where it sees no setpoint."""
    setpoint = setpoints_seen_by(organisation).filter(run=run, evse__pseudonym=pseudonym).first()
    if setpoint is None:
        return None
    issued = issued_setpoints_seen_by(organisation).filter(run=run, evse=setpoint.evse_id).first()
    if setpoint.organisation_id != organisation.pk:
        return explain_network(setpoint, issued, organisation)
    with as_platform():
        return explain_whole(setpoint, issued, lambda standing: _dsrsp(standing, organisation))


def explain_to_operator(*, run: str, evse: str) -> Explanation:
    """Explain the setpoints of one EVSE in a run, all of it, to who runs the platform's machines.

    Args:
        run: number of the run, with ``run_`` before it or not.
        evse: pseudonym, or id at its CSMS.

    Raises:
        NotInRun: no such run, or it set nothing for such an EVSE.
        AmbiguousEvse: EVSEs of several CSMSs have this id.
    """
    digits = run.removeprefix("run_")
    found = DispatchRun.objects.filter(pk=int(digits)).first() if digits.isascii() and digits.isdigit() else None
    if found is None:
        raise NotInRun(f"no run {run!r}; expected a number such as 17, or run_17", run=run)
    setpoints = Setpoint.objects.across_tenants().filter(run=found).select_related("evse", "run")
    setpoint = setpoints.filter(evse__pseudonym=evse).first()
    if setpoint is None:
        setpoint = setpoints.filter(evse=_by_csms_ref(evse, found)).first()
    if setpoint is None:
        raise NotInRun(f"run {found.pk} set nothing for EVSE {evse!r}", run=found.pk, evse=evse)
    issued = IssuedSetpoint.objects.across_tenants().filter(run=found, evse=setpoint.evse_id).first()
    return explain_whole(setpoint, issued, _everything)


def _by_csms_ref(ref: str, run: DispatchRun) -> int:
    known = EvseIdentity.objects.across_tenants().filter(csms_ref=ref)
    found = list(known.select_related("evse", "csms"))
    if not found:
        raise NotInRun(
            f"no EVSE is called {ref!r}; expected a pseudonym or an id at a CSMS, as the run's page has them",
            run=run.pk,
            evse=ref,
        )
    if len(found) > 1:
        several = ", ".join(f"{one.csms.code}: {one.evse.pseudonym}" for one in found)
        raise AmbiguousEvse(f"{len(found)} EVSEs are called {ref!r}: {several}; name the pseudonym", evse=ref)
    return found[0].evse_id


def _everything(standing: Standing) -> Reader:
    codes = frozenset(row.node.code for row in standing.nodes)
    return Reader(codes, codes, frozenset(one.signal_id for one in standing.requests))


def _dsrsp(standing: Standing, organisation: Organisation) -> Reader:
    """A DSRSP may know which node is full where it sees the node and no handful of others' homes is told by it."""
    codes = [row.node.code for row in standing.nodes]
    seen = set(nodes_seen_by(organisation).filter(code__in=codes).values_list("code", flat=True))
    named = {code for code in seen if _is_of_many(standing, code, organisation)}
    return Reader(frozenset(named), frozenset(), frozenset())


def _is_of_many(standing: Standing, code: str, organisation: Organisation) -> bool:
    """Whether at least five EVSEs stand in a node's sum, or none that is another's."""
    run, below = standing.nodes[0].run, [code]
    everyone = Setpoint.objects.across_tenants().filter(run=run)
    n_evse = n_others = 0
    while below and n_evse < SMALLEST_GROUP:
        here = everyone.filter(evse__node__code__in=below)
        n_evse += here[:SMALLEST_GROUP].count()
        n_others += here.exclude(organisation=organisation)[:SMALLEST_GROUP].count()
        below = list(NetworkNode.objects.filter(parent__code__in=below).values_list("code", flat=True))
    return n_evse >= SMALLEST_GROUP or n_others == 0
