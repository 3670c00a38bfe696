"""Defects that are planted on purpose, each with the test that must notice it. `make mutants` runs them."""
