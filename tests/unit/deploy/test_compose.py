"""The compose file is whole, gives nothing away, and says what the services understand. No Docker is needed."""

import json
import re
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import (
    ADDRESSES,
    BINDERS,
    DEPLOY,
    OURS,
    MissingVariableError,
    compose,
    defaults,
    example,
    filled_in,
)

SECRET_WORDS = ("PASSWORD", "SECRET", "TOKEN", "KEY")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return compose(filled_in())


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = stack["services"]
    return found


def test_the_example_has_every_variable_with_its_default() -> None:
    # Docker's own.
    found = {name: value or None for name, value in example().items() if name != "COMPOSE_PROFILES"}
    assert found == defaults()


def test_one_variable_chooses_what_carries_the_messages() -> None:
    assert example()["COMPOSE_PROFILES"] == example()["EVENT_BINDER"] == "kafka"


@pytest.mark.parametrize(("binder", "its_own"), BINDERS.items())
def test_with_each_binder_all_is_there_that_it_needs_and_nothing_of_another(binder: str, its_own: set[str]) -> None:
    services = compose({**filled_in(), "EVENT_BINDER": binder})["services"]
    profiles = {name: set(each.get("profiles", ())) for name, each in services.items()}

    assert {name for name, those in profiles.items() if binder in those} == its_own
    started = {name for name, those in profiles.items() if not those or binder in those}
    for name in started:
        for other, wait in services[name].get("depends_on", {}).items():
            assert other in started or wait.get("required") is False, f"{name} waits for {other}"
    for name in OURS:
        environment = services[name]["environment"]
        assert environment["EVENT_BINDER"] == binder
        host = re.search(r"(?:@|^)([a-z]+):\d+", environment[ADDRESSES[binder]])
        assert host is not None
        assert host[1] in its_own
        assert set(services[name]["networks"]) & set(services[host[1]]["networks"])


@pytest.mark.parametrize("name", [name for name, default in defaults().items() if default is None])
def test_nothing_starts_without_a_secret_of_its_own(name: str) -> None:
    with pytest.raises(MissingVariableError, match=name):
        compose({**filled_in(), name: ""})


def test_no_secret_has_a_default() -> None:
    secrets = {name for name in defaults() if any(word in name for word in SECRET_WORDS)}

    assert secrets
    assert {name for name in secrets if defaults()[name] is not None} == set()


def test_no_secret_is_written_down(services: dict[str, dict[str, Any]]) -> None:
    written = {
        (service, name): value
        for service, definition in services.items()
        for name, value in definition.get("environment", {}).items()
        # A path tells nothing.
        if any(word in name for word in SECRET_WORDS) and not name.endswith(("_FILE", "_URL"))
    }

    assert len(written) >= 6
    assert {where for where, value in written.items() if "f1lled1n" not in value} == set()


def test_what_is_waited_for_is_there_and_can_happen(services: dict[str, dict[str, Any]]) -> None:
    for name, definition in services.items():
        for other, wait in definition.get("depends_on", {}).items():
            awaited = services[other]
            health = awaited.get("healthcheck", {} if "build" in awaited else {"disable": True})
            if wait["condition"] == "service_healthy":
                assert not health.get("disable"), f"{name} waits for the health of {other}, which has none"
            elif wait["condition"] == "service_completed_successfully":
                assert awaited["restart"] == "on-failure", f"{name} waits for the end of {other}, which has none"


def test_networks_volumes_and_files_exist(stack: dict[str, Any]) -> None:
    for name, definition in stack["services"].items():
        assert set(definition["networks"]) <= set(stack["networks"]), name
        for volume in definition.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in stack["volumes"], volume


def test_only_the_gateway_can_be_reached_from_outside(stack: dict[str, Any]) -> None:
    ports = {name: definition["ports"] for name, definition in stack["services"].items() if "ports" in definition}
    # What a profile adds speaks without TLS: it is there for this machine alone.
    for name in ("keycloak", "prometheus", "grafana"):
        assert stack["services"][name]["profiles"]
        assert all(port.startswith("127.0.0.1:") for port in ports.pop(name))
    assert list(ports) == ["gateway"]
    assert stack["networks"]["data"]["internal"] is True
    assert list(stack["services"]["gateway"]["networks"]) == ["edge"]


def test_forwarded_headers_are_believed_from_the_gateway_only(stack: dict[str, Any]) -> None:
    [edge] = stack["networks"]["edge"]["ipam"]["config"]
    gateway = stack["services"]["gateway"]["networks"]["edge"]["ipv4_address"]
    services = IPv4Network(edge["ip_range"])
    for name in OURS:
        assert stack["services"][name]["environment"]["FORWARDED_ALLOW_IPS"] == gateway
    assert services.subnet_of(IPv4Network(edge["subnet"]))
    # Neither the gateway, whose address must be free when it starts, nor the machine, where its callers come from.
    for outside in (gateway, edge["gateway"]):
        assert IPv4Address(outside) in IPv4Network(edge["subnet"])
        assert IPv4Address(outside) not in services
    assert stack["services"]["gateway"]["environment"]["GATEWAY_UNLIMITED_FROM"] == edge["ip_range"]


