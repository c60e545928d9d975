"""The benchmark: prompts, judges, calibration, metrics, drift, report. A room: it imports core and tensors alone."""
