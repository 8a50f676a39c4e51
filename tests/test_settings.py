"""Settings: who wins, what may be written how, and what a wrong one says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from belvedere import Settings, SettingsError

VARIABLES = ("BELVEDERE_", "OTEL_", "SENTRY_", "FORWARDED_ALLOW_IPS", "LOG_", "ENVIRONMENT", "APP_")


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable but those that the test sets."""
    for variable in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(variable)
    return monkeypatch


def environ(env: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        env.setenv(name, value)


def at(settings: Settings, path: str) -> Any:
    """Return the setting at a path like `logs.level`."""
    value: Any = settings
    for part in path.split("."):
        value = getattr(value, part)
    return value


def test_code_wins_over_own_over_known_over_default(env: pytest.MonkeyPatch) -> None:
    """One setting, said four times: by default, by a variable everybody knows, by ours, and by code."""
    assert at(Settings(), "logs.level") == "info"
    environ(env, LOG_LEVEL="DEBUG")
    assert at(Settings(), "logs.level") == "debug"
    environ(env, BELVEDERE_LOGS__LEVEL="warning")
    assert at(Settings(), "logs.level") == "warning"
    assert at(Settings(logs={"level": "error"}), "logs.level") == "error"


def test_precedence_is_by_key(env: pytest.MonkeyPatch) -> None:
    """What code says about one key of a feature leaves the environment's say about its others."""
    environ(env, BELVEDERE_LOGS__LEVEL="warning", BELVEDERE_LOGS__CLIENT="masked")
    settings = Settings(logs={"level": "error"})
    assert (at(settings, "logs.level"), at(settings, "logs.client")) == ("error", "masked")


@pytest.mark.parametrize(
    ("variables", "path", "value"),
    [
        ({"OTEL_SERVICE_NAME": "shop"}, "service", "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,x=y"}, "service", "shop"),
        ({"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, "service", "a"),
        ({"APP_VERSION": "1.2.3"}, "version", "1.2.3"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.version=1.2.3"}, "version", "1.2.3"),
        ({"ENVIRONMENT": "staging"}, "environment", "staging"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging"}, "environment", "staging"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=staging"}, "environment", "staging"),
        ({"LOG_LEVEL": "WARN"}, "logs.level", "warning"),
        ({"LOG_LEVEL": "fatal"}, "logs.level", "critical"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "tracing.endpoint", "http://c:4318"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "tracing.protocol", "grpc"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d=e"}, "tracing.headers", {"a": "b", "c": "d=e"}),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, "tracing.sample", 0.25),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            "tracing.sample",
            0.25,
        ),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "tracing.sample", 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, "tracing.sample", 1.0),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "tracing.endpoint", None),
        ({"OTEL_SERVICE_NAME": ""}, "service", ""),
    ],
)
def test_known_variables(env: pytest.MonkeyPatch, variables: dict[str, str], path: str, value: object) -> None:
    """The ecosystem's variables are read as it reads them."""
    environ(env, **variables)
    assert at(Settings(), path) == value


def test_networks_of_the_server_are_trusted(env: pytest.MonkeyPatch) -> None:
    """`FORWARDED_ALLOW_IPS` may hold addresses, networks, names and `*`; what is no network is left out."""
    environ(env, FORWARDED_ALLOW_IPS="10.0.0.1, 192.168.0.0/16,nginx,unix:")
    assert [str(network) for network in Settings().requests.trusted_proxies] == ["10.0.0.1/32", "192.168.0.0/16"]
    environ(env, FORWARDED_ALLOW_IPS="*")
    assert [str(network) for network in Settings().requests.trusted_proxies] == ["0.0.0.0/0", "::/0"]


@pytest.mark.parametrize("feature", ["logs", "metrics", "health", "problems", "headers", "tracing"])
def test_null_switches_a_feature_off(env: pytest.MonkeyPatch, feature: str) -> None:
    """By variable and by code; a variable of the same feature does not switch it on again."""
    assert getattr(Settings(**{feature: None}), feature) is None
    environ(env, **{f"BELVEDERE_{feature.upper()}": "null"})
    assert getattr(Settings(), feature) is None


