"""The Helm chart: every object it makes, for each way to run the bot, is closed and names what exists."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.__main__ import COMMANDS
from bot.config.env_file import SETTINGS
from bot.config.environment import VARIABLES
from bot.config.settings import Need, load_settings
from bot.runner.ending import END_WITHIN_SECONDS
from tests.contract.chart_rendering import Chart, ChartError
from tests.contract.json_schema import fault_by

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "helm" / "claude-cost"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
ID = 10001
TOML = '[[budget]]\nname = "search"\nscope = "feature:search"\nsoft_usd = "5"\n\n[display]\ncurrency = "USD"\n'

WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "settings": {"settings": {"CLAUDE_COST_CHANNEL": "C0123456789", "CLAUDE_COST_HARD_USD": "700"}, "config": TOML},
    "claim": {"persistence": {"existingClaim": "kept", "storageClass": "fast"}},
    "class": {"persistence": {"storageClass": "fast"}},
    "nowhere": {"persistence": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "replicas": {"replicaCount": 3, "postgresql": {"enabled": True, "port": 6432}, "image": {"tag": "9.9"}},
    "monitored": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
        "networkPolicy": {
            "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "extraEgress": [{"ports": [{"protocol": "TCP", "port": 587}]}],
        },
    },
    "placed": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "image": {"pullSecrets": [{"name": "registry"}]},
        "service": {"annotations": {"e": "f"}},
    },
}


@pytest.fixture(scope="module")
def chart() -> Chart:
    return Chart(FOLDER)


@pytest.fixture(params=WAYS)
def objects(request: pytest.FixtureRequest, chart: Chart) -> list[dict[str, Any]]:
    return chart.render(WAYS[request.param])


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "Deployment")["spec"]["template"]["spec"]
    return found


def kinds(objects: list[dict[str, Any]]) -> set[str]:
    return {each["kind"] for each in objects}


def environ(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Environment of the container; values in the Secret as their own names."""
    variables = {each["name"]: each.get("value", each["name"]) for each in pod(objects)["containers"][0]["env"]}
    settings = next(
        each for each in objects if each["kind"] == "ConfigMap" and not each["metadata"]["name"].endswith("-file")
    )
    return {**(settings["data"] or {}), **variables}


def test_the_chart_has_the_version_of_the_project(chart: Chart) -> None:
    assert (chart.about["version"], chart.about["appVersion"]) == (VERSION, VERSION)


def test_every_object_has_the_name_and_the_labels_of_the_release(objects: list[dict[str, Any]]) -> None:
    names = [each["metadata"]["name"] for each in objects]
    assert {name.removesuffix("-file").removesuffix("-dashboard") for name in names} == {"claude-cost"}
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "claude-cost"
        assert labels["app.kubernetes.io/version"] == VERSION
    deployment = one(objects, "Deployment")["spec"]
    selector = deployment["selector"]["matchLabels"]
    assert selector.items() <= deployment["template"]["metadata"]["labels"].items()
    assert one(objects, "Service")["spec"]["selector"] == selector


