"""The data set: generate it, keep it in Parquet shards, read it back. Facts are stored; labels are computed on read."""

from importlib.util import find_spec

if missing := [name for name in ("pyarrow", "numba") if find_spec(name) is None]:
    raise ImportError(
        f"antipodal.dataset needs {' and '.join(missing)}: pip install 'antipodal[data]'"
    )
