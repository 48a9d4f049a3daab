"""The robustness table: train policies, change the appearance of the scene, count successes."""
