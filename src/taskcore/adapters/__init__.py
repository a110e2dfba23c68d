"""Driven adapters: the implementations of the ports. None imports another."""
