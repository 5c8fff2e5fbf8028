"""Automatic certificates: see `manager`."""
