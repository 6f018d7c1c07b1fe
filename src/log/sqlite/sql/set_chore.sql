UPDATE chores SET scanned_to = ?2, done = ?3 WHERE offset = ?1
