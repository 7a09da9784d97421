"""Training a cell: PyTorch and NumPy only, from cached features, on any machine."""
