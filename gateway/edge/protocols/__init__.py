"""Two protocols that others speak, MLflow's scoring and Open Inference v2, told as the same story as ``/predict``."""
