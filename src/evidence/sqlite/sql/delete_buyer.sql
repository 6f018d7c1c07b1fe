DELETE FROM sightings WHERE buyer = ?1
