SELECT last_seq FROM flux_gate.counter
