"""Who may do what: one table, from which the walls, the menus and the page docs/roles.md are made."""

from enum import StrEnum


class Role(StrEnum):
    OPERATOR = "operator"
    ADMIN = "admin"
    CONTROL_ROOM_OPERATOR = "control_room_operator"
    CONTROL_ROOM_SUPERVISOR = "control_room_supervisor"
    MARKET_OPERATOR = "market_operator"
    AUDITOR = "auditor"
    PLATFORM_ADMIN = "platform_admin"


class Action(StrEnum):
    """What a page or an operation of the API does; each names exactly one."""

    SEE_OVERVIEW = "see_overview"
    SEE_ORGANISATIONS = "see_organisations"
    SEE_NETWORK = "see_network"
    CHANGE_LIMITS = "change_limits"
    SEE_FLEET = "see_fleet"
    REGISTER_FLEET = "register_fleet"
    SEE_SESSIONS = "see_sessions"
    SEE_READINGS = "see_readings"
    SEND_READINGS = "send_readings"
    SEE_TARIFFS = "see_tariffs"
    SEE_FORECASTS = "see_forecasts"
    SEE_REQUESTS = "see_requests"
    REQUEST_DISPATCH = "request_dispatch"
    SEE_MARKETS = "see_markets"
    BUY_FLEX = "buy_flex"
    OFFER_FLEX = "offer_flex"
    SEE_RUNS = "see_runs"
    SEE_SETPOINTS = "see_setpoints"
    SEE_STATEMENTS = "see_statements"
    RELEASE_STATEMENTS = "release_statements"
    ISSUE_INVOICES = "issue_invoices"
    CHANGE_PRODUCTS = "change_products"
    SEE_VOLUMES = "see_volumes"
    SEE_CONTROL_ACTS = "see_control_acts"
    APPROVE_DISPATCH = "approve_dispatch"
    APPROVE_LIMITS = "approve_limits"
    APPROVE_RELEASE = "approve_release"
    SEE_FINDINGS = "see_findings"
    SEE_JOBS = "see_jobs"
    SEE_LOG = "see_log"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_MACHINES = "manage_machines"


SAID: dict[Action, str] = {
    Action.SEE_OVERVIEW: "see the overview of the day",
    Action.SEE_ORGANISATIONS: "see who takes part",
    Action.SEE_NETWORK: "see network nodes, their ratings and loading",
    Action.CHANGE_LIMITS: "ask for a change of a node's rating",
    Action.SEE_FLEET: "see EVSEs, their identities and enrolments",
    Action.REGISTER_FLEET: "register and enrol EVSEs",
    Action.SEE_SESSIONS: "see charging sessions",
    Action.SEE_READINGS: "see meter readings",
    Action.SEND_READINGS: "send meter readings",
    Action.SEE_TARIFFS: "see tariffs",
    Action.SEE_FORECASTS: "see availability forecasts",
    Action.SEE_REQUESTS: "see requests for dispatch",
    Action.REQUEST_DISPATCH: "request a dispatch",
    Action.SEE_MARKETS: "see markets, and one's own flex requests, offers, contracts and orders",
    Action.BUY_FLEX: "make markets, publish flex requests, accept offers, propose contracts",
    Action.OFFER_FLEX: "offer flexibility, agree to contracts",
    Action.SEE_RUNS: "see dispatch runs and their plans",
    Action.SEE_SETPOINTS: "see setpoints",
    Action.SEE_STATEMENTS: "see and download statements",
    Action.RELEASE_STATEMENTS: "release a settlement's statements",
    Action.ISSUE_INVOICES: "issue a month's invoices",
    Action.CHANGE_PRODUCTS: "state versions of the products it buys",
    Action.SEE_VOLUMES: "see and download files of delivered volumes",
    Action.SEE_CONTROL_ACTS: "see control acts and their approvals",
    Action.APPROVE_DISPATCH: "approve another person's dispatch",
    Action.APPROVE_LIMITS: "approve another person's change of limits",
    Action.APPROVE_RELEASE: "approve another person's release",
    Action.SEE_FINDINGS: "see findings",
    Action.SEE_JOBS: "see jobs",
    Action.SEE_LOG: "see the event log",
    Action.MANAGE_PEOPLE: "give and take roles",
    Action.MANAGE_MACHINES: "register and revoke API clients",
}

