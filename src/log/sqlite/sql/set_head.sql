INSERT INTO head (only, offset, digest) VALUES (1, ?1, ?2)
ON CONFLICT (only) DO UPDATE SET offset = excluded.offset, digest = excluded.digest
