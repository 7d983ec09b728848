"""Tiny random models of many families, taken through every stage and checked by computations made apart."""
