"""What a program needs from the machine: device, ranks, seeds, paths, records and progress. Knows nothing of models."""
