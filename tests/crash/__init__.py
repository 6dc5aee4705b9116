"""The daemon is killed at every instant that counts, and at random ones."""
