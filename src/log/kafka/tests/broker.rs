//! The log on the real Kafka.
