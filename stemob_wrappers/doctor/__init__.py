"""What is wrong with demonstrations: their states rendered again, beside the frames stored."""
