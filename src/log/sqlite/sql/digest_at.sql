SELECT digest FROM log WHERE offset = ?1
