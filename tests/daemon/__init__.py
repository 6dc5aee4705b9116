"""Tests of the daemon and the tool as real processes against the local cloud."""
