INSERT INTO sightings (
    at_ms, what, weight, product, order_id, buyer, series_stem, series_number, address, network, fingerprint
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
