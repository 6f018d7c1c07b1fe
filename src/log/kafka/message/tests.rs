//! What is a record and what is not.
