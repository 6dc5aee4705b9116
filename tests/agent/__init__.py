"""Tests of the instance agent."""
