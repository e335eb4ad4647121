"""What leaves and enters a process: frames of bytes."""
