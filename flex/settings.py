"""Settings, all from the environment; `.env.example` names every variable and a test compares them.

Secure by default: without a word from the environment the site answers on loopback only, over HTTPS
only, with DEBUG off. `flex/checks.py` refuses combinations that are not safe outside a developer's machine.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from math import inf, nan
from pathlib import Path
from typing import Any

import environ

from aggregator.core import permissions
from aggregator.core.errors import FlexError
from flex import postgres

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(str(BASE_DIR / ".env"))


class SettingRefused(FlexError):
    code = "flex.setting_refused"


def _whole_number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingRefused(f"{name} is a whole number, found {text!r}") from None


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value < inf:
        raise SettingRefused(f"{name} is a number of at least 0, found {text!r}")
    return value


def _one_of(name: str, text: str, known: set[str]) -> str:
    if text not in known:
        raise SettingRefused(f"{name} is one of {', '.join(sorted(known))}, found {text!r}")
    return text


VAR_DIR = postgres.var_folder()
LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def _generated_secret_key() -> str:
    """Read the installation's own key, made once into a file only its owner can read."""
    path = VAR_DIR / "secret_key"
    if not path.is_file():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        draft = VAR_DIR / f"secret_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):  # another process was first: its key stands
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().strip()


SECRET_KEY = env.str("SECRET_KEY", default="") or _generated_secret_key()
SECRET_KEY_IS_GENERATED = not env.str("SECRET_KEY", default="")
# Signs evidence packs. Unset, one is made in var at first use: for trying. Retired keys are published still.
SIGNING_KEY_FILE = Path(env.str("SIGNING_KEY_FILE", default="") or VAR_DIR / "signing_key.pem")
SIGNING_KEY_IS_GENERATED = not env.str("SIGNING_KEY_FILE", default="")
SIGNING_RETIRED_KEYS = env.list("SIGNING_RETIRED_KEYS", default=[])
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=LOOPBACK_HOSTS)

# --- security -------------------------------------------------------------------------------------
PLAIN_HTTP = env.bool("PLAIN_HTTP", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not PLAIN_HTTP
SECURE_HSTS_SECONDS = 0 if PLAIN_HTTP else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not PLAIN_HTTP
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]  # probes ask over plain HTTP, inside
SECURE_REFERRER_POLICY = "same-origin"
BEHIND_TLS_PROXY = env.bool("BEHIND_TLS_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
X_FRAME_OPTIONS = "DENY"
FILE_UPLOAD_HANDLERS = [
    "aggregator.site.upload_cap.UploadCap",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "aggregator.rest.secrets.RandomSecretHasher",
]

# --- applications ---------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "axes",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "aggregator",
    "dispatch",
    "markets",
    "flex",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "flex.middleware.SecurityHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "flex.walls.Walls",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "flex.urls"
WSGI_APPLICATION = "flex.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aggregator.site.frame.frame",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "markets:overview"
LOGOUT_REDIRECT_URL = "login"

# --- database: an owner who migrates, and the role the application logs in as ---------------------
DATABASE_URL = env.str("DATABASE_URL", default="")
DATABASE_APP_URL = env.str("DATABASE_APP_URL", default="")
HEADROOM_DB_ROLE = env.str("HEADROOM_DB_ROLE", default="app")


def _derived_password() -> str:
    """Password of the application's own database role where no DATABASE_APP_URL names one."""
    return hmac.new(SECRET_KEY.encode(), b"database role of the application", hashlib.sha256).hexdigest()


def _owner_database() -> dict[str, Any]:
    if DATABASE_URL:
        return {**env.db_url_config(DATABASE_URL), "ENGINE": "django.db.backends.postgresql"}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": postgres.DATABASE,
        "USER": postgres.OWNER_ROLE,
        "PASSWORD": "",
        "HOST": str(postgres.socket_folder()),
        "PORT": str(postgres.PORT),
    }


def _app_database(owner: dict[str, Any]) -> dict[str, Any]:
    if DATABASE_APP_URL:
        return {**env.db_url_config(DATABASE_APP_URL), "ENGINE": "django.db.backends.postgresql"}
    if DATABASE_URL:
        return {**owner, "USER": f"{owner['NAME']}_app", "PASSWORD": _derived_password()}
    return {**owner, "USER": postgres.APP_ROLE}


