"""Engine ``instanseg``: the TorchScript models of InstanSeg, batched and made fast.

Only ``engine`` is imported to list it; PyTorch and ONNX Runtime are not, before pixels come.
"""
