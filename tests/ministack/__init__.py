"""The lease function on a second emulator, independent of the one under the local cloud."""
