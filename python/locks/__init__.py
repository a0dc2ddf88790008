"""The parts of lock.py: one module per kind of lock."""
