"""The parts of the ingest step. A worker process imports `film` and `workers` and nothing heavier than numpy."""
