"""What two parties say to each other: frames over a link, jobs of steps that resume, refusals."""
