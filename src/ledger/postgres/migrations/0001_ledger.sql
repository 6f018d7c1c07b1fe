-- The ledger: what the inventory workers make of the log, exactly once.
--
-- `orders` and `reversals` only grow. What changes is `progress` (how far each partition of the log has
-- been applied, written in the transaction of the rows that come of it), `products` (each sale as it
-- stands) and `counter`. Offsets are those of Kafka, within their partition; times are Unix milliseconds.

-- What this ledger is filled from. A ledger belongs to one topic for its whole life.
CREATE TABLE flux_gate.ledger (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    topic text NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0)
);

-- How far each partition has been applied, and the digests that tie the ledger to the log (see chain.rs).
CREATE TABLE flux_gate.progress (
    partition integer PRIMARY KEY,
    -- The first offset that has not been applied.
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    -- After the record before `next_offset`.
    digest bytea NOT NULL CHECK (length(digest) = 32),
    -- Before that record.
    previous bytea NOT NULL CHECK (length(previous) = 32),
    -- What that record came to.
    last_outcome text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The digests where `next_offset` is a multiple of 1,024, the last 64 of each partition: for those who
-- compare their own with the ledger's.
CREATE TABLE flux_gate.checkpoints (
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    -- After the record before `next_offset`.
    digest bytea NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (partition, next_offset)
);

-- Each sale as it stands after the last applied record about it.
CREATE TABLE flux_gate.products (
    product text PRIMARY KEY,
    partition integer NOT NULL,
    -- Of the record that opened it: none of its orders lies before.
    opened_offset bigint NOT NULL,
    -- `SaleOpened` with all later changes of capacity and schedule.
    terms jsonb NOT NULL,
    sold bigint NOT NULL CHECK (sold >= 0),
    paused boolean NOT NULL,
    archived boolean NOT NULL,
    generation bigint NOT NULL,
    log_time_ms bigint NOT NULL,
    applied_offset bigint NOT NULL
) WITH (fillfactor = 50);

-- Operators' changes that took effect, so that each is applied once.
CREATE TABLE flux_gate.operations (
    product text NOT NULL,
    operation text NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (product, operation)
);

-- Confirmed orders, by the place of their proposal. No other index: it would cost as much again.
CREATE TABLE flux_gate.orders (
    partition integer NOT NULL,
    -- Among the events of its transaction and partition: see `batches`.
    place integer NOT NULL,
    "offset" bigint NOT NULL,
    confirmed_at_ms bigint NOT NULL,
    order_id uuid NOT NULL,
    -- A pseudonym.
    buyer bytea NOT NULL CHECK (length(buyer) = 16),
    product text NOT NULL,
    PRIMARY KEY (partition, "offset")
);

-- Orders that were taken back.
CREATE TABLE flux_gate.reversals (
    partition integer NOT NULL,
    -- Of the order.
    order_offset bigint NOT NULL,
    -- Of the reversal.
    "offset" bigint NOT NULL,
    place integer NOT NULL,
    reversed_at_ms bigint NOT NULL,
    -- Whether the buyer may buy again.
    frees_limit boolean NOT NULL,
    PRIMARY KEY (partition, order_offset),
    UNIQUE (partition, "offset")
);

-- Events (an order accepted, an order reversed) are numbered without gaps in the order of commits. A
-- transaction's events of one partition have consecutive numbers, so one row here numbers them all: that
-- of an event is `first_seq + place`. An index over all events would cost a third of the writing.
CREATE TABLE flux_gate.batches (
    last_seq bigint PRIMARY KEY,
    first_seq bigint NOT NULL CHECK (first_seq <= last_seq),
    partition integer NOT NULL,
    -- The offsets that the transaction applied, both included.
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL
);

-- The last number given to an event. Its row lock, taken last in a transaction, is what puts commits in
-- order.
CREATE TABLE flux_gate.counter (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    last_seq bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO flux_gate.counter (last_seq) VALUES (0);

-- Who bought, in the shop's words, by the place of the order. Apart, so that a person can be erased.
CREATE TABLE flux_gate.subjects (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    user_id text NOT NULL,
    PRIMARY KEY (partition, "offset")
);

-- Who asked to be forgotten, and when (log time): orders up to then get no subject again, as when a
-- restored ledger is filled anew.
CREATE TABLE flux_gate.erased (
    buyer bytea PRIMARY KEY CHECK (length(buyer) = 16),
    at_ms bigint NOT NULL
);

-- The orders of archived products by id: they are in no node's memory any more.
CREATE TABLE flux_gate.archived_orders (
    order_id uuid PRIMARY KEY,
    partition integer NOT NULL,
    "offset" bigint NOT NULL
);

-- For people ------------------------------------------------------------------------------------------

CREATE VIEW flux_gate.order_list AS
SELECT
    o.order_id,
    o.product,
    encode(o.buyer, 'hex') AS buyer,
    CASE WHEN r.order_offset IS NULL THEN 'confirmed' ELSE 'reversed' END AS status,
    to_timestamp(o.confirmed_at_ms / 1000.0) AS confirmed_at,
    to_timestamp(r.reversed_at_ms / 1000.0) AS reversed_at,
    o.partition,
    o."offset"
FROM flux_gate.orders AS o
LEFT JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset";

CREATE VIEW flux_gate.event_list AS
SELECT b.first_seq + e.place AS seq, e.type, o.order_id, o.product, to_timestamp(e.at_ms / 1000.0) AS at
FROM flux_gate.batches AS b
JOIN (
    SELECT partition, "offset", "offset" AS order_offset, place, 'accepted' AS type, confirmed_at_ms AS at_ms
    FROM flux_gate.orders
    UNION ALL
    SELECT partition, "offset", order_offset, place, 'reversed', reversed_at_ms
    FROM flux_gate.reversals
) AS e ON e.partition = b.partition AND e."offset" BETWEEN b.from_offset AND b.to_offset
JOIN flux_gate.orders AS o ON o.partition = e.partition AND o."offset" = e.order_offset;

-- Each sale, with its orders counted from the orders themselves: `counted` that is not `sold` is a fault.
CREATE VIEW flux_gate.sale_list AS
SELECT
    p.product,
    CASE
        WHEN p.archived THEN 'archived'
        WHEN p.paused THEN 'paused'
        WHEN p.sold >= (p.terms ->> 'capacity')::bigint THEN 'sold_out'
        ELSE 'for_sale'
    END AS status,
    (p.terms ->> 'capacity')::bigint AS capacity,
    p.sold,
    (p.terms ->> 'capacity')::bigint - p.sold AS remaining,
    (
        SELECT count(*) FROM flux_gate.orders AS o
        WHERE o.partition = p.partition AND o."offset" >= p.opened_offset AND o.product = p.product
    ) - (
        SELECT count(*) FROM flux_gate.orders AS o
        JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset"
        WHERE o.partition = p.partition AND o."offset" >= p.opened_offset AND o.product = p.product
    ) AS counted,
    to_timestamp(p.log_time_ms / 1000.0) AS as_of
FROM flux_gate.products AS p;

-- Rights ----------------------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA flux_gate
TO flux_gate_ingestion, flux_gate_worker, flux_gate_auditor, flux_gate_fulfilment;

-- Nodes read what they start from and the pages of orders; no user ids.
GRANT SELECT ON
    flux_gate.migrations, flux_gate.ledger, flux_gate.progress, flux_gate.checkpoints, flux_gate.products,
    flux_gate.operations, flux_gate.orders, flux_gate.reversals, flux_gate.batches, flux_gate.counter,
    flux_gate.archived_orders
TO flux_gate_ingestion, flux_gate_worker, flux_gate_auditor, flux_gate_fulfilment;

-- Workers write. What only grows they cannot change; user ids they cannot read back.
GRANT INSERT ON
    flux_gate.ledger, flux_gate.progress, flux_gate.checkpoints, flux_gate.products, flux_gate.operations,
    flux_gate.orders, flux_gate.reversals, flux_gate.batches, flux_gate.subjects, flux_gate.erased,
    flux_gate.archived_orders
TO flux_gate_worker;
GRANT UPDATE ON
    flux_gate.progress, flux_gate.products, flux_gate.counter, flux_gate.erased
TO flux_gate_worker;
GRANT DELETE ON flux_gate.checkpoints, flux_gate.subjects TO flux_gate_worker;
GRANT SELECT ON flux_gate.erased TO flux_gate_worker;
GRANT SELECT (partition, "offset") ON flux_gate.subjects TO flux_gate_worker;

GRANT SELECT ON
    flux_gate.erased, flux_gate.order_list, flux_gate.event_list, flux_gate.sale_list
TO flux_gate_auditor;

GRANT SELECT ON flux_gate.subjects TO flux_gate_fulfilment;
