-- What all queries here have in common: the span and the product. Given by -v, each of them may be left out:
--
--   since, until   times, such as '2026-11-24 18:00Z' (default: the last hour)
--   product        an id (default: all products)

\set ON_ERROR_STOP on
\if :{?until}
\else
SELECT now() AS until \gset
\endif
\if :{?since}
\else
SELECT :'until'::timestamptz - interval '1 hour' AS since \gset
\endif
\if :{?product}
\else
\set product ''
\endif
SELECT
    (extract(epoch FROM :'since'::timestamptz) * 1000)::bigint AS since_ms,
    (extract(epoch FROM :'until'::timestamptz) * 1000)::bigint AS until_ms
\gset