def test_the_container_may_do_nothing_but_run(objects: list[dict[str, Any]]) -> None:
    spec = pod(objects)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), ID),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["terminationGracePeriodSeconds"] > END_WITHIN_SECONDS
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["args"][0] in COMMANDS
    assert container["resources"]["limits"]["memory"]
    assert f"USER {ID}:{ID}" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def test_ports_and_paths_are_those_of_the_bot(objects: list[dict[str, Any]]) -> None:
    (container,) = pod(objects)["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == environ(objects)["CLAUDE_COST_HTTP_PORT"]
    routes = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bot" / "web").glob("*.py"))
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
        assert f'"{path}"' in routes
    assert one(objects, "Service")["spec"]["ports"][0]["targetPort"] == port["name"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/data", "/tmp"} <= mounts
    volumes = {volume["name"] for volume in pod(objects)["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_bot_starts_with_these_variables(objects: list[dict[str, Any]], tmp_path: Path) -> None:
    variables = environ(objects)
    assert set(variables) <= SETTINGS
    secrets = {each["name"] for each in pod(objects)["containers"][0]["env"] if "valueFrom" in each}
    assert secrets <= {variable.name for variable in VARIABLES if variable.secret}
    given = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "ANTHROPIC_ADMIN_KEY": "key"}
    given |= {"CLAUDE_COST_CHANNEL": "C1", "CLAUDE_COST_HARD_USD": "700"} | variables
    if "CLAUDE_COST_DATABASE_URL" in secrets:
        given["CLAUDE_COST_DATABASE_URL"] = "postgresql://bot@postgres/bot"
    if "CLAUDE_COST_CONFIG" in variables:
        (text,) = [each["data"] for each in objects if each["metadata"]["name"].endswith("-file")]
        folder, _, name = variables["CLAUDE_COST_CONFIG"].rpartition("/")
        (tmp_path / name).write_text(text[name], encoding="utf-8")
        assert folder in {mount["mountPath"] for mount in pod(objects)["containers"][0]["volumeMounts"]}
        given["CLAUDE_COST_CONFIG"] = str(tmp_path / name)
    settings = load_settings(given, Need.RUN)
    assert (settings.http_host, settings.http_port) == ("0.0.0.0", 8080)
    assert settings.read_token is not None


def test_a_file_of_settings_arrives_as_it_was_written(chart: Chart) -> None:
    (text,) = [each["data"] for each in chart.render(WAYS["settings"]) if each["metadata"]["name"].endswith("-file")]
    assert text["claude-cost.toml"].rstrip("\n") == TOML.rstrip("\n")


def test_sqlite_has_one_copy_and_a_volume_that_stays(chart: Chart) -> None:
    objects = chart.render({})
    assert one(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert one(objects, "PersistentVolumeClaim")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    claim = next(volume for volume in pod(objects)["volumes"] if volume["name"] == "data")
    assert claim["persistentVolumeClaim"] == {"claimName": "claude-cost"}
    with pytest.raises(ChartError, match=r"needs postgresql\.enabled"):
        chart.render({"replicaCount": 2})
    kept = chart.render(WAYS["claim"])
    assert "PersistentVolumeClaim" not in kinds(kept)
    assert {"claimName": "kept"} in [volume.get("persistentVolumeClaim") for volume in pod(kept)["volumes"]]


def test_with_postgresql_there_are_copies_and_no_volume(chart: Chart) -> None:
    objects = chart.render(WAYS["replicas"])
    assert one(objects, "Deployment")["spec"]["replicas"] == 3
    # An older copy beside a newer one would write rows that the newer one does not know.
    assert one(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert "PersistentVolumeClaim" not in kinds(objects)
    assert pod(objects)["containers"][0]["image"] == "claude-cost:9.9"
    ports = [port["port"] for rule in one(objects, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, 443, 6432]


def test_the_network_is_closed_but_for_what_the_bot_needs(chart: Chart) -> None:
    policy = one(chart.render(WAYS["monitored"]), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (ingress,) = policy["ingress"]
    assert ingress["from"] == WAYS["monitored"]["networkPolicy"]["from"]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 443, 587]
    assert "NetworkPolicy" not in kinds(chart.render(WAYS["nowhere"]))


def test_metrics_are_read_with_the_token_of_the_bot(chart: Chart) -> None:
    assert "ServiceMonitor" not in kinds(chart.render({}))
    monitor = one(chart.render(WAYS["monitored"]), "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["path"], endpoint["port"]) == ("/metrics", "http")
    assert endpoint["authorization"]["credentials"] == {"name": "claude-cost", "key": "CLAUDE_COST_READ_TOKEN"}


def test_rules_and_dashboard_arrive_as_they_are_in_deploy(chart: Chart) -> None:
    objects = chart.render(WAYS["monitored"])
    rule = one(objects, "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    written = (ROOT / "deploy/prometheus/claude-cost.rules.yaml").read_text(encoding="utf-8")
    assert rule["spec"] == yaml.safe_load(written)
    (shown,) = [each for each in objects if each["metadata"]["name"].endswith("-dashboard")]
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    written = (ROOT / "deploy/grafana/claude-cost.json").read_text(encoding="utf-8")
    assert json.loads(shown["data"]["claude-cost.json"]) == json.loads(written)
    assert "PrometheusRule" not in kinds(chart.render({}))


def test_other_settings_are_other_pods(chart: Chart) -> None:
    sums = {
        one(chart.render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        for values in ({}, WAYS["settings"], {"config": TOML})
    }
    assert len(sums) == 3


def test_values_are_checked_before_anything_is_made(chart: Chart) -> None:
    schema = json.loads((FOLDER / "values.schema.json").read_text(encoding="utf-8"))
    assert fault_by(schema, chart.values) is None
    assert set(schema["properties"]) == {*chart.values, "global"}
    free = {variable.name for variable in VARIABLES if not variable.secret}
    of_chart = {"CLAUDE_COST_HTTP_HOST", "CLAUDE_COST_HTTP_PORT", "CLAUDE_COST_CONFIG", "CLAUDE_COST_ENV_FILE"}
    of_chart.add("CLAUDE_COST_BACKUP_FOLDER")  # the database of the chart is PostgreSQL
    assert set(schema["properties"]["settings"]["propertyNames"]["enum"]) == free - of_chart
    for wrong in ({"settings": {"SLACK_BOT_TOKEN": "xoxb-1"}}, {"replicas": 2}, {"existingSecret": ""}):
        assert fault_by(schema, {**chart.values, **wrong}) is not None


def test_the_notes_name_the_release(chart: Chart) -> None:
    notes = chart.text("NOTES.txt", {}, "spend")
    assert "deploy/spend -- claude-cost doctor" in notes
    assert "{{" not in notes


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
@pytest.mark.parametrize("way", WAYS)
def test_helm_makes_the_same(chart: Chart, way: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(WAYS[way]), encoding="utf-8")
    command = ["helm", "template", "claude-cost", str(FOLDER), "--values", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made = [each for each in yaml.safe_load_all(done.stdout) if each]

    def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        return {(each["kind"], each["metadata"]["name"]): each for each in objects}

    assert by_name(made) == by_name(chart.render(WAYS[way]))
