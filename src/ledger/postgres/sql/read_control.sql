SELECT state::text FROM flux_gate.control WHERE partition = ANY($1)
