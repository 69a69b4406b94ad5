"""The verbs of training: everything that is the same for every stage, and nothing that belongs to one.

A stage page says `start`, `ready`, `keep`, `steps`, `split`, `backward`, `apply`, `note`; see `run.py` and `step.py`.
"""
