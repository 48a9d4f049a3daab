"""Pages for people: pairing of episodes, statistics, plots, HTML."""
