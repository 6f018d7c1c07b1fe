-- Whether the objects can be made in the name of the owners' common role, so that any of them can migrate
-- next time.
SELECT
    pg_has_role(current_user, 'flux_gate_owner', 'MEMBER')
    AND has_database_privilege('flux_gate_owner', current_database(), 'CREATE')
