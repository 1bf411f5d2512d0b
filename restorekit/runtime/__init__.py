"""Running exported models without PyTorch: numpy, Pillow and onnxruntime are enough.

The distribution ``restorekit-runtime`` is made of this package and of what it imports.
"""
