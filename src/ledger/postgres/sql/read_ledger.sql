SELECT topic, partitions FROM flux_gate.ledger
