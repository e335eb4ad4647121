"""The protocol between two parties: frames over a link, jobs of steps that resume, refusals."""
