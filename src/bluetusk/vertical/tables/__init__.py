"""A party's columns: files, frames and arrays read cell by cell through one gate."""