def test_levels_are_written_in_any_case(env: pytest.MonkeyPatch) -> None:
    """The standard library writes them in capitals, for single loggers too."""
    environ(env, BELVEDERE_LOGS__QUIET='{"httpx": "WARNING"}', LOG_LEVEL="Debug")
    logs = Settings().logs
    assert logs is not None
    assert (logs.level, logs.quiet) == ("debug", {"httpx": "warning"})


def test_null_takes_a_single_setting_away(env: pytest.MonkeyPatch) -> None:
    """A probe without a path is not served."""
    environ(env, BELVEDERE_HEALTH__LIVE="null")
    assert at(Settings(), "health.live") is None


@pytest.mark.parametrize("text", ["/a, /b,,", '["/a", "/b"]'])
def test_lists_are_json_or_commas(env: pytest.MonkeyPatch, text: str) -> None:
    """A list of a variable is JSON, or parts between commas."""
    environ(env, BELVEDERE_REQUESTS__EXCLUDE=text)
    assert at(Settings(), "requests.exclude") == ("/a", "/b")


def test_a_whole_feature_is_json_that_single_variables_refine(env: pytest.MonkeyPatch) -> None:
    """`BELVEDERE_LOGS` holds a JSON object; `BELVEDERE_LOGS__LEVEL` wins over its key."""
    environ(
        env,
        BELVEDERE_LOGS='{"level": "error", "keys": {"event": "message"}}',
        BELVEDERE_LOGS__LEVEL="debug",
        BELVEDERE_METRICS__CONTEXT_LABELS="project_id,team",
    )
    settings = Settings()
    assert (at(settings, "logs.level"), at(settings, "logs.keys")) == ("debug", {"event": "message"})
    assert at(settings, "metrics.context_labels") == {"project_id": 100, "team": 100}


def test_a_variable_of_another_service_is_not_ours(env: pytest.MonkeyPatch) -> None:
    """Kubernetes gives every container variables named after services; one called `belvedere` does no harm."""
    environ(env, BELVEDERE_PORT="tcp://10.0.0.1:80", BELVEDERE_SERVICE_HOST="10.0.0.1")
    assert Settings().service == ""


