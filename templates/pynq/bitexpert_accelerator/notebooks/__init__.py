"""Notebooks, which ``pynq get-notebooks`` finds here."""
