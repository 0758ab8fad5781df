"""How results look: tables for people, documents for programs, a file for each kind."""
