"""Collecting experience: the model answers, the answers are judged, and both are packed for learning."""
