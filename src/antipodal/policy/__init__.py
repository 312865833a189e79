"""Planning from one depth image: sample, score, rank."""
