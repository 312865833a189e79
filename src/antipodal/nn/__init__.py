"""Networks: definitions, training, evaluation, export. The only place of torch; scoring needs none of it."""

from importlib.util import find_spec

if find_spec("torch") is None or find_spec("lightning") is None:
    raise ImportError("antipodal.nn needs PyTorch and Lightning: pip install 'antipodal[train]'")
