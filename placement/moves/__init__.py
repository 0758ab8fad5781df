"""From a placement in force to another one: repair, what moving costs, in which order."""
