SELECT EXISTS (SELECT FROM flux_gate.products WHERE archived_at_ms < $1)