def test_one_message_names_every_bad_setting_and_no_value(env: pytest.MonkeyPatch) -> None:
    """Whatever is wrong is told at once, each with its variable, and no value is repeated."""
    secret = "s3cret-value"
    environ(
        env,
        BELVEDERE_LOGS__LEVEL=secret,
        BELVEDERE_METRICS__PORT=secret,
        BELVEDERE_METRICS__TOKENS=secret,
        BELVEDERE_HEALTH__TIMEOUT="-1",
        BELVEDERE_HEADERS__HSTS=f"a\r\n{secret}",
        BELVEDERE_REQUESTS__TRUSTED_PROXIES=secret,
    )
    with pytest.raises(SettingsError) as caught:
        Settings(requests={"header": f"no {secret}"}, tracing={"sample": 7})
    assert str(caught.value).splitlines() == [
        "Belvedere cannot start, its settings are wrong:",
        "  requests.header (BELVEDERE_REQUESTS__HEADER): no name of a header (RFC 9110, section 5.1)",
        "  requests.trusted_proxies.0 (BELVEDERE_REQUESTS__TRUSTED_PROXIES): no network: write it as 10.0.0.0/8 or "
        "2001:db8::/32, or one address",
        "  logs.level (BELVEDERE_LOGS__LEVEL): Input should be 'debug', 'info', 'warning', 'error' or 'critical'",
        "  metrics.port (BELVEDERE_METRICS__PORT): Input should be a valid integer, unable to parse string as an "
        "integer",
        "  metrics.tokens (BELVEDERE_METRICS__TOKENS): Extra inputs are not permitted",
        "  health.timeout (BELVEDERE_HEALTH__TIMEOUT): Input should be greater than 0",
        "  headers.hsts (BELVEDERE_HEADERS__HSTS): a header's value is printable ASCII on one line",
        "  tracing.sample (BELVEDERE_TRACING__SAMPLE): Input should be less than or equal to 1",
    ]
    assert secret not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"metrics": {"path": "metrics"}}, "metrics.path"),
        ({"metrics": {"path": "/m/{x}"}}, "metrics.path"),
        ({"metrics": {"buckets": []}}, "metrics.buckets"),
        ({"metrics": {"buckets": [1, 1]}}, "metrics.buckets"),
        ({"metrics": {"names": {"nonsense_total": "x"}}}, "metrics.names"),
        ({"metrics": {"names": {"http_requests_total": "9x"}}}, "metrics.names"),
        ({"metrics": {"labels": {"nonsense": "x"}}}, "metrics"),
        ({"metrics": {"labels": {"status": "method"}}}, "metrics"),
        ({"metrics": {"labels": {"status": "status-code"}}}, "metrics.labels"),
        ({"metrics": {"constant_labels": {"__name": "x"}}}, "metrics.constant_labels"),
        ({"metrics": {"context_labels": {"method": 3}}}, "metrics"),
        ({"metrics": {"allow": ["10.0.0.0/99"]}}, "metrics.allow.0"),
        ({"requests": {"bind": {"x": ["cookie:x"]}}}, "requests.bind"),
        ({"requests": {"bind": {"x": ["path:x", "header:проект"]}}}, "requests.bind"),
        ({"requests": {"format": "ulid"}}, "requests.format"),
        ({"health": {"live_fields": "service,uptime"}}, "health.live_fields.1"),
        ({"problems": {"format": "xml"}}, "problems.format"),
        ({"requests": None}, "requests"),
    ],
)
def test_a_bad_setting_is_named(values: dict[str, Any], told: str) -> None:
    """Each kind of bad value is refused under its own name."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [told]


def test_metrics_and_a_probe_cannot_share_a_path() -> None:
    """Each would hide the other; with metrics on a port of their own, their path is free."""
    with pytest.raises(SettingsError) as caught:
        Settings(metrics={"path": "/healthz"})
    assert str(caught.value).splitlines()[1:] == [
        "  settings (BELVEDERE_*): metrics.path and health.live are both /healthz: give each its own"
    ]
    assert Settings(metrics={"path": "/healthz"}, health={"live": "/live"}).health is not None
    assert Settings(metrics={"path": "/healthz"}, health=None).health is None
    assert Settings(metrics={"path": "/healthz", "port": 9100}).metrics is not None


def test_json_that_does_not_parse_is_one_bad_setting_among_others(env: pytest.MonkeyPatch) -> None:
    """Broken JSON in a variable does not hide what else is wrong."""
    environ(env, BELVEDERE_LOGS="{level: s3cret", BELVEDERE_METRICS__PORT="x", BELVEDERE_HEALTH="[" * 100_000)
    with pytest.raises(SettingsError) as caught:
        Settings()
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == ["logs", "metrics.port", "health"]
    assert "s3cret" not in str(caught.value)


def test_settings_are_frozen() -> None:
    """Nothing changes them once they are made."""
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.service = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.requests.trust = False  # type: ignore[misc]


def test_secrets_are_not_in_their_text() -> None:
    """Neither a scraper's token nor an export's headers and address are shown when settings are."""
    tracing = {"endpoint": "https://user:s3cret@collector:4318", "headers": {"authorization": "s3cret"}}
    settings = Settings(metrics={"token": "s3cret"}, tracing=tracing)
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)


def test_nothing_is_read_from_files(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `.env` file of the application is the application's own business."""
    (tmp_path / ".env").write_text("BELVEDERE_SERVICE=from-file\n")
    env.chdir(tmp_path)
    assert Settings().service == ""


@pytest.mark.parametrize("name", ["Content-Length", "set-cookie", "traceparent"])
def test_a_header_with_a_meaning_of_its_own_is_none_for_the_id(name: str) -> None:
    """Every answer would break, or its caller."""
    with pytest.raises(SettingsError, match="this header has a meaning of its own"):
        Settings(requests={"header": name})


def test_what_other_libraries_understand_does_not_stop_the_start(env: pytest.MonkeyPatch) -> None:
    """A level by number, or a protocol that few exporters speak, is no mistake of the user's."""
    env.setenv("LOG_LEVEL", "30")
    env.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    settings = Settings()
    assert settings.logs is not None
    assert settings.tracing is not None
    assert (settings.logs.level, settings.tracing.protocol) == ("warning", "http/protobuf")


def test_a_label_needs_room_for_a_value() -> None:
    """A bound below 1 would fold everything, or fail later."""
    with pytest.raises(SettingsError, match=r"metrics.context_labels.tenant .*greater than or equal to 1"):
        Settings(metrics={"context_labels": {"tenant": 0}})
