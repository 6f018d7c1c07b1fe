DELETE FROM subjects WHERE offset = ?1
