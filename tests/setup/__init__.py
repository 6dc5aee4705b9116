"""Tests of -setup, -check-setup and -teardown: the tool as a real process, before a local cloud."""
