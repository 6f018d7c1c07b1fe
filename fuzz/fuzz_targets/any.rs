//! Every target, under libFuzzer: `FLUX_GATE_FUZZ` names which. One program, so that it is linked once.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8]) -> bool> = LazyLock::new(|| {
    let wanted = std::env::var("FLUX_GATE_FUZZ").unwrap_or_default();
    let found = flux_gate_fuzz::targets().find(|(name, _)| *name == wanted);
    found.map(|(_, target)| target).unwrap_or_else(|| {
        let names: Vec<_> = flux_gate_fuzz::targets().map(|(name, _)| name).collect();
        eprintln!("FLUX_GATE_FUZZ names none of: {}", names.join(" "));
        std::process::exit(2)
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    TARGET(bytes);
});
