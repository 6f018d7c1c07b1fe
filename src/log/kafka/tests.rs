//! The log on the real Kafka.

mod broker;
