"""The data set: generate it, keep it in Parquet shards, read it back. Facts are stored; labels are computed on read."""
