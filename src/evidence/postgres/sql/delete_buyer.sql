DELETE FROM flux_gate.evidence WHERE buyer = $1
