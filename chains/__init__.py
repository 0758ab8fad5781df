"""Chains over placed blocks: the routing graph, shortest chains, composed chains, bounds."""