_EVERYONE = frozenset(
    {
        Action.SEE_OVERVIEW,
        Action.SEE_ORGANISATIONS,
        Action.SEE_TARIFFS,
        Action.SEE_FINDINGS,
        Action.SEE_MARKETS,
    }
)
_DSRSP_SEES = _EVERYONE | {
    Action.SEE_FLEET,
    Action.SEE_SESSIONS,
    Action.SEE_READINGS,
    Action.SEE_FORECASTS,
    Action.SEE_RUNS,
    Action.SEE_SETPOINTS,
    Action.SEE_STATEMENTS,
    Action.SEE_VOLUMES,
    Action.SEE_LOG,
}
_DNO_SEES = _EVERYONE | {
    Action.SEE_NETWORK,
    Action.SEE_READINGS,
    Action.SEE_FORECASTS,
    Action.SEE_REQUESTS,
    Action.SEE_RUNS,
    Action.SEE_SETPOINTS,
    Action.SEE_STATEMENTS,
    Action.SEE_CONTROL_ACTS,
    Action.SEE_LOG,
}
_MARKET_SEES = _EVERYONE | {Action.SEE_STATEMENTS, Action.SEE_CONTROL_ACTS, Action.SEE_LOG}
_PLATFORM_SEES = _EVERYONE | {
    Action.SEE_NETWORK,
    Action.SEE_FORECASTS,
    Action.SEE_REQUESTS,
    Action.SEE_RUNS,
    Action.SEE_SETPOINTS,
    Action.SEE_STATEMENTS,
    Action.SEE_VOLUMES,
    Action.SEE_CONTROL_ACTS,
    Action.SEE_JOBS,
    Action.SEE_LOG,
}

# What an organisation of a kind may do at all; a role never reaches beyond its organisation's kind.
KIND_MAY: dict[str, frozenset[Action]] = {
    "dsrsp": _DSRSP_SEES
    | {
        Action.REGISTER_FLEET,
        Action.SEND_READINGS,
        Action.OFFER_FLEX,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_MACHINES,
    },
    "dno": _DNO_SEES
    | {
        Action.CHANGE_LIMITS,
        Action.SEND_READINGS,
        Action.REQUEST_DISPATCH,
        Action.CHANGE_PRODUCTS,
        Action.BUY_FLEX,
        Action.APPROVE_DISPATCH,
        Action.APPROVE_LIMITS,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_MACHINES,
    },
    "market_operator": _MARKET_SEES
    | {
        Action.RELEASE_STATEMENTS,
        Action.APPROVE_RELEASE,
        Action.ISSUE_INVOICES,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_MACHINES,
    },
    "platform": _PLATFORM_SEES | {Action.MANAGE_PEOPLE, Action.MANAGE_MACHINES},
}

_SEES = frozenset(action for action in Action if action.startswith("see_"))

ROLE_MAY: dict[Role, frozenset[Action]] = {
    Role.OPERATOR: _DSRSP_SEES | {Action.REGISTER_FLEET, Action.SEND_READINGS, Action.OFFER_FLEX},
    Role.ADMIN: _DSRSP_SEES
    | {
        Action.REGISTER_FLEET,
        Action.SEND_READINGS,
        Action.OFFER_FLEX,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_MACHINES,
    },
    Role.CONTROL_ROOM_OPERATOR: _DNO_SEES | {Action.CHANGE_LIMITS, Action.REQUEST_DISPATCH, Action.BUY_FLEX},
    Role.CONTROL_ROOM_SUPERVISOR: _DNO_SEES
    | {
        Action.CHANGE_LIMITS,
        Action.REQUEST_DISPATCH,
        Action.CHANGE_PRODUCTS,
        Action.BUY_FLEX,
        Action.APPROVE_DISPATCH,
        Action.APPROVE_LIMITS,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_MACHINES,
    },
    Role.MARKET_OPERATOR: _MARKET_SEES | {Action.RELEASE_STATEMENTS, Action.APPROVE_RELEASE, Action.ISSUE_INVOICES},
    Role.AUDITOR: _SEES,
    Role.PLATFORM_ADMIN: _PLATFORM_SEES | {Action.MANAGE_PEOPLE, Action.MANAGE_MACHINES},
}

