//! The services for as long as somebody uses them: those that run already are used and left.

use super::{State, UpOptions, down, is_up, up};

/// The real Redis, Kafka and PostgreSQL. What was started for this goes with it.
pub struct Services {
    ours: bool,
}

impl Services {
    /// Starts them, unless they run already.
    ///
    /// # Errors
    /// They do not start.
    pub fn start() -> anyhow::Result<Self> {
        let ours = !State::load()?.is_some_and(|state| is_up(&state));
        up(&UpOptions::default())?;
        Ok(Self { ours })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = down(false)
        {
            eprintln!("the services could not be stopped: {error:#}");
        }
    }
}
