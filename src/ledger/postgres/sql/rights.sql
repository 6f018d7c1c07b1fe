SELECT
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    has_table_privilege('flux_gate.orders', 'SELECT'),
    has_table_privilege('flux_gate.orders', 'INSERT') AND has_table_privilege('flux_gate.progress', 'UPDATE'),
    has_table_privilege('flux_gate.orders', 'DELETE'),
    has_table_privilege('flux_gate.subjects', 'SELECT'),
    has_schema_privilege('flux_gate', 'CREATE'),
    has_table_privilege('flux_gate.evidence', 'INSERT')
        AND has_table_privilege('flux_gate.evidence_minutes', 'INSERT'),
    has_table_privilege('flux_gate.evidence', 'SELECT')
        AND has_table_privilege('flux_gate.evidence_minutes', 'SELECT'),
    has_table_privilege('flux_gate.evidence', 'DELETE')
        AND has_table_privilege('flux_gate.evidence_minutes', 'DELETE'),
    has_table_privilege('flux_gate.evidence', 'UPDATE')
        OR has_any_column_privilege('flux_gate.evidence', 'UPDATE')
        OR has_any_column_privilege('flux_gate.evidence_minutes', 'UPDATE')
