"""The live plugin: read a running PETALS swarm, plan for it, serve and route by the plan.

Modules that need hivemind, petals or torch import them at their top and are themselves imported
only where they are needed; ``announce``, ``answers``, ``health``, ``record``, ``follow``,
``launch`` and ``snapshot`` run without them.
"""
