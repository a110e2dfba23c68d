"""Driven adapters: what the core's ports are plugged into. None knows another."""
