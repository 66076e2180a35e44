"""The world outside: object stores, registries, data hubs. One library per module."""
