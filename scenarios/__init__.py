"""Scenario and plan files: schema, loading, real topologies, generation."""
