"""How each kind of record is looked at and acted on; what to decide is next door, in `deciders`."""
