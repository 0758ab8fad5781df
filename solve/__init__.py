"""Linear and integer programmes, and HiGHS, which solves them: silent, and always on time."""
