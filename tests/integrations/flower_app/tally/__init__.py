"""The app that test_flower_processes.py runs."""
