"""What every solver shares: deadlines, progress, programmes and the one way to HiGHS."""
