"""The Helm chart, rendered by Helm's own library and held to the schemas of Kubernetes, without a cluster."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

from gateway.settings import load_settings
from tests.deploy.promql import DASHBOARD, DEPLOY, RULES, rules
from tests.docs.dockerfile import environment, instructions
from tests.docs.pages import ROOT

CHART = DEPLOY / "helm" / "gateway"
SCHEMAS = Path(__file__).parent / "schemas"
OLDEST, NEWEST = "1.30", "1.37"
DEPLOYMENTS = {"churn": {"stable": "models:/churn@champion"}}
SMALL: dict[str, Any] = {"config": {"deployments": DEPLOYMENTS}}
GREAT: dict[str, Any] = {
    "replicas": 3,
    "config": {"workers": 4, "features": "/srv/feature_repo", "deployments": DEPLOYMENTS},
    "store": {"secret": "gateway-store"},
    "keys": {"secret": "gateway-keys"},
    "autoscaling": {"enabled": True},
    "networkPolicy": {
        "applications": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}],
        "operators": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "postgres"}}}], "ports": [{"port": 5432}]}],
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True, "secret": "gateway-scraper", "labels": {"release": "prometheus"}},
        "rules": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "GATEWAY_TRACES", "value": "http://collector:4318/v1/traces"}],
    "volumes": [{"name": "features", "configMap": {"name": "feature-repo"}}],
    "volumeMounts": [{"name": "features", "mountPath": "/srv/feature_repo"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "ml", "operator": "Exists"}],
}
CASES = {
    "one host": SMALL,
    "many hosts": GREAT,
    "no volume": {**SMALL, "persistence": {"enabled": False}, "networkPolicy": {"enabled": False}},
}


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    with Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values=values, name="demo", namespace="serving")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def only(kind: str, values: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    found = [each for each in render(values) if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, (kind, [each["metadata"]["name"] for each in found])
    return found[0]


def pod(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = only("StatefulSet", values)["spec"]["template"]["spec"]
    return found


def container(values: dict[str, Any]) -> dict[str, Any]:
    [found] = pod(values)["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("case", CASES)
def test_everything_it_makes_is_what_kubernetes_takes(case: str, version: str) -> None:
    for manifest in render(CASES[case]):
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            schema = json.loads((SCHEMAS / f"{manifest['kind'].lower()}.json").read_text())
            jsonschema.validate(manifest, schema)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_helm_itself_has_nothing_to_complain_of(case: str) -> None:
    report = lint(CHART, CASES[case], strict=True, kube_version="v1.30.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


def test_a_misspelt_value_is_an_error() -> None:
    with pytest.raises(HelmError, match="replica"):
        render({**SMALL, "replica": 3})


def test_many_hosts_on_a_store_of_their_own_are_refused() -> None:
    with pytest.raises(HelmError, match="a store that they share"):
        render({**SMALL, "replicas": 2})
    with pytest.raises(HelmError, match="a store that they share"):
        render({**SMALL, "autoscaling": {"enabled": True}})


def test_scraping_a_control_plane_that_has_no_keys_is_refused() -> None:
    with pytest.raises(HelmError, match=r"set keys\.secret"):
        render({**SMALL, "monitoring": {"serviceMonitor": {"enabled": True}}})


def test_every_kind_that_is_promised_is_there() -> None:
    kinds = {each["kind"] for each in render(GREAT)}
    assert kinds >= {"StatefulSet", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor"}
    assert kinds >= {"PrometheusRule", "ConfigMap", "Service", "ServiceAccount"}


def test_the_probes_are_the_doors_own() -> None:
    said = container(SMALL)
    paths = {probe: said[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {
        "startup": {"path": "/readyz", "port": "data"},
        "readiness": {"path": "/readyz", "port": "data"},
        "liveness": {"path": "/livez", "port": "data"},
    }
    startup = said["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 120


def test_a_pod_has_time_to_drain_before_it_is_killed() -> None:
    said = {entry["name"]: entry.get("value") for entry in container(SMALL)["env"]}
    drain_s = int(str(said["GATEWAY_DRAIN_TIMEOUT"]).removesuffix("s"))
    before_s = container(SMALL)["lifecycle"]["preStop"]["sleep"]["seconds"]
    # workers drain, then the agent empties the spool: the supervisor gives each the timeout and three seconds
    assert pod(SMALL)["terminationGracePeriodSeconds"] >= before_s + 2 * (drain_s + 3)


def test_it_runs_as_the_image_does_and_may_do_nothing_else() -> None:
    dockerfile = instructions(ROOT / "Dockerfile")
    user = next(each.text for each in dockerfile if each.word == "USER").partition(":")[0]
    said = pod(SMALL)
    assert said["securityContext"]["runAsUser"] == int(user)
    assert said["securityContext"]["runAsNonRoot"] is True
    assert said["automountServiceAccountToken"] is False
    assert container(SMALL)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["mountPath"] for mount in container(SMALL)["volumeMounts"] if not mount.get("readOnly")}
    assert mounts == {environment(dockerfile)["GATEWAY_STATE_DIR"], "/tmp"}


def test_what_is_acknowledged_outlives_its_pod() -> None:
    claims = only("StatefulSet", SMALL)["spec"]["volumeClaimTemplates"]
    assert [claim["metadata"]["name"] for claim in claims] == ["state"]
    retained = only("StatefulSet", SMALL)["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert set(retained.values()) == {"Retain"}


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_it_writes_is_one_the_gateway_reads(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = only("ConfigMap", CASES[case], "demo-gateway")["data"]["gateway.yaml"]
    (tmp_path / "gateway.yaml").write_text(config)
    for entry in container(CASES[case])["env"]:
        monkeypatch.setenv(entry["name"], entry.get("value", "postgresql://gateway@db/gateway"))
    settings = load_settings(tmp_path / "gateway.yaml")
    assert (settings.data_host, settings.drain_timeout) == ("0.0.0.0", 20.0)
    assert (settings.control_host == "0.0.0.0") == settings.locked == ("keys" in CASES[case])
    assert settings.specs().keys() == DEPLOYMENTS.keys()


def test_without_keys_only_predictions_and_outcomes_can_be_reached() -> None:
    ports = {port["name"] for each in render(SMALL) if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert ports == {"data"}
    [rule] = only("NetworkPolicy", SMALL)["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["data"]


def test_with_keys_only_those_named_reach_the_control_plane() -> None:
    policy = only("NetworkPolicy", GREAT)["spec"]
    control = [rule for rule in policy["ingress"] if rule["ports"][0]["port"] == "control"]
    assert [rule["from"] for rule in control] == [GREAT["networkPolicy"]["operators"]]
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_what_the_rules_record() -> None:
    asked = {each["pods"]["metric"]["name"] for each in only("HorizontalPodAutoscaler", GREAT)["spec"]["metrics"]}
    adapter = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())["rules"]
    assert asked == {rule["name"]["as"] for rule in adapter}
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    for rule in adapter:
        [series] = [name for name in recorded if f'"{name}"' in rule["seriesQuery"]]
        assert "namespace, pod" in recorded[series]


def test_the_autoscaler_and_the_replicas_do_not_fight() -> None:
    assert "replicas" not in only("StatefulSet", GREAT)["spec"]
    assert only("StatefulSet", SMALL)["spec"]["replicas"] == 1


def test_a_service_monitor_finds_the_control_service_and_has_a_key() -> None:
    monitor = only("ServiceMonitor", GREAT)["spec"]
    labels = monitor["selector"]["matchLabels"].items()
    services = [each for each in render(GREAT) if each["kind"] == "Service"]
    found = [each["metadata"]["name"] for each in services if labels <= each["metadata"]["labels"].items()]
    assert found == ["demo-gateway-control"]
    [endpoint] = monitor["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "gateway-scraper", "key": "token"}


def test_the_charts_alerts_and_dashboard_are_the_repositorys() -> None:
    assert (CHART / "files" / "rules.yaml").read_text() == RULES.read_text(), "cp deploy/prometheus/rules.yaml there"
    assert (CHART / "files" / "gateway.json").read_text() == DASHBOARD.read_text(), (
        "cp deploy/grafana/gateway.json there"
    )
    assert only("PrometheusRule", GREAT)["spec"] == yaml.safe_load(RULES.read_text())
    shown = only("ConfigMap", GREAT, "demo-gateway-dashboard")["data"]["gateway.json"]
    assert json.loads(shown) == json.loads(DASHBOARD.read_text())


def test_every_value_has_its_place_in_the_schema_and_in_the_values() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
