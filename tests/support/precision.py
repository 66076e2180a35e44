"""How far what a backend computes may be from f32, by its precision."""

TOLERANCE = {"f32": 1e-4, "bf16": 3e-2}
