SELECT checksum FROM migrations ORDER BY version