def _with_habits(database: dict[str, Any]) -> dict[str, Any]:
    """Add how connections are kept; what the URL asks for (``?sslmode=require``, ``?host=/socket/folder``) stands."""
    options = {"connect_timeout": 5, **database.get("OPTIONS", {})}
    return {**database, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}


DATABASE_OWNER = _with_habits(_owner_database())
DATABASE_APP = _with_habits(_app_database(DATABASE_OWNER))
DATABASE_APP_ROLE = DATABASE_APP["USER"]
DATABASE_APP_PASSWORD = DATABASE_APP["PASSWORD"]
DATABASES = {"default": DATABASE_OWNER if HEADROOM_DB_ROLE == "owner" else DATABASE_APP}

# --- jobs -----------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
CELERY_TASK_DEFAULT_QUEUE = env.str("CELERY_QUEUE", default="headroom")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600} if CELERY_BROKER_URL.startswith("redis") else {}
JOB_LEASE_S = _whole_number("JOB_LEASE_S", env.str("JOB_LEASE_S", default="60"))
JOB_SWEEP_S = _whole_number("JOB_SWEEP_S", env.str("JOB_SWEEP_S", default="15"))
# The sweep finds what no message woke: due again after a failure, or left by a dead worker or broker.
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "aggregator.sweep", "schedule": float(JOB_SWEEP_S), "options": {"expires": float(JOB_SWEEP_S)}},
}
# kind -> dotted name of the service that does it; the lowest floor must not import the higher ones.
JOB_HANDLERS = {
    "anchor_events": "aggregator.services.event_log.anchor_events_job",
    "check_health": "aggregator.services.health.check_health_job",
    "dispatch_area": "markets.services.redispatch.dispatch_area_job",
    "run_cycle": "markets.services.cycle.run_cycle_job",
    "solve_part": "dispatch.services.part_work.solve_part_job",
}

PRODUCT_METERING = "markets.services.product_metering.product_metering"  # what readings for a product look like
DAILY_JOBS = ("anchor_events",)  # asked for by whoever sweeps, once a UTC day

# --- people and machines --------------------------------------------------------------------------
OTP_TOTP_ISSUER = "Headroom"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the page says when to try again, and that stays true
AXES_CLIENT_IP_CALLABLE = "aggregator.site.address.client_address"
AXES_LOCKOUT_CALLABLE = "aggregator.site.lock_out.locked_out_page"
AXES_DISABLE_ACCESS_LOG = True  # the event log has it
AXES_SENSITIVE_PARAMETERS = ["code"]  # as a password: never kept
SESSION_LOCK_S = _whole_number("SESSION_LOCK_S", env.str("SESSION_LOCK_S", default="1200"))
CONFIRMED_FOR_S = _whole_number("CONFIRMED_FOR_S", env.str("CONFIRMED_FOR_S", default="300"))
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH2_PROVIDER = {
    "SCOPES": {name: said for name, (said, _) in permissions.SCOPES.items()},
    "SCOPES_BACKEND_CLASS": "aggregator.rest.scopes.ClientScopes",
    "ACCESS_TOKEN_EXPIRE_SECONDS": 900,
    "CLIENT_SECRET_HASHER": "pbkdf2_sha256_random",
    # Only client credentials are served (aggregator/rest/token.py); what RFC 9700 advises is said all the same.
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    **{
        f"COMPLIANT_BCP_RFC9700_{gate}": True
        for gate in (
            "ACCESS_TOKEN_TRANSPORT",
            "AUTHZ_RESPONSE_ISS",
            "IMPLICIT_GRANT",
            "PASSWORD_GRANT",
            "PKCE_METHOD",
            "PKCE_REQUIRED",
            "REDIRECT_URI_MATCHING",
            "REDIRECT_URI_SCHEME",
            "REFRESH_TOKEN",
            "TOKEN_STORAGE",  # tokens are kept as their SHA-256
        )
    },
}

