"""Row S13: callers who invent paths, ids, deployments and models make no series; ``/metrics`` needs its scope."""

import httpx

from tests.e2e.harness import Gateway, until
from tests.security.form import Form
from tests.security.house import bearer, secret_of

MOST_NEW = 10
"""Series that the attack may add at most once each route has been met: what grows with time, nothing with names."""


def series(gateway: Gateway) -> set[str]:
    text = gateway.control.get("/metrics", headers=bearer(secret_of("ops"))).text
    return {line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}


def _invent(locked: Gateway, every: dict[str, str], numbers: range) -> None:
    """Make up deployments, paths, methods, ids and metrics; operators are asked of every twentieth."""
    with httpx.Client(base_url=locked.data.base_url, verify=False, headers=every) as http:
        for n in numbers:
            http.post(f"/predict/made-up-{n}", json={})
            http.get(f"/made/up/{n}")
            http.request(f"MADE{n}", "/predict")
            http.post("/feedback", json={"prediction_id": f"k1.a.b.{n}", "outcome": 1, "metric": f"made_up_{n}"})
    for n in numbers:
        if n % 20 == 0:
            locked.control.get(f"/admin/deployments/made-up-{n}", headers=every)
            locked.control.get(f"/admin/predictions/made-up-{n}", headers=every)
            wanted = {"model": f"models:/made-up-{n}/1"}
            locked.control.post("/admin/deployments/churn/canary", json=wanted, headers=every)


def test_inventing_names_makes_no_series(locked: Gateway, form: Form) -> None:
    rounds = form.pick(1_500, 25_000)  # four names each
    every = bearer(secret_of("all"))
    body = {"features": {"age": 40.0, "visits": 3.0}}
    for metric in ("label", "revenue"):
        answer = locked.data.post("/predict", json=body, headers=every).json()
        told = {"prediction_id": answer["prediction_id"], "outcome": 1, "metric": metric}
        assert locked.data.post("/feedback", json=told, headers=every).status_code == 202
    locked.control.get("/admin/ledger", params={"settle_s": 5}, headers=every)
    until(lambda: any("gateway_ledger" in line for line in series(locked)), 10.0)
    _invent(locked, every, range(1))  # each route and status has been met once
    until(lambda: any("/canary" in line for line in series(locked)), 10.0)
    before = series(locked)
    _invent(locked, every, range(1, rounds))
    new = series(locked) - before
    form.note(f"{len(new)} new series after {4 * rounds} invented names", f"<= {MOST_NEW} after 100,000")
    assert len(new) <= MOST_NEW, sorted(new)[:20]
    assert not [line for line in new if "made" in line.lower()]


def test_metrics_need_their_scope(locked: Gateway) -> None:
    assert locked.control.get("/metrics", headers=bearer(secret_of("shop"))).status_code == 403
    assert locked.data.get("/metrics", headers=bearer(secret_of("all"))).status_code == 404
