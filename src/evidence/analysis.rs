//! What the sightings say: patterns of fraud, as pure functions over them.