def test_each_service_gets_its_own_secrets_only(services: dict[str, dict[str, Any]]) -> None:
    variables = filled_in()

    organization, licensing = (json.dumps(services[name]["environment"]) for name in ("organization", "licensing"))
    for name in ("LICENSING_DB_PASSWORD", "LICENSING_SECRET_KEY", "VALKEY_PASSWORD"):
        assert variables[name] not in organization
        assert variables[name] in licensing
    for name in ("ORGANIZATION_DB_PASSWORD", "ORGANIZATION_SECRET_KEY"):
        assert variables[name] not in licensing


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_can_do_no_more_than_it_must(services: dict[str, dict[str, Any]], name: str) -> None:
    definition = services[name]

    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in definition, "the image's own user, who is not root"


@pytest.mark.parametrize(("number", "service"), [(0, "topics"), (1, "dead-letter-topic")])
def test_the_topics_are_those_of_topics_yaml(services: dict[str, dict[str, Any]], number: int, service: str) -> None:
    topics = yaml.safe_load((DEPLOY / "kafka/topics.yaml").read_text())["topics"]
    assert len(topics) == 2
    topic = topics[number]
    options = services[service]["command"][1:]

    assert f"--topic={topic['name']}" in options
    assert f"--partitions={topic['partitions']}" in options
    assert {option for option in options if option.startswith("--config=")} == {
        f"--config={name}={value}" for name, value in topic["settings"].items()
    }
    assert services["licensing"]["environment"]["ORG_CHANGE_PARTITIONS"] == str(topic["partitions"])


def test_the_topics_of_redis_streams_are_those_of_topics_yaml(services: dict[str, dict[str, Any]]) -> None:
    topics = yaml.safe_load((DEPLOY / "kafka/topics.yaml").read_text())["topics"]

    assert services["events-topics"]["command"][3:] == [
        f"{topic['name']}:{topic['partitions']}:{topic['settings']['retention.ms']}" for topic in topics
    ]


def test_the_template_of_the_gateway_gets_its_values(services: dict[str, dict[str, Any]]) -> None:
    template = (DEPLOY / "nginx/gateway.conf.template").read_text()
    environment = services["gateway"]["environment"]

    wanted = set(re.findall(r"\$\{([A-Z_]+)\}", template))
    assert len(wanted) > 4
    assert wanted == set(environment) - {"NGINX_ENVSUBST_FILTER"}
    assert all(re.match(environment["NGINX_ENVSUBST_FILTER"], name) for name in wanted)
    assert services["licensing"]["environment"]["ORGANIZATION_SERVICE_URL"].startswith(
        f"http://gateway:{environment['GATEWAY_PORT']}/organization"
    )
    assert environment["ORGANIZATION_UPSTREAM"] == "organization:8081"
    assert environment["LICENSING_UPSTREAM"] == "licensing:8080"


def test_every_process_of_ours_has_a_health_check_that_can_reach_it(services: dict[str, dict[str, Any]]) -> None:
    """The image's own, which asks at PROBES_BIND where that is set."""
    for name in OURS:
        assert "healthcheck" not in services[name], name
    for name in ("worker", "meter"):
        assert services[name]["environment"]["PROBES_BIND"].startswith("0.0.0.0:")
    assert "PROBES_BIND" not in services["organization"]["environment"]
    assert all("ports" not in services[name] for name in OURS)


def test_prometheus_scrapes_each_process_of_ours_where_it_answers(services: dict[str, dict[str, Any]]) -> None:
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    scraped = {
        name: lookup["port"]
        for job in configuration["scrape_configs"]
        for lookup in job["dns_sd_configs"]
        for name in lookup["names"]
    }
    answering = {"organization": 8081, "licensing": 8080}
    for name in OURS:
        port = services[name]["environment"].get("PROBES_BIND", "").rpartition(":")[2]
        assert scraped.pop(name) == int(port or answering[name])
        assert set(services[name]["networks"]) & set(services["prometheus"]["networks"])
    assert scraped == {}


def test_grafana_finds_prometheus_and_the_dashboard(services: dict[str, dict[str, Any]]) -> None:
    [source] = yaml.safe_load((DEPLOY / "grafana/datasource.yaml").read_text())["datasources"]
    [provider] = yaml.safe_load((DEPLOY / "grafana/dashboards.yaml").read_text())["providers"]
    assert source["url"] == "http://prometheus:9090"
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/dashboard.json" in mounted
