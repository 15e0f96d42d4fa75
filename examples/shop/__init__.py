"""A shop that loses no order and charges nobody twice, however often its worker is killed: `make demo`."""