# --- the API --------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["aggregator.rest.authentication.ViewerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["aggregator.rest.permissions.ActionAllowed"],
    "DEFAULT_PARSER_CLASSES": ["aggregator.rest.parsers.StrictJsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "aggregator.rest.schema.Operation",
    "EXCEPTION_HANDLER": "aggregator.rest.failures.handle",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Headroom",
    "DESCRIPTION": "Flexibility of electric vehicles: fleets, readings, forecasts, dispatch and settlement. "
    "Times carry an offset; intervals are half-open; consumption is positive; units stand in the names.",
    "VERSION": "1.0.0",
    "LICENSE": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]+/",
    "POSTPROCESSING_HOOKS": ["aggregator.rest.schema_whole.complete_schema"],
    "COMPONENT_SPLIT_REQUEST": False,
    "COMPONENT_SPLIT_PATCH": False,  # a change's own serializer says what it needs
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
# What one client may ask of one process: (tokens of a full bucket, seconds in which it fills).
API_LIMITS = {
    "reads": (_whole_number("API_READS_A_MINUTE", env.str("API_READS_A_MINUTE", default="600")), 60),
    "commands": (_whole_number("API_COMMANDS_A_MINUTE", env.str("API_COMMANDS_A_MINUTE", default="60")), 60),
    "rows": (_whole_number("API_ROWS_A_MINUTE", env.str("API_ROWS_A_MINUTE", default="600000")), 60),
}
# HTTP status by the code of an anticipated failure, or its first words; 422 where nothing is said.
PROBLEM_STATUSES = {
    "tenancy": 500,
    "batch.too_many_rows": 413,
    "fleet.not_in_force": 409,
    "limits.changed_since": 409,
    "markets.request_known": 409,
    "markets.product_changed": 409,
    "markets.product_exists": 409,
    "settlement.release_refused": 409,
    "evidence.differs": 409,
    "evidence.too_large": 413,
    "trading.unknown": 404,
    "trading.transition_refused": 409,
    "control.unknown_act": 404,
    "control.decided": 409,
    "control.expired": 409,
    "control.needs_a_person": 403,
    "control.needs_another_person": 403,
    "control.may_not_decide": 403,
}

# --- control acts: kind -> dotted names of the service that does it and of its figures, and the thresholds
CONTROL_ACTS = {
    "request_dispatch": "markets.services.requests.do_request_dispatch",
    "change_limits": "aggregator.services.limits.do_change_limits",
    "release_statements": "markets.services.releases.do_release_statements",
}
CONTROL_FIGURES = {
    "request_dispatch": "markets.services.requests.request_figures",
    "change_limits": "aggregator.services.limits.limit_figures",
    "release_statements": "markets.services.releases.release_figures",
}
CONTROL_ACT_EXPIRES_S = _whole_number("CONTROL_ACT_EXPIRES_S", env.str("CONTROL_ACT_EXPIRES_S", default="3600"))
# Above any of these a second person must agree.
DUAL_APPROVAL_MW = _number("DUAL_APPROVAL_MW", env.str("DUAL_APPROVAL_MW", default="1"))
DUAL_APPROVAL_MW_PER_MINUTE = _number(
    "DUAL_APPROVAL_MW_PER_MINUTE", env.str("DUAL_APPROVAL_MW_PER_MINUTE", default="0.5")
)
DUAL_APPROVAL_EVSES = _whole_number("DUAL_APPROVAL_EVSES", env.str("DUAL_APPROVAL_EVSES", default="500"))
DUAL_APPROVAL_LIMITS = _whole_number("DUAL_APPROVAL_LIMITS", env.str("DUAL_APPROVAL_LIMITS", default="0"))
DUAL_APPROVAL_STATEMENTS = _whole_number("DUAL_APPROVAL_STATEMENTS", env.str("DUAL_APPROVAL_STATEMENTS", default="0"))
# Day of the next month at whose beginning a month's readings close for its invoices; the command refuses 29 and more.
INVOICE_CUTOFF_DAY = _whole_number("INVOICE_CUTOFF_DAY", env.str("INVOICE_CUTOFF_DAY", default="15"))
# Registered EVSEs may never add up to more: 300 MW of load control is an essential service.
CONTROLLABLE_CAP_MW = _number("CONTROLLABLE_CAP_MW", env.str("CONTROLLABLE_CAP_MW", default="290"))
EVENT_ANCHOR_FILE = Path(env.str("EVENT_ANCHOR_FILE", default=str(VAR_DIR / "event-anchors.jsonl")))

# --- language, time, files ------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "flex" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- log ------------------------------------------------------------------------------------------
LOG_LEVEL = _one_of(
    "LOG_LEVEL", env.str("LOG_LEVEL", default="INFO").upper(), {"CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING"}
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {name: {"level": LOG_LEVEL} for name in ("flex", "aggregator", "dispatch", "markets")},
}

# --- real data for tests and benchmarks -----------------------------------------------------------
HEADROOM_DATA = Path(env.str("HEADROOM_DATA", default=str(BASE_DIR.parent / "shared" / "data")))