# Which roles an organisation of a kind can give.
KIND_ROLES: dict[str, tuple[Role, ...]] = {
    "dsrsp": (Role.OPERATOR, Role.ADMIN, Role.AUDITOR),
    "dno": (Role.CONTROL_ROOM_OPERATOR, Role.CONTROL_ROOM_SUPERVISOR, Role.AUDITOR),
    "market_operator": (Role.MARKET_OPERATOR, Role.AUDITOR),
    "platform": (Role.PLATFORM_ADMIN, Role.AUDITOR),
}

# What an API client may be allowed, in the words of OAuth 2.
SCOPES: dict[str, tuple[str, frozenset[Action]]] = {
    "fleet:read": (
        "Read EVSEs, enrolments and charging sessions",
        frozenset({Action.SEE_FLEET, Action.SEE_SESSIONS, Action.SEE_ORGANISATIONS}),
    ),
    "fleet:write": ("Register and enrol EVSEs", frozenset({Action.REGISTER_FLEET})),
    "readings:read": ("Read meter readings", frozenset({Action.SEE_READINGS})),
    "readings:write": ("Send meter readings", frozenset({Action.SEND_READINGS})),
    "network:read": ("Read network nodes and ratings", frozenset({Action.SEE_NETWORK})),
    "forecast:read": ("Read availability forecasts", frozenset({Action.SEE_FORECASTS, Action.SEE_TARIFFS})),
    "dispatch:read": (
        "Read requests, runs, plans and setpoints",
        frozenset({Action.SEE_REQUESTS, Action.SEE_RUNS, Action.SEE_SETPOINTS, Action.SEE_CONTROL_ACTS}),
    ),
    "dispatch:write": ("Request a dispatch", frozenset({Action.REQUEST_DISPATCH})),
    "market:read": ("Read markets, flex requests, offers, contracts and orders", frozenset({Action.SEE_MARKETS})),
    "market:write": (
        "Publish flex requests and accept offers, or offer flexibility",
        frozenset({Action.BUY_FLEX, Action.OFFER_FLEX}),
    ),
    "products:write": ("State versions of products", frozenset({Action.CHANGE_PRODUCTS})),
    "settlement:read": (
        "Read statements and files of delivered volumes",
        frozenset({Action.SEE_STATEMENTS, Action.SEE_VOLUMES}),
    ),
    "settlement:write": ("Release statements", frozenset({Action.RELEASE_STATEMENTS})),
    "findings:read": ("Read findings", frozenset({Action.SEE_FINDINGS})),
    "platform:read": ("Read jobs and the event log", frozenset({Action.SEE_JOBS, Action.SEE_LOG})),
}

# What no machine may do, whatever its scopes: a person answers for these.
PEOPLE_ONLY = frozenset(
    {
        Action.APPROVE_DISPATCH,
        Action.APPROVE_LIMITS,
        Action.APPROVE_RELEASE,
        Action.ISSUE_INVOICES,
        Action.CHANGE_LIMITS,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_MACHINES,
    }
)


def role_actions(role: Role, organisation_kind: str) -> frozenset[Action]:
    """What a person in a role may do for an organisation of this kind."""
    return ROLE_MAY[role] & KIND_MAY[organisation_kind]


def scope_actions(scopes: frozenset[str], organisation_kind: str) -> frozenset[Action]:
    """What an API client may do with these scopes for an organisation of this kind; unknown scopes allow nothing."""
    allowed = frozenset(action for scope in scopes & SCOPES.keys() for action in SCOPES[scope][1])
    return (allowed & KIND_MAY[organisation_kind]) - PEOPLE_ONLY
