SELECT at_ms FROM flux_gate.erased WHERE buyer = $1
