"""Rules that place blocks in one go: published ones, PETALS' own, composed chains."""
