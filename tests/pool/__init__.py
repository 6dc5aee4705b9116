"""Tests of the pool, and of the project in it."""
