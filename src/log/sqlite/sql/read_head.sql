SELECT offset, digest FROM head
