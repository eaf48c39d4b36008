"""A replayed clock: data time is the caller's, and outlives the processes that heard it."""

from pathlib import Path

from tests.e2e.harness import DEPLOYMENT, Gateway, simple_config, train, until

MARCH_S = 1_362_132_000.0


def test_data_time_goes_on_where_the_log_left_it(tmp_path: Path) -> None:
    train(tmp_path / "models", "1")
    gateway = Gateway(tmp_path, simple_config(tmp_path, clock="replay"))
    try:
        gateway.start()
        body, header = {"features": {"age": 40.0, "visits": 3.0}}, {"X-Event-Time": str(MARCH_S)}
        assert gateway.data.post("/predict", json=body, headers=header).status_code == 200
        gateway.stop()
        gateway.start()
        until(lambda: gateway.sample("gateway_workers") == {"": 1.0})  # the worker has been told by the agent
        said = gateway.predict()
        gateway.ledger()
        stored = gateway.control.get(f"/admin/predictions/{said['prediction_id']}").json()
        assert stored["at"] == MARCH_S
        [span] = gateway.control.get(f"/admin/deployments/{DEPLOYMENT}/performance").json()["spans"]
        assert [row["predictions"] for row in span["variants"]] == [2]
    finally:
        gateway.close()
