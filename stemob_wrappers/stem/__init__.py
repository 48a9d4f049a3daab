"""The way of a frame: pipeline, inverter, frame layouts, identity and provenance."""
