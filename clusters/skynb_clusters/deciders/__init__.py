"""Pure deciders: (record, observation, now) -> Decision. No I/O, no clock, no randomness."""
