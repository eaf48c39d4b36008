"""An example of a command that trains: logistic regression on the exported log, kept in MLflow with its reference.

    python train.py --features age,visits

It reads the Parquet files at ``RETRAINING_EXPORT`` (``gateway export``), takes the rows of ``RETRAINING_DEPLOYMENT``
whose truth is known, leaves a tenth out to know what the model answers on rows it has not seen, and prints the model's
MLflow URI as its last line. A run that was trained already (``RETRAINING_RUN_ID``) is not trained twice. Yours will
differ.
"""

import argparse
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.adapters.models.profile import PROFILE_FILE, encode_profile
from gateway.core.drift.making import made

RUN_TAG, MODEL_TAG = "retraining.run_id", "retraining.model"
LEAST_ROWS = 50
_HELD_OUT = 10


def learnt(export: str, deployment: str, features: Sequence[str]) -> pd.DataFrame:
    """Features as the model saw them and the ``truth`` that came of them, in order of time. Raises ValueError."""
    columns = ["at", "attempt", "outcome_label", *(f"feature_{name}" for name in features)]
    rows = pd.read_parquet(f"{export}/{deployment}", columns=columns)
    known = rows[(rows["attempt"] == 1) & rows["outcome_label"].notna()].sort_values("at")
    whole = known.dropna()
    if len(whole) < LEAST_ROWS:
        raise ValueError(f"{len(whole)} rows of {deployment} have their truth; {LEAST_ROWS} are needed.")
    named = whole.rename(columns=lambda name: name.removeprefix("feature_"))
    return named.assign(truth=named["outcome_label"].astype(int))


def trained(rows: pd.DataFrame, features: Sequence[str], run_id: str) -> str:
    """Fit, log with signature, example and reference profile; return the model's URI."""
    seen, unseen = rows[rows.index % _HELD_OUT != 0], rows[rows.index % _HELD_OUT == 0]
    inputs = seen[list(features)].astype(float)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)).fit(inputs, seen["truth"])
    held = unseen[list(features)].astype(float)
    scores = model.predict_proba(held)[:, 1].tolist()
    profile = made(
        {name: inputs[name].tolist() for name in features},
        scores=scores,
        labels=[int(score >= 0.5) for score in scores],
        source=f"{len(seen)} logged rows up to {rows['at'].iloc[-1]}",
    )
    with mlflow.start_run(run_name=run_id, tags={RUN_TAG: run_id}), tempfile.TemporaryDirectory() as beside:
        mlflow.log_metric("held_out_accuracy", float((model.predict(held) == unseen["truth"]).mean()))
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(inputs, seen["truth"]),
            input_example=inputs.head(1),
            metadata={"task": "binary"},
            pip_requirements=["scikit-learn"],
        )
        Path(beside, PROFILE_FILE).write_bytes(encode_profile(profile))
        MlflowClient().log_model_artifacts(logged.model_id, beside)
        mlflow.set_tag(MODEL_TAG, logged.model_uri)  # last: what is tagged is whole
    return str(logged.model_uri)


def known(client: MlflowClient, experiment: str, run_id: str) -> str | None:
    """The model of a run that was trained before, if there is one."""
    where = client.get_experiment_by_name(experiment)
    runs = client.search_runs([where.experiment_id], f"tags.`{RUN_TAG}` = '{run_id}'") if where else []
    return next((run.data.tags[MODEL_TAG] for run in runs if MODEL_TAG in run.data.tags), None)


def main() -> None:
    """Train, or find what was trained; print its URI."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--features", required=True, help="the model's inputs, in order, with commas between them")
    parser.add_argument("--experiment", default="retraining", help="MLflow's experiment")
    said = parser.parse_args()
    run_id, deployment = os.environ["RETRAINING_RUN_ID"], os.environ["RETRAINING_DEPLOYMENT"]
    warnings.simplefilter("ignore")  # MLflow's, to the author of a model
    found = known(MlflowClient(), said.experiment, run_id)
    if found is None:
        mlflow.set_experiment(said.experiment)
        features = said.features.split(",")
        found = trained(learnt(os.environ["RETRAINING_EXPORT"], deployment, features), features, run_id)
    print(found)


if __name__ == "__main__":
    main()
