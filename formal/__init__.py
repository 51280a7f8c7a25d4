"""Formal proofs of the RTL cells: properties in `properties/*.sv`, sizes in `proofs.py`. See docs/formal.md."""
