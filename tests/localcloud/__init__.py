"""The local cloud: that it does as AWS does, and fails as it is told."""
