"""Reads a party's columns from files, frames and arrays, cell by cell through one set of rules."""
