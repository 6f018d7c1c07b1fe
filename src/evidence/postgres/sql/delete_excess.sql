-- All but the last $1 that arrived. Numbers have gaps, so there may be fewer that stay.
DELETE FROM flux_gate.evidence WHERE id <= (SELECT max(id) FROM flux_gate.evidence) - $1::bigint
