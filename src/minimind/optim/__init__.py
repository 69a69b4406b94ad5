"""Optimizers and schedules: which rule moves which parameter, and how the step size changes over a run."""
