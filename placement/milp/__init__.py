"""The paper's mixed-integer programme, solved by any solver that PuLP knows."""
