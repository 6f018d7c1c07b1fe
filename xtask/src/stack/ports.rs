//! Free ports that stay free while their service is down.
//!
//! They lie below the range from which the kernel takes ports for outgoing connections: otherwise a client
//! that tries again could take the port of the killed service that it tries to reach.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, bail};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The ports tried: below 32768, where Linux's outgoing range begins.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;
const TRIES_MAX: usize = 1_000;

/// That many different ports of 127.0.0.1 on which nobody listens.
pub fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    // All are held until all are found.
    let mut held = Vec::with_capacity(count);
    for _ in 0..TRIES_MAX {
        if held.len() == count {
            return held.iter().map(|held: &TcpListener| Ok(held.local_addr()?.port())).collect();
        }
        let mut random = [0; 2];
        SystemRandom::new().fill(&mut random).context("no randomness")?;
        let port = FIRST + u16::from_ne_bytes(random) % (LAST - FIRST + 1);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    }
    bail!("no {count} free ports from {FIRST} to {LAST} on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn ports_differ() {
        let ports = super::free(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
    }
}
