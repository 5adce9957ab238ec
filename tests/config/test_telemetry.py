"""[telemetry]: what is refused, and what OpenTelemetry's own variables fill in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmitm.config.describe import describe
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.config.telemetry import Telemetry, missing
from llmitm.errors import ConfigError

ADDONS = Path(__file__).resolve().parents[2] / "addons"
ON = "[telemetry]\nenabled = true\n"


def config_of(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load(path, env=env or {})


def test_it_is_off_by_default_whatever_the_environment_says(tmp_path: Path) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER": "nonsense"}
    assert config_of(tmp_path, "", env).telemetry == Telemetry()
    assert config_of(tmp_path, "[telemetry]\ncontent = true\n", env).telemetry.endpoint.endswith(
        "localhost:4318"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('endpoint = "collector:4318"', "telemetry.endpoint: the URL of a collector is expected"),
        ('endpoint = "http://user:word@collector"', "telemetry.endpoint: must not hold"),
        ('traces_endpoint = "http://collector/?key=1"', "telemetry.traces_endpoint: must not hold"),
        ('protocol = "grpc"', "telemetry.protocol: grpc is not spoken, only http/protobuf"),
        ("sample_ratio = 1.5", "telemetry.sample_ratio: "),
        ('headers = {"a b" = "x"}', "telemetry.headers: 'a b' is no name of a header"),
        ('headers = {a = "x\\ny"}', "telemetry.headers.a: must not hold control characters"),
        ('headers = {a = "env:NOWHERE"}', "telemetry.headers.a: the environment variable NOWHERE is not set"),
        ("sample_rate = 1", "telemetry.sample_rate: unknown key; did you mean sample_ratio?"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config_of(tmp_path, f"{ON}{line}\n")
    assert problem in str(refused.value)


def test_a_library_that_is_not_installed_is_missed() -> None:
    assert missing("no_such_package.with.modules")
    assert missing("opentelemetry.no_such_part")
    assert not missing("opentelemetry.proto")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, {"traces_url": "http://c:4318/v1/traces"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/v1/traces"}, {"metrics_url": "http://c/v1/metrics"}),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"},
            {"traces_url": "http://t/x", "metrics_url": "http://c/v1/metrics"},
        ),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, {"compression": "gzip"}),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc/ca.pem"}, {"tls_ca": Path("/etc/ca.pem")}),
        ({"OTEL_SERVICE_NAME": "edge"}, {"service_name": "edge"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=edge,team=a%2Cb"},
            {"service_name": "edge", "resource": {"team": "a,b"}},
        ),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"sample_ratio": 0, "follow_parent": False}),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            {"sample_ratio": 0.25, "follow_parent": True},
        ),
        ({"OTEL_METRICS_EXPORTER": "none"}, {"metrics": False, "traces": True}),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"metrics": True, "traces": False}),
        ({"OTEL_SDK_DISABLED": "true"}, {"enabled": False}),
        ({"OTEL_SERVICE_NAME": " "}, {"service_name": "llmitm"}),
    ],
)
def test_the_environment_fills_in(tmp_path: Path, env: dict[str, str], expected: dict[str, Any]) -> None:
    found = config_of(tmp_path, ON, env).telemetry
    assert {name: getattr(found, name) for name in expected} == expected


def test_the_file_comes_first(tmp_path: Path) -> None:
    text = ON + 'endpoint = "http://file:4318"\nservice_name = "file"\nsample_ratio = 0.5\n'
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:4318",
        "OTEL_SERVICE_NAME": "env",
        "OTEL_TRACES_SAMPLER": "always_on",
    }
    found = config_of(tmp_path, text, env).telemetry
    assert (found.endpoint, found.service_name, found.sample_ratio) == ("http://file:4318", "file", 0.5)


@pytest.mark.parametrize(("said", "content"), [("NO_CONTENT", False), ("false", False), ("SPAN_ONLY", True)])
def test_words_are_sent_only_where_both_allow_it(tmp_path: Path, said: str, content: bool) -> None:
    env = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": said}
    assert config_of(tmp_path, ON + "content = true\n", env).telemetry.content is content
    assert config_of(tmp_path, ON, env).telemetry.content is False


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector"}, "OTEL_EXPORTER_OTLP_ENDPOINT: the URL of a collector"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: grpc is not spoken"),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER: "),
    ],
)
def test_problems_of_the_environment_carry_its_names(
    tmp_path: Path, env: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        config_of(tmp_path, ON, env)
    assert problem in str(refused.value)


def test_the_check_says_where_what_goes(tmp_path: Path) -> None:
    told = describe(config_of(tmp_path, ON + 'endpoint = "http://c:4318"\ncontent = true\n'))
    assert "traces     http://c:4318/v1/traces, with what is asked and said" in told
    assert "traces  " not in describe(config_of(tmp_path, ""))


def test_headers_are_secrets(tmp_path: Path) -> None:
    env = {"TOKEN": "Bearer one-of-ours", "OTEL_EXPORTER_OTLP_HEADERS": "x-token=another%20one"}
    one = config_of(tmp_path, ON + 'headers = {authorization = "env:TOKEN"}\n', env)
    other = config_of(tmp_path, ON, env)
    assert "Bearer one-of-ours" in {secret.reveal() for secret in one.secrets()}
    assert "another one" in {secret.reveal() for secret in other.secrets()}
    assert other.telemetry.headers["x-token"].reveal() == "another one"
    assert "another one" not in repr(other) and "one-of-ours" not in repr(one)


def test_nothing_of_it_is_loaded_where_it_is_off(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[endpoints.dev]\ntarget_base = "http://127.0.0.1:9"\n')
    asked = "import sys; from llmitm.edge.start import world_or_exit; made = world_or_exit()"
    said = (
        "print(made.tracing, [name for name in sys.modules if name.startswith(('opentelemetry', 'google.'))])"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"{asked}; {said}"],
        env={"PYTHONPATH": str(ADDONS), "CONFIG_PATH": str(tmp_path / "config.toml")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout == "None []\n", run.stderr
